"""From an observed wrong gradient to the mistake, or mistakes, behind it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from convcheck import Layer, verify
from convcheck.layer.fields import Dtype
from convcheck.layer.similar import SMALL, shrunk
from convcheck.mistakes import mistake
from convcheck.mistakes.diagnose import diagnose
from convcheck.mistakes.mistake import Scene
from tests.mistaken import mistaken
from tests.strategies import layers
from tests.targets_for_tests import Right, wrong

LAYER = Layer(
    2, 3, kernel=(3, 2), stride=(2, 3), padding=((1, 2), (0, 1)), dilation=(1, 2), input=(8, 11), batch=3, seed=5
)


def spoiled(gradient, spoil, only=None):
    """A rerun whose gradient goes through ``spoil``; refuses all layers but ``only``, if that is given."""

    def rerun(layer, operands):
        if only is not None and layer != only:
            return {}
        scene = Scene(layer, operands)
        return {gradient: spoil(scene, scene.answer(gradient))}

    return rerun


def form(name, gradient, variant=""):
    def spoil(scene, right):
        return next((w.array for w in mistake(name).wrong(scene, gradient) if w.variant == variant), right)

    return spoil


def found(layer, gradient, spoil, only=None):
    finding = diagnose(layer, gradient, spoiled(gradient, spoil, only))
    return [diagnosis.name for diagnosis in finding.diagnoses], finding


def explained(gradient, spoil, layer=LAYER):
    (diagnosis,) = diagnose(layer, gradient, spoiled(gradient, spoil)).diagnoses
    return diagnosis.name, diagnosis.explanation


class TestOneMistake:
    def test_is_named_with_its_words(self):
        names, finding = found(LAYER, "input", form("kernel-not-flipped", "input"))
        assert names == ["kernel-not-flipped"]
        (diagnosis,) = finding.diagnoses
        assert diagnosis.code == "CC101"
        assert diagnosis.explanation.startswith("The input gradient is made with the kernel the wrong way round")
        # Which of the two must be done depends on how the gradient is made, which the result does not say.
        assert "Correlating the padded grad_output needs the kernel reversed along every spatial axis" in diagnosis.fix
        assert "adding W times grad_output to each window, or folding columns back, needs it as it is" in diagnosis.fix
        assert finding.note is None

    def test_says_in_which_form(self):
        name, text = explained("input", form("padding-offset", "input", "cropped on the wrong side"))
        assert name == "padding-offset"
        assert text == (
            "The padding is taken off (or put on) at the wrong place in the backward pass (cropped on the wrong side)."
        )

    @pytest.mark.parametrize("factor", [3.0, -0.25, 1 / 7, 1e-3])
    def test_any_factor_is_told(self, factor):
        name, text = explained("weight", lambda scene, right: factor * right)
        assert name == "scaled"
        assert f"(times {factor:.6g})" in text

    def test_a_mean_taken_before_the_sum(self):
        def early(scene, right):
            return scene.with_arrays(grad_output=scene.grad_output / 3).answer("weight")

        assert explained("weight", early)[0] == "batch-averaged"

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite(self, value):
        def spoil(scene, right):
            right.flat[3] = value
            return right

        name, text = explained("input", spoil)
        assert name == "non-finite"
        assert ("NaN" if np.isnan(value) else "infinity") in text

    def test_a_wrong_shape(self):
        names, _ = found(LAYER, "input", form("padding-offset", "input", "not cropped"))
        assert names == ["padding-offset"]
        names, _ = found(LAYER, "weight", form("weight-axes-swapped", "weight"))
        assert names == ["weight-axes-swapped"]


class TestTies:
    def test_are_separated_on_another_layer(self):
        # With two samples and two by two outputs, the mean over both is the same as half of one of them.
        layer = Layer(2, 2, 2, input=(3, 2), batch=2)
        names, finding = found(layer, "weight", form("spatially-averaged", "weight"))
        assert names == ["spatially-averaged"]
        assert finding.note.startswith("told apart from what looks the same here by a run on {channels: 2, filters: 2")

    def test_are_told_as_ties_where_the_target_runs_on_no_other_layer(self):
        layer = Layer(2, 2, 2, input=(3, 2), batch=2)
        names, finding = found(layer, "weight", form("spatially-averaged", "weight"), only=layer)
        assert set(names) == {"batch-averaged", "spatially-averaged", "scaled"}
        assert finding.note.startswith("tied: consistent with ")
        assert "batch-averaged, and with spatially-averaged, and with scaled" in finding.note
        assert finding.note.endswith("no layer tried tells them apart")

    def test_are_separated_on_a_later_layer_where_the_target_does_not_take_the_first(self):
        layer = Layer(2, 2, 2, input=(3, 2), batch=2)
        tried, spoil = [], form("spatially-averaged", "weight")

        def rerun(other, operands):
            tried.append(other)
            scene = Scene(other, operands)
            return {"weight": spoil(scene, scene.answer("weight"))} if len(tried) != 2 else {}

        finding = diagnose(layer, "weight", rerun)
        assert [diagnosis.name for diagnosis in finding.diagnoses] == ["spatially-averaged"]
        assert len(tried) > 2


class TestTwoMistakes:
    @pytest.mark.parametrize(
        ("first", "second", "gradient"),
        [
            ("kernel-not-flipped", "batch-averaged", "input"),
            ("grad-output-ignored", "weight-gradient-flipped", "weight"),
            ("stride-ignored", "sign-flipped", "weight"),
            ("last-sample-only", "spatially-averaged", "bias"),
            ("kernel-not-flipped", "overlap-overwritten", "input"),
        ],
    )
    def test_are_both_named(self, first, second, gradient):
        from convcheck.mistakes.mistake import WrongArrays

        def both(scene, right):
            one, other = mistake(first), mistake(second)
            if isinstance(one, WrongArrays):
                _, changed = next(one.scenes(scene, gradient))
                return other.wrong(changed, gradient)[0].array
            made = one.wrong(scene, gradient)[0].array
            return next(other.results(scene, gradient, made))[1]

        names, finding = found(LAYER, gradient, both)
        assert set(names) == {first, second}
        assert finding.note == "2 mistakes at once"

    def test_a_factor_is_no_second_mistake_since_it_would_explain_too_much(self):
        def both(scene, right):
            return 2 * form("kernel-not-flipped", "input")(scene, right)

        assert "scaled" not in found(LAYER, "input", both)[0]

    def test_pairs_that_look_the_same_are_all_told_each_once(self):
        layer = Layer(2, 2, 2, input=(3, 2), batch=2)

        def both(scene, right):
            return -form("spatially-averaged", "weight")(scene, right)

        names, finding = found(layer, "weight", both, only=layer)
        listed = finding.note.removeprefix("tied: consistent with ").split(";")[0].split(", and with ")
        pairs = [frozenset(words.split(" and ")) for words in listed]
        assert frozenset({"spatially-averaged", "sign-flipped"}) in pairs
        assert frozenset({"batch-averaged", "sign-flipped"}) in pairs
        assert len(set(pairs)) == len(pairs) <= 3
        assert set(names) == set().union(*pairs)


class TestStructure:
    def test_a_flip(self):
        name, text = explained("weight", lambda scene, right: right[..., ::-1])
        assert (name, text) == (
            "right-when-flipped", "The gradient is right but for being reversed along kernel column.",
        )  # fmt: skip

    def test_a_transposition(self):
        name, text = explained("input", lambda scene, right: right.transpose(0, 2, 3, 1))
        assert (name, text) == (
            "right-when-transposed", "The values are right, with the axes in the order sample, row, column, channel.",
        )  # fmt: skip

    def test_a_shape(self):
        name, text = explained("bias", lambda scene, right: right.reshape(1, -1))
        assert (name, text) == ("right-when-reshaped", "The values are right, in shape (1, 3).")

    def test_a_shift(self):
        def shifted(scene, right):
            moved = np.full_like(right, 9)
            moved[..., 2:, :-1] = right[..., :-2, 1:]
            return moved

        name, text = explained("input", shifted)
        assert (name, text) == (
            "right-when-shifted", "The gradient is right but for a shift: +2 along row, -1 along column.",
        )  # fmt: skip

    def test_a_factor_for_every_filter(self):
        factors = np.array([1, 2, -3]).reshape(3, 1, 1, 1)
        name, text = explained("weight", lambda scene, right: right * factors[: len(right)])
        assert (name, text) == (
            "factor-per-slice", "Every filter is right up to a factor of its own: 1, 2, -3.",
        )  # fmt: skip

    def test_a_constant(self):
        name, text = explained("bias", lambda scene, right: right + 7)
        assert (name, text) == ("constant-added", "Every entry is too large by 7.")

    def test_weight_decay(self):
        name, text = explained("weight", lambda scene, right: right + 0.01 * scene.weight)
        assert (name, text) == ("operand-added", "The weight itself, times 0.01, is added.")

    def test_a_margin_too_much(self):
        def wide(scene, right):
            return np.pad(right, ((0, 0), (0, 0), (2, 0), (1, 3)), constant_values=9)

        name, text = explained("input", wide)
        assert name == "right-when-cropped"
        assert "too large: by 2 in front of and 0 behind the rows, 1 in front of and 3 behind the columns" in text

    def test_a_margin_too_little(self):
        (diagnosis,) = diagnose(LAYER, "weight", spoiled("weight", lambda scene, right: right[:, :, 1:])).diagnoses
        assert diagnosis.name == "right-when-cropped"
        assert "too small: by 1 in front of and 0 behind the kernel rows" in diagnosis.explanation
        assert "shape (3, 2, 3, 2)" in diagnosis.fix

    def test_the_numbers_that_are_told_are_those_that_matter(self):
        factors = np.array([1, 1 / 3, -2.5]).reshape(3, 1, 1, 1)
        _, text = explained("weight", lambda scene, right: right * factors[: len(right)])
        assert text == "Every filter is right up to a factor of its own: 1, 0.333, -2.5."

    def test_a_part_that_is_right(self):
        def spoil(scene, right):
            right[:, 1, -1] = 0
            return right

        name, text = explained("input", spoil)
        assert name == "partly-right"
        assert text == (
            "The gradient is right elsewhere and wrong only channel 1 of 0..1, row 7 of 0..7, 7 of 11 columns "
            "(zero there)."
        )

    def test_nothing_is_made_up(self):
        def noise(scene, right):
            return np.random.default_rng(1).integers(-9, 9, right.shape).astype(float)

        finding = diagnose(LAYER, "input", spoiled("input", noise))
        assert finding.diagnoses == ()


class TestBounds:
    BIG = Layer(64, 96, 3, stride=2, padding=1, groups=2, input=(56, 60), batch=4, name="big")

    def test_a_large_layer_is_diagnosed_on_a_small_one_which_is_told(self):
        names, finding = found(self.BIG, "input", form("kernel-not-flipped", "input"))
        assert names == ["kernel-not-flipped"]
        assert finding.note == (
            "found on a smaller layer of the same kind: {channels: 6, filters: 8, kernel: 3, stride: 2, padding: 1, "
            "groups: 2, input: [6, 8], batch: 2}"
        )

    def test_what_is_only_alike_is_told_with_the_layer_too(self):
        names, finding = found(self.BIG, "bias", lambda scene, right: right + 7)
        assert names == ["constant-added"]
        assert finding.note.startswith("found on a smaller layer of the same kind: {channels: ")

    def test_two_mistakes_there_are_told_with_the_layer(self):
        def both(scene, right):
            _, changed = next(mistake("kernel-not-flipped").scenes(scene, "input"))
            return -changed.answer("input")

        names, finding = found(self.BIG, "input", both)
        assert set(names) == {"kernel-not-flipped", "sign-flipped"}
        assert finding.note.startswith("found on a smaller layer")
        assert finding.note.endswith("batch: 2}; 2 mistakes at once")

    def test_what_is_wrong_on_the_large_layer_only_is_told_so(self):
        def spoil(scene, right):
            return right if scene.layer.input[0] < 50 else -right

        finding = diagnose(self.BIG, "weight", spoiled("weight", spoil))
        assert finding.diagnoses == ()
        assert finding.note.startswith("right on a smaller layer of the same kind: {channels: 6")

    def test_a_failed_projection_gets_its_worst_entry_and_a_diagnosis(self):
        layer = Layer(8, 8, 3, input=(12, 12), batch=2)
        report = verify(layer, target=wrong("weight", np.negative), checks=["projected"])
        result = next(result for result in report.layers[0].results if result.gradient == "weight")
        assert result.status == "failed"
        assert result.diagnosis[0].name == "sign-flipped"
        assert len(result.worst.index) == 4
        assert result.worst.analytic == -result.worst.numeric
        assert "of 576 entries differ from the built-in backward pass; " in result.message

    @settings(max_examples=100, deadline=None)
    @given(layers(dtypes=("float64", "float32")))
    def test_shrinking_leaves_a_small_layer_alone(self, layer):
        if layer.multiply_adds <= SMALL:
            assert shrunk(layer) is layer

    @pytest.mark.parametrize(
        "layer",
        [
            BIG,
            Layer(512, 512, [2], dilation=512, padding=[[512, 0]], input=[16000], batch=1),
            Layer(3, 64, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), input=(16, 112, 112), batch=1),
            Layer(2, 2, [400], padding=[200], input=[9000]),
            Layer(256, 256, 3, padding=40, input=(56, 57)),
        ],
    )
    def test_shrinking_keeps_the_kind(self, layer):
        small = shrunk(layer)
        assert small.multiply_adds <= SMALL
        assert (small.stride, small.dilation, small.bias) == (layer.stride, layer.dilation, layer.bias)
        assert [axis.remainder for axis in small.axes] == [axis.remainder for axis in layer.axes]
        assert (small.channels == small.filters) == (layer.channels == layer.filters)
        for sizes, originals in (
            (small.kernel, layer.kernel),
            (small.output, layer.output),
            (small.input, layer.input),
        ):
            assert (len(set(sizes)) == 1) == (len(set(originals)) == 1)


class TestInReports:
    def test_central_and_exact_get_the_same_diagnosis(self):
        report = verify(LAYER, target=mistaken(mistake("stride-ignored"), "input", ""))
        failed = [result for result in report.layers[0].results if result.status == "failed"]
        assert [result.check for result in failed] == ["central", "exact"]
        assert all([d.name for d in result.diagnosis] == ["stride-ignored"] for result in failed)

    def test_it_is_in_the_table_and_the_json(self):
        report = verify(LAYER, target=mistaken(mistake("stride-ignored"), "input", ""), checks=["exact"])
        assert "diagnosis  stride-ignored: The backward pass places the windows side by side;" in str(report)
        (failed,) = [r for r in report.to_dict()["layers"][0]["results"] if r["status"] == "failed"]
        assert failed["diagnosis"][0].keys() == {"code", "name", "explanation", "fix"}

    def test_a_target_that_raises_on_any_other_run(self):
        class Flaky(Right):
            runs = 0

            def backward(self, grad_output):
                Flaky.runs += 1
                if Flaky.runs > 1:
                    raise RuntimeError("out of order")
                return tuple(None if g is None else -g for g in super().backward(grad_output))

        report = verify(LAYER, target=Flaky, checks=["exact"])
        assert not report.passed
        assert all(result.diagnosis == () for result in report.layers[0].results)


class TestWhatTheCodeGives:
    @pytest.mark.parametrize("kind", [bool, complex, object, str])
    def test_what_is_no_number_is_no_fingerprint(self, kind):
        finding = diagnose(LAYER, "weight", spoiled("weight", lambda scene, right: (-right).astype(kind)))
        assert (finding.diagnoses, finding.note) == ((), None)

    @pytest.mark.parametrize("kind", [np.int64, np.float32])
    def test_numbers_of_another_kind_are(self, kind):
        assert found(LAYER, "weight", lambda scene, right: (-right).astype(kind))[0] == ["sign-flipped"]

    def test_nothing_at_all_is_nothing_to_say(self):
        finding = diagnose(LAYER, "weight", lambda layer, operands: {"input": np.zeros(layer.input_shape)})
        assert (finding.diagnoses, finding.note) == ((), None)

    def test_without_exact_integers_nothing_can_be_said(self, monkeypatch):
        monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 2))
        names, finding = found(LAYER, "weight", lambda scene, right: -right)
        assert names == []
        assert finding.note.startswith("no integers")

    def test_code_that_writes_into_its_arguments_is_compared_with_what_it_was_given(self):
        def rerun(layer, operands):
            wrong = -Scene(layer, operands).answer("weight")
            operands.x[...] = operands.grad_output[...] = 0
            return {"weight": wrong}

        assert [d.name for d in diagnose(LAYER, "weight", rerun).diagnoses] == ["sign-flipped"]

    def test_it_is_run_once_where_one_mistake_explains_it_and_a_few_times_for_several(self):
        def runs(layer, spoil):
            calls = []

            def rerun(other, operands):
                calls.append(other)
                scene = Scene(other, operands)
                return {"weight": spoil(scene, scene.answer("weight"))}

            diagnose(layer, "weight", rerun)
            return calls

        assert runs(LAYER, form("weight-gradient-flipped", "weight")) == [LAYER]
        tied = Layer(2, 2, 2, input=(3, 2), batch=2)
        assert 1 < len(runs(tied, form("spatially-averaged", "weight"))) <= 13
        # Code that is wrong in another way on every other layer separates nothing, and is not run for ever.
        erratic = runs(tied, lambda scene, right: right / 2 if scene.layer == tied else right + len(right))
        assert 2 < len(erratic) <= 13
        assert len(set(erratic)) == len(erratic)


class TestAtFullSize:
    """A layer that is right once it is shrunk is tried as it is, up to a size, and for single mistakes."""

    MIDDLE = Layer(16, 16, 3, padding=1, input=(20, 20), batch=2)

    def find(self, spoil):
        def only_here(scene, right):
            return spoil(scene, right) if scene.layer == self.MIDDLE else right

        return found(self.MIDDLE, "input", only_here)

    def test_the_layer_is_one_that_is_shrunk(self):
        assert shrunk(self.MIDDLE) is not self.MIDDLE
        assert found(self.MIDDLE, "input", form("kernel-not-flipped", "input"))[1].note.startswith("found on a smaller")

    def test_a_mistake_is_found_there(self):
        names, finding = self.find(form("kernel-not-flipped", "input"))
        assert (names, finding.note) == (["kernel-not-flipped"], None)

    def test_two_at_once_are_not_looked_for(self):
        def both(scene, right):
            _, changed = next(mistake("kernel-not-flipped").scenes(scene, "input"))
            return -changed.answer("input")

        assert set(found(LAYER, "input", both)[0]) == {"kernel-not-flipped", "sign-flipped"}
        names, finding = self.find(both)
        assert not {"kernel-not-flipped", "sign-flipped"} & set(names)
        assert finding.note is None

    def test_up_to_a_size(self, monkeypatch):
        for limit, names in ((self.MIDDLE.multiply_adds, ["sign-flipped"]), (self.MIDDLE.multiply_adds - 1, [])):
            monkeypatch.setattr("convcheck.mistakes.diagnose._FULL_SIZE", limit)
            found_names, finding = self.find(lambda scene, right: -right)
            assert found_names == names
        assert finding.note.startswith("right on a smaller layer of the same kind: {channels: ")

    def test_code_that_gives_nothing_there_is_right_on_the_smaller_one(self):
        small = shrunk(self.MIDDLE)
        finding = diagnose(self.MIDDLE, "input", spoiled("input", lambda scene, right: right, only=small))
        assert finding.diagnoses == ()
        assert finding.note.startswith("right on a smaller layer")

    def test_what_is_right_everywhere_says_so(self):
        finding = diagnose(self.MIDDLE, "input", spoiled("input", lambda scene, right: right))
        assert finding.diagnoses == ()
        assert finding.note.startswith("right on a smaller layer")
        assert diagnose(LAYER, "input", spoiled("input", lambda scene, right: right)).note is None


class TestFractions:
    """A mean may be taken before or after the sum, so it agrees up to rounding; integers agree or do not."""

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_agree_up_to_the_rounding_of_as_many_terms(self, dtype):
        layer = replace(LAYER, dtype=dtype)

        def averaged(scene, right, share):
            made = right.astype(np.float64) / layer.batch
            terms = scene.grad_output.size + scene.weight.size
            made[0, 0, 0, 0] += share * terms * np.finfo(dtype).eps * np.abs(made).max()
            return made

        for share, agrees in ((0.95, True), (1.05, False)):
            names, _ = found(layer, "weight", lambda scene, right, s=share: averaged(scene, right, s))
            assert ("batch-averaged" in names) is agrees

    def test_integers_agree_exactly(self):
        def nearly(scene, right):
            wrong = form("kernel-not-flipped", "input")(scene, right).astype(np.float64)
            wrong.flat[0] += 1e-12
            return wrong

        assert "kernel-not-flipped" not in found(LAYER, "input", nearly)[0]
