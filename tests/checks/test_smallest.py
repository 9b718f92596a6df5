"""The smallest case that fails: it fails, in the same way, and no single further step of the search does."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcheck import Layer, UsageError, verify
from convcheck.checks import shrinking, smallest
from convcheck.checks.smallest import MOST_FAILURES
from convcheck.layer.plainer import plainer
from convcheck.mistakes import mistake
from convcheck.reports.results import LayerReport
from convcheck.targets import resolve
from tests.mistaken import forms_visible_on, mistaken
from tests.reports import CONV, TARGET, failing
from tests.strategies import layers
from tests.targets_for_tests import (
    UNFOLD,
    Right,
    SavedOnTheClass,
    TrueConvolution,
    Unflipped,
    one_entry_nan,
    one_entry_off,
    wrong,
)

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3)
STRIDED = Layer(3, 4, 3, stride=2, padding=1, input=(10, 11))
GROUPED = Layer(4, 4, (2, 3), stride=(2, 3), groups=2, input=(9, 10))
GRADIENTS = ("input", "weight", "bias")


class Spoiled(Right):
    """Right but for what ``spoiled`` makes of dL/dX."""

    def backward(self, grad_output):
        right = super().backward(grad_output)
        return self.spoiled(right.input.copy(), grad_output), *right[1:]


class Above64(Spoiled):
    def spoiled(self, array, grad_output):
        array[:, 64:] = 0
        return array


class LastTileOf8(Spoiled):
    def spoiled(self, array, grad_output):
        width = array.shape[-1]
        if width > 8:
            array[..., width - width % 8 :] = 0
        return array


class DirtyWhereEmpty(Spoiled):
    def spoiled(self, array, grad_output):
        return array if grad_output.any() else np.full_like(array, 7)


class OneTooShort(Spoiled):
    def spoiled(self, array, grad_output):
        return array[..., :-1] if self.layer.stride[-1] > 1 else array


class RaisesWithDilation(Right):
    def backward(self, grad_output):
        if max(self.layer.dilation) > 1:
            return [][len(self.layer.input)]
        return super().backward(grad_output)


class Adds(Right):
    total = 0

    def backward(self, grad_output):
        right = super().backward(grad_output)
        self.total = self.total + right.weight
        return right.input, self.total, right.bias


def formed(name, gradient):
    """A target that makes the first form of a mistake that shows on a layer with stride and groups."""
    variant = next(form for known, of, form in forms_visible_on(GROUPED) if (known.name, of) == (name, gradient))
    return mistaken(mistake(name), gradient, variant)


#: Targets, a layer on which each fails, the smallest one, and a word of what is said.
WRONG = {
    "unflipped": (Unflipped, LAYER, {"kernel": [2], "input": [2]}, "through tap [1]"),
    "stride": (formed("stride-ignored", "weight"), STRIDED, {"stride": [2]}, "reaches it through X"),
    "remainder": (formed("remainder-dropped", "input"), GROUPED, {"channels": 1}, ""),
    "groups": (formed("groups-ignored", "input"), GROUPED, {"groups": 2, "kernel": [1], "input": [1]}, "reaches it"),
    "channels": (Above64, Layer(70, 3, 2, input=(4, 5)), {"channels": 65, "filters": 1, "input": [1]}, "[0,64,0]"),
    "tile": (LastTileOf8, Layer(3, 4, 3, padding=1, input=(12, 12)), {"channels": 1, "input": [9]}, "dL/dX[0,0,8]"),
    "zero": (DirtyWhereEmpty, LAYER, {"kernel": [1], "input": [1]}, "is 7, should be 0: nothing"),
    "shape": (OneTooShort, STRIDED, {"stride": [2], "input": [1]}, "has shape (1, 1, 0); expected (1, 1, 1)"),
    "raises": (RaisesWithDilation, Layer(3, 4, 3, dilation=2), {"dilation": [2], "kernel": [1]}, "IndexError: list"),
    "accumulates": (Adds, LAYER, {"kernel": [1], "input": [1]}, "adds to the grad_weight of the first"),
    "class": (SavedOnTheClass, LAYER, {"kernel": [1], "input": [1]}, "dL/dX[0,0,0] is"),
    "nan": (wrong("weight", one_entry_nan), LAYER, {"kernel": [1], "input": [1]}, "dL/dW[0,0,0] is nan"),
    "forward": (TrueConvolution, LAYER, {"kernel": [2], "input": [2]}, "O[0,0,0] is"),
    "bias": (wrong("bias", one_entry_off), LAYER, {"kernel": [1], "input": [1]}, "dL/db[0] is 2, should be 1"),
}


def case_of(target, layer, **options):
    (found,) = verify(layer, target=target, **options).layers
    return found.smallest


@pytest.mark.parametrize("name", WRONG)
def test_the_smallest_case_of_wrong_code(name):
    target, layer, fields, said = WRONG[name]
    case = case_of(target, layer)
    assert {key: case.layer[key] for key in fields} == fields
    assert case.layer["batch"] == 1
    assert said in case.what
    assert case.runs < 500


@pytest.mark.parametrize("name", WRONG)
def test_it_fails_when_it_is_verified_like_any_layer_and_in_the_same_way(name):
    target, layer, _, _ = WRONG[name]
    case = case_of(target, layer)
    small = Layer(**case.layer)
    (found,) = verify(small, target=target, shrink=False).layers
    bad = [result for result in found.results if not result.acceptable and result.gradient == case.gradient]
    assert bad
    assert {result.condition for result in bad} == {case.condition}
    assert verify(small, target=Right).passed


@pytest.mark.parametrize("name", [name for name, (*_, said) in WRONG.items() if said.startswith(("[", "dL", "thr"))])
def test_its_numbers_are_those_of_its_operands(name):
    target, layer, _, _ = WRONG[name]
    case = case_of(target, layer)
    if case.condition == "interleaved":
        return
    small = Layer(**case.layer)
    x, weight, bias, grad_output = (np.array(case.operands[key]) for key in ("x", "weight", "bias", "grad_output"))
    code = target()
    code.forward(x, weight, bias, small)
    given = dict(zip(GRADIENTS, code.backward(grad_output), strict=True))[case.gradient]
    right = UNFOLD.backward(small, x, weight, grad_output)._asdict()[case.gradient]
    assert np.array_equal([given[case.index], right[case.index]], [case.analytic, case.numeric], equal_nan=True)


@pytest.mark.parametrize("layer", [LAYER, STRIDED, replace(LAYER, dtype="float32", bias=False)])
def test_right_code_is_never_shrunk(layer, monkeypatch):
    monkeypatch.setattr(smallest, "_search", None)
    report = verify(layer, target=Right)
    assert report.passed
    assert report.layers[0].smallest is None
    assert "smallest" not in report.to_dict()["layers"][0]


def test_only_where_asked_for_and_of_code_of_the_users_alone(monkeypatch):
    failed = LayerReport(CONV, (failing(CONV, TARGET, "input"), failing(CONV, "unfold", "weight")))
    assert smallest._chief(failed).implementation == TARGET
    assert smallest._chief(replace(failed, results=failed.results[1:])) is None
    monkeypatch.setattr(smallest, "_search", None)
    assert case_of(Unflipped, LAYER, shrink=False) is None


SPOILS = {
    "negated": np.negative,
    "one entry": one_entry_off,
    "first": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 0, 0, a),
    "reversed": lambda a: a[..., ::-1].copy(),
    "beyond 3": lambda a: np.concatenate([a[:, :3], 2 * a[:, 3:]], axis=1) if a.ndim > 1 else a,
    "nan": one_entry_nan,
}


@settings(max_examples=25, deadline=None)
@given(layers(max_axes=2), st.sampled_from(GRADIENTS), st.sampled_from(sorted(SPOILS)))
def test_a_shrunk_case_fails_and_no_single_further_step_does(layer, gradient, spoil):
    target = wrong(gradient, SPOILS[spoil])
    report = verify(layer, target=target, shrink=False)
    failed = smallest._chief(report.layers[0])
    if failed is None:
        return
    search = smallest._Search(resolve(target, Path()), layer, smallest._failure_of(failed), None, time.monotonic() + 60)
    search.start()
    if search.case is None:
        return
    search.shrink_layer()
    search.shrink_data()
    case = search.case
    assert case.result.status == "failed"
    for other in plainer(search.layer):
        assert not search.takes(other)
    for name, other in further(search):
        assert not search.takes_array(name, other)


def further(search):
    """Every single step of the search for plainer data."""
    for one in search.single_ones():
        yield "grad_output", one
    for name, array in search.arrays().items():
        for place in range(array.size):
            for value in (0, 1):
                if array.flat[place] not in (0, value):
                    other = array.copy()
                    other.flat[place] = value
                    yield name, other


class TestSizes:
    def test_a_size_from_which_it_fails_is_said(self):
        assert case_of(Above64, Layer(70, 3, 2, input=(4, 5))).note == "fails from 65 channels on"

    def test_so_is_one_with_which_it_fails_now_and_then(self):
        note = case_of(LastTileOf8, Layer(1, 2, 3, input=(12,))).note
        assert note == "fails with 9 input samples, not with 8 and 16"

    def test_small_ones_are_not_told(self):
        assert case_of(Unflipped, LAYER).note is None


class TestNames:
    def test_of_two_mistakes_that_show_on_different_layers_the_one_named_is_kept(self):
        class Two(Right):
            """Unflipped; with a stride, of the wrong sign as well."""

            def backward(self, grad_output):
                right = super().backward(grad_output)
                flipped = Unflipped()
                flipped.forward(self.x, self.weight, None, replace(self.layer, bias=False))
                sign = -1 if max(self.layer.stride) > 1 else 1
                return sign * flipped.backward(grad_output)[0], right.weight, right.bias

        (report,) = verify(replace(LAYER, stride=(1, 1)), target=Two).layers
        assert {d.name for r in report.results for d in r.diagnosis} == {"kernel-not-flipped"}
        assert max(report.smallest.layer["kernel"]) == 2
        (report,) = verify(LAYER, target=Two).layers
        named = {d.name for r in report.results for d in r.diagnosis}
        assert named == {"kernel-not-flipped", "sign-flipped"}
        assert "kernel-not-flipped" in report.smallest.note
        assert "this case alone is" in report.smallest.note

    def test_one_failure_on_many_layers_is_shrunk_once_and_shared(self):
        report = verify([replace(LAYER, name=f"conv{seed}", seed=seed) for seed in range(5)], target=Unflipped)
        assert len({id(layer.smallest) for layer in report.layers}) == 1
        assert report.layers[0].smallest is not None

    def test_of_many_failures_the_first_few_are_shrunk(self):
        class Raises(Right):
            def backward(self, grad_output):
                kinds = (KeyError, IndexError, ValueError, TypeError, ZeroDivisionError)
                raise kinds[self.layer.channels - 1]("no")

        report = verify([Layer(c, 2, 2, name=f"c{c}") for c in range(1, 6)], target=Raises)
        assert [layer.smallest is not None for layer in report.layers] == [n < MOST_FAILURES for n in range(5)]
        assert [layer.smallest.layer["channels"] for layer in report.layers[:3]] == [1, 2, 3]


class TestLimits:
    def test_the_search_ends_when_its_time_is_over_and_says_so(self):
        class Slow(Unflipped):
            def backward(self, grad_output):
                time.sleep(0.01)
                return super().backward(grad_output)

        case = case_of(Slow, LAYER, shrink_seconds=0.1)
        assert "ended early" in case.note
        assert case.runs <= 11

    def test_so_it_does_after_many_runs(self, monkeypatch):
        monkeypatch.setattr(shrinking, "MOST_RUNS", 5)
        case = case_of(Unflipped, LAYER)
        assert case.runs == 5
        assert "ended early" in case.note

    @pytest.mark.parametrize("seconds", [0, -1, float("nan")])
    def test_no_time_at_all_is_an_error(self, seconds):
        with pytest.raises(UsageError, match="shrink_seconds"):
            verify(LAYER, target=Right, shrink_seconds=seconds)

    def test_a_case_too_large_to_look_at_is_not_told(self, monkeypatch):
        monkeypatch.setattr(shrinking, "_MOST_ENTRIES", 5)
        assert case_of(Unflipped, LAYER) is None


class TestWhatCodeTakes:
    def test_layers_that_it_refuses_are_no_candidates(self):
        class Square(Unflipped):
            def forward(self, x, weight, bias, layer):
                if (
                    len(layer.input) != 2
                    or len(set(layer.kernel)) > 1
                    or layer.channels % 4
                    or layer.kernel[0] % 2 == 0
                ):
                    raise NotImplementedError("odd square kernels in 2-D, channels in fours")
                return super().forward(x, weight, bias, layer)

        case = case_of(Square, Layer(8, 3, 5, padding=2, input=(9, 9)))
        assert (case.layer["kernel"], case.layer["channels"]) == ([3, 3], 4)

    def test_nor_are_those_on_which_the_forward_pass_is_wrong_or_raises(self):
        class Narrow(Unflipped):
            def forward(self, x, weight, bias, layer):
                output = super().forward(x, weight, bias, layer)
                if layer.batch == 1:
                    raise ValueError("no batch")
                return output if layer.filters > 1 else output + 1

        case = case_of(Narrow, LAYER)
        assert (case.layer["batch"], case.layer["filters"]) == (2, 2)

    def test_a_failure_that_does_not_show_in_a_single_run_has_none(self):
        class Once(Right):
            calls = 0

            def backward(self, grad_output):
                type(self).calls += 1
                right = super().backward(grad_output)
                return (-right.input, *right[1:]) if type(self).calls == 1 else right

        report = verify(LAYER, target=Once)
        assert not report.passed
        assert report.layers[0].smallest is None

    def test_within_a_bound_too(self):
        layer = Layer(6, 3, 3, input=(8, 9), dtype="float32")
        target = {"call": wrong("weight", lambda a: (1.05 * a).astype(a.dtype)), "exact": False}
        case = case_of(target, layer)
        assert case.gradient == "weight"
        assert case.layer["channels"] == 1
        assert case_of({"call": Right, "exact": False}, layer) is None
