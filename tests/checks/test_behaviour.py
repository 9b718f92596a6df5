"""What a target does beside its result shows in the result that it belongs to; a twin that does not do it passes."""

from math import inf

import numpy as np
import pytest

from convcheck import verify
from convcheck.checks import central, forward
from convcheck.checks import exact as exact_check
from convcheck.checks.behaviour import with_behaviour
from convcheck.checks.observed import Fault, Observed, explained
from convcheck.checks.plan import gradients_of
from convcheck.checks.verdict import raised
from convcheck.mistakes import mistake
from convcheck.reports.results import GradientResult
from tests.parts import ENTRIES, GRADIENTS, LAYER, expected, observed, right_arrays, target
from tests.targets_for_tests import Right, TrueConvolution, one_entry_nan, wrong

CHECKS = ["forward", "exact"]


def found(code, *, exact=True, layer=LAYER):
    """(array, status, names of the mistakes, message) of every result that is not passed."""
    bad = [r for r in behaviour(code, exact, layer) if not r.acceptable]
    return [(r.gradient, r.status, [d.name for d in r.diagnosis], r.message or "") for r in bad]


def behaviour(code, exact=True, layer=LAYER):
    """The results of the forward pass and of every gradient, with what the target's behaviour says."""
    code = target(code, exact=exact)
    asked = expected(layer, code)
    seen = Observed.of(code, layer, asked.operands, twice=True)
    results = [forward.check(asked, seen, seen)]
    for gradient in gradients_of(layer):
        try:
            if exact:
                results.append(exact_check.check(asked, seen, gradient, inf))
            else:
                results.append(central.check(asked, seen, gradient))
        except Exception as error:
            results.append(raised(asked, code.name, gradient, "exact", explained(error)))
    return with_behaviour(results, asked, seen)


def changing(which, change, after=1):
    """Right for so many calls of one pass of every object; then what ``change`` makes of it."""

    class Changing(Right):
        calls = 0

        def changed(self, pass_, value):
            if pass_ != which:
                return value
            type(self).calls += 1
            return value if type(self).calls <= after else change(value)

        def forward(self, x, weight, bias, layer):
            return self.changed("forward", super().forward(x, weight, bias, layer))

        def backward(self, grad_output):
            right = super().backward(grad_output)
            return self.changed("backward", right)

    return Changing


def one_more(gradient):
    """The triple of gradients, with 1 more in the last entry of one of them."""

    def change(right):
        arrays = {name: array.copy() for name, array in right._asdict().items()}
        arrays[gradient].flat[-1] += 1
        return tuple(arrays.values())

    return change


@pytest.mark.parametrize("exact", [True, False])
def test_right_code_has_no_findings(exact):
    assert found(Right, exact=exact) == []


@pytest.mark.parametrize("code", [Right, wrong("weight", one_entry_nan)])
def test_what_is_found_decides(code):
    report = verify(LAYER, target=code, checks=CHECKS)
    assert report.passed is (found(code) == []) is (code is Right)


class TestNotTheSameAgain:
    @pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
    def test_one_entry_of_a_second_backward_pass_is_enough(self, gradient):
        ((array, status, names, message),) = found(changing("backward", one_more(gradient)))
        assert (array, status, names) == (gradient, "failed", ["nondeterministic"])
        assert f"another grad_{gradient}" in message
        assert "are the second one's against the first one's; on whole numbers" in message
        assert "a race" in message

    def test_on_numbers_that_round_another_order_of_a_sum_might_explain_it(self):
        ((_, _, names, message),) = found(changing("backward", one_more("weight")), exact=False)
        assert names == ["nondeterministic"]
        assert "race" not in message

    def test_the_numbers_are_those_of_the_second_against_the_first(self):
        report = verify(LAYER, target=changing("backward", one_more("weight")), checks=CHECKS)
        (bad,) = [r for r in report.layers[0].results if not r.acceptable]
        assert (bad.mismatches, bad.max_abs_error) == (1, 1.0)
        assert bad.worst.analytic == bad.worst.numeric + 1
        assert bad.worst.index == tuple(n - 1 for n in LAYER.weight_shape)

    def test_one_entry_of_a_second_forward_pass_is_enough(self):
        def change(output):
            output = output.copy()
            output.flat[-1] += 1
            return output

        (output, *_) = behaviour(changing("forward", change))
        assert (output.gradient, output.status) == ("output", "failed")
        assert [d.name for d in output.diagnosis] == ["nondeterministic"]
        assert output.message.startswith("two forward passes on the same data")
        assert "a race" in output.message
        assert (output.mismatches, output.max_abs_error) == (1, 1.0)
        assert output.worst.index == tuple(n - 1 for n in LAYER.output_shape)

    def test_a_second_output_of_another_shape_is_another_output(self):
        (output, *_) = found(changing("forward", lambda output: output[:, :, :-1]))
        assert output[:3] == ("output", "failed", ["nondeterministic"])

    def test_a_second_forward_pass_that_raises_is_an_error(self):
        def change(output):
            raise RuntimeError("only once")

        (output, *_) = found(changing("forward", change))
        assert output[:3] == ("output", "error", [])
        assert "a second forward pass on the same data raised" in output[3]
        assert "RuntimeError: only once" in output[3]

    def test_not_a_number_again_is_no_difference(self):
        ((array, _, names, _),) = found(wrong("weight", one_entry_nan))
        assert (array, names) == ("weight", ["non-finite"])

    def test_not_a_number_the_second_time_alone_is_a_difference(self):
        def change(right):
            return right.input, one_entry_nan(right.weight.copy()), right.bias

        ((array, status, names, _),) = found(changing("backward", change))
        assert (array, status, names) == ("weight", "failed", ["nondeterministic"])

    @pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
    def test_what_is_added_to_is_told_from_what_is_random(self, gradient):
        class Adds(Right):
            kept = None

            def backward(self, grad_output):
                right = super().backward(grad_output)._asdict()
                self.kept = right[gradient] + (0 if self.kept is None else self.kept)
                return tuple((right | {gradient: self.kept}).values())

        ((array, status, names, message),) = found(Adds)
        assert (array, status, names) == (gradient, "failed", ["stale-accumulation"])
        assert message.startswith(f"a second backward pass adds to the grad_{gradient} of the first")
        (numbers,) = [r for r in behaviour(Adds) if not r.acceptable]
        assert numbers.mismatches > 0
        assert numbers.worst.analytic == 2 * numbers.worst.numeric

    def test_memory_used_up_by_the_backward_pass_is_a_note(self):
        class UsedUp(Right):
            def backward(self, grad_output):
                right = super().backward(grad_output)
                self.x = self.x * 0
                return right

        assert found(UsedUp) == []
        report = verify(LAYER, target=UsedUp, checks=CHECKS)
        notes = {r.gradient: r.message for r in report.layers[0].results if r.message}
        assert set(notes) == {"weight"}
        assert "once per forward pass" in notes["weight"]

    def test_a_backward_pass_that_cannot_be_repeated_even_by_a_new_object_is_an_error(self):
        def change(right):
            raise RuntimeError("never again")

        ((array, status, names, message),) = found(changing("backward", change))
        assert (array, status, names) == ("input", "error", [])
        assert "also of a new object" in message
        assert "RuntimeError: never again" in message

    def test_one_that_a_new_object_repeats_is_a_note(self):
        class Once(Right):
            used = False

            def backward(self, grad_output):
                if self.used:
                    raise RuntimeError("used up")
                self.used = True
                return super().backward(grad_output)

        assert found(Once) == []

    @pytest.mark.parametrize(("amount", "passes"), [(1e-15, True), (1e-3, False)])
    @pytest.mark.parametrize("which", ["forward", "backward"])
    def test_code_that_rounds_may_differ_by_rounding_and_by_no_more(self, which, amount, passes):
        def change(value):
            return value * (1 + amount) if which == "forward" else tuple(a * (1 + amount) for a in value)

        bad = found(changing(which, change), exact=False)
        assert (bad == []) is passes
        if not passes:
            assert all("nondeterministic" in names for array, _, names, _ in bad if which == "backward")
            assert ("output" in [array for array, *_ in bad]) is (which == "forward")

    def test_on_integers_no_difference_is_rounding(self):
        def change(right):
            return tuple(array * (1 + 2.0**-50) for array in right)

        names = [names for _, _, names, _ in found(changing("backward", change))]
        assert names == [["nondeterministic"]] * 3

    def test_what_is_shown_then_is_how_far_the_calls_are_apart_and_nothing_is_allowed(self):
        def change(right):
            return tuple(array * 1.5 for array in right)

        for each in behaviour(changing("backward", change), exact=False)[1:]:
            assert each.status == "failed"
            assert each.allowed_error == 0
            assert each.max_rel_error == pytest.approx(1 / 3)


class TestWritten:
    @pytest.mark.parametrize("name", ["x", "weight", "bias"])
    def test_into_by_the_forward_pass(self, name):
        class Writes(Right):
            def forward(self, x, weight, bias, layer):
                given = {"x": x, "weight": weight, "bias": bias}
                output = super().forward(x.copy(), weight.copy(), bias.copy(), layer)
                given[name].flat[0] += 1
                return output

        ((array, status, names, message),) = found(Writes)
        assert (array, status, names) == ("output", "failed", ["inputs-modified"])
        assert message == f"the forward pass writes into its argument {name}"

    @pytest.mark.parametrize(("name", "shown"), [("x", "input"), ("weight", "weight"), ("grad_output", "input")])
    def test_into_by_the_backward_pass(self, name, shown):
        class Writes(Right):
            def forward(self, x, weight, bias, layer):
                self.given = {"x": x, "weight": weight}
                return super().forward(x.copy(), weight.copy(), bias.copy(), layer)

            def backward(self, grad_output):
                right = super().backward(grad_output.copy())
                (self.given | {"grad_output": grad_output})[name].flat[0] += 1
                return right

        ((array, status, names, message),) = found(Writes)
        assert (array, status, names) == (shown, "failed", ["inputs-modified"])
        assert message == f"the backward pass writes into its argument {name}"


class TestNotFinite:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
    def test_is_named_and_counted_in_a_gradient(self, gradient, value):
        def spoil(array):
            array.flat[[0, -1]] = value
            return array

        ((array, status, names, message),) = found(wrong(gradient, spoil))
        assert (array, status) == (gradient, "failed")
        assert names[0] == "non-finite"
        entries = {"input": 3 * 4 * 7 * 8, "weight": 6 * 2 * 2 * 3, "bias": 6}[gradient]
        assert f"2 of {entries:,} entries of grad_{gradient} are NaN or infinite" in message

    def test_is_named_and_counted_in_the_output(self):
        class Spoilt(Right):
            def forward(self, x, weight, bias, layer):
                return one_entry_nan(super().forward(x, weight, bias, layer))

        (output, *_) = found(Spoilt)
        assert output[:2] == ("output", "failed")
        assert "non-finite" in output[2]
        assert "1 of 576 entries of output are NaN or infinite" in output[3]


class TestOtherFindings:
    def test_nothing_for_a_gradient_has_its_name(self):
        ((array, status, names, message),) = found(wrong("weight", lambda array: None))
        assert (array, status, names) == ("weight", "failed", ["zero-gradient"])
        assert message.startswith("grad_weight is missing")

    def test_another_forward_pass_is_named_on_integers_and_not_where_the_data_are_real(self):
        (output, *_) = found(TrueConvolution)
        assert output[:3] == ("output", "failed", ["forward-is-convolution"])
        assert output[3].startswith("the forward pass flips the kernel")
        (output, *_) = found(TrueConvolution, exact=False)
        assert output[:3] == ("output", "failed", [])

    def test_one_that_nobody_knows_has_no_name(self):
        class Other(Right):
            def forward(self, x, weight, bias, layer):
                return super().forward(x, weight, bias, layer) + x.sum()

        (output, *_) = found(Other)
        assert output[:3] == ("output", "failed", [])

    def test_without_an_output_there_is_nothing_to_repeat(self):
        seen = observed(faults={"output": Fault("error", "broken")}, output=None)
        bad = result("output", "forward", "error", message="broken")
        assert with_behaviour([bad], expected(), seen) == [bad]


def result(gradient, check="exact", status="passed", **others):
    return GradientResult("mine", gradient, check, status, ENTRIES[gradient], **others)


def marked(results, **seen):
    """The results after one look at what is said to have been observed; the arrays are right unless they are given."""
    asked = expected()
    arrays = right_arrays(asked.integers) | seen.pop("arrays", {})
    return with_behaviour(results, asked, observed(arrays, output=arrays["output"], **seen))


def names(each):
    return [diagnosis.name for diagnosis in each.diagnosis]


WRITES = {"modified": {"forward": ("x",)}}


class TestPlace:
    """A finding is shown in the strictest check of its array; where that was not checked, in the strictest of all."""

    def test_the_strictest_check_of_the_array_has_it(self):
        kinds = ("central", "projected", "exact")
        for number in range(1, 4):
            given = [result("output", "forward"), *(result("weight", kind) for kind in kinds[:number])]
            found = marked(given, modified={"backward": ("weight",)})
            assert [each.check for each in found if not each.acceptable] == [kinds[:number][-1]]
            assert [each.status for each in found].count("failed") == 1

    def test_what_was_skipped_shows_nothing(self):
        given = [result("weight", "exact", "skipped"), result("weight", "central")]
        assert [each.status for each in marked(given, modified={"backward": ("weight",)})] == ["skipped", "failed"]
        given = [result("output", "forward", "skipped")]
        assert marked(given, **WRITES) == given

    def test_what_was_not_checked_is_shown_elsewhere(self):
        given = [result("weight", "central"), result("input", "exact"), result("bias", "skipped")]
        given[-1] = result("bias", "exact", "skipped")
        found = marked(given, **WRITES)
        assert [each.status for each in found] == ["passed", "failed", "skipped"]
        assert names(found[1]) == ["inputs-modified"]

    @pytest.mark.parametrize(
        ("name", "shown"), [("x", "input"), ("weight", "weight"), ("bias", "bias"), ("grad_output", "input")]
    )
    def test_an_argument_written_into_shows_in_its_gradient(self, name, shown):
        given = [result("output", "forward"), *(result(gradient) for gradient in GRADIENTS)]
        found = marked(given, modified={"backward": (name,), "forward": ()})
        assert [each.gradient for each in found if not each.acceptable] == [shown]
        assert f"the backward pass writes into its argument {name}" in next(e.message for e in found if e.message)


class TestMarks:
    def test_a_passed_result_fails_with_the_message(self):
        (found,) = marked([result("output", "forward", message="a note")], **WRITES)
        assert (found.status, names(found)) == ("failed", ["inputs-modified"])
        assert found.message == "the forward pass writes into its argument x"
        assert (found.mismatches, found.worst, found.max_abs_error) == (0, None, 0)

    def test_a_failed_one_keeps_its_numbers_its_message_and_its_mistake_behind(self):
        known = mistake("sign-flipped").diagnosis()
        given = result("output", "forward", "failed", message="everywhere", mismatches=7, diagnosis=(known,))
        (found,) = marked([given], **WRITES)
        assert found.message == "the forward pass writes into its argument x; everywhere"
        assert (found.mismatches, names(found)) == (7, ["inputs-modified", "sign-flipped"])

    def test_a_mistake_is_named_once(self):
        known = mistake("inputs-modified").diagnosis()
        (found,) = marked([result("output", "forward", "failed", diagnosis=(known,))], **WRITES)
        assert names(found) == ["inputs-modified"]
        assert "writes into" in found.message

    def test_two_findings_are_both_told(self):
        (found,) = marked([result("output", "forward")], modified={"forward": ("x", "weight")})
        assert names(found) == ["inputs-modified"]
        assert "argument x" in found.message
        assert "argument weight" in found.message

    def again(self, factor=1.0, more=0.0):
        right = right_arrays(expected().integers)
        return {name: right[name] * factor + (more if name == "weight" else 0) for name in GRADIENTS}

    def test_what_differs_from_call_to_call_resembles_nothing(self):
        known = mistake("sign-flipped").diagnosis()
        given = [result("weight", status="failed", diagnosis=(known,), mismatches=7)]
        (found,) = marked(given, again=self.again(more=1), anew=self.again(more=2))
        assert (names(found), found.mismatches) == (["nondeterministic"], 7)
        given = [result("weight", status="failed", diagnosis=(known,))]
        (found,) = marked(given, again=self.again(2), anew=self.again())
        assert names(found) == ["stale-accumulation", "sign-flipped"]

    def test_the_numbers_are_shown_only_in_the_arrays_own_result(self):
        own, other = (
            marked([result(gradient)], again=self.again(more=1), anew=self.again(more=2))[0]
            for gradient in ("weight", "bias")
        )
        assert own.status == other.status == "failed"
        assert (own.mismatches, own.max_abs_error) == (ENTRIES["weight"], 1)
        assert own.worst.analytic == own.worst.numeric + 1
        assert own.max_rel_error > 0
        assert own.allowed_error == 0
        assert (other.mismatches, other.worst) == (0, None)

    def test_a_note_is_added_to_what_is_there_and_fails_nothing(self):
        for message in (None, "the reason"):
            (found,) = marked([result("weight", message=message)], again=self.again(more=1), anew=self.again())
            assert found.status == "passed"
            assert found.message.startswith("the reason; " if message else "backward")
            assert "once per forward pass" in found.message

    def test_what_is_written_into_differs_the_next_time_and_is_one_mistake(self):
        given = [result("output", "forward"), result("weight"), result("input")]
        found = marked(given, again=self.again(more=1), anew=self.again(more=2), modified={"backward": ("x",)})
        assert [names(each) for each in found] == [[], [], ["inputs-modified"]]

    def test_a_second_pass_that_fails_is_an_error_unless_a_new_object_repeats_the_first(self):
        given, broken = [result("input")], Fault("error", "it broke")
        other, note = marked([result("weight"), *given], again=broken, anew=self.again())
        assert other == result("weight")
        assert note.status == "passed"
        assert "once per forward pass" in note.message
        (other,) = marked(given, again=broken, anew=self.again(more=1))
        (worse,) = marked(given, again=broken, anew=Fault("error", "broke again"))
        (alone,) = marked(given, again=broken)
        assert [each.status for each in (other, worse, alone)] == ["error"] * 3
        assert [each.message.split("\n")[-1] for each in (other, worse, alone)] == [
            "it broke",
            "broke again",
            "it broke",
        ]
        assert all("also of a new object" in each.message for each in (other, worse, alone))
        assert not any(each.diagnosis for each in (note, other, worse, alone))

    def test_another_shape_the_second_time_has_no_numbers(self):
        again = self.again()
        again["weight"] = again["weight"][:1]
        (found,) = marked([result("weight")], again=again, anew=again)
        assert (found.status, names(found), found.worst) == ("failed", ["nondeterministic"], None)
        assert "another grad_weight" in found.message

    def test_a_new_object_that_gives_less_has_repeated_what_it_gave(self):
        anew = self.again()
        del anew["bias"]
        (found,) = marked([result("weight")], again=self.again(more=1), anew=anew)
        assert found.status == "passed"

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_entries_that_are_not_finite_are_counted(self, value):
        right = right_arrays(expected().integers)["weight"].copy()
        right.flat[:3] = value
        (found,) = marked([result("weight")], arrays={"weight": right})
        assert (found.status, names(found)) == ("failed", ["non-finite"])
        assert found.message.startswith(f"3 of {ENTRIES['weight']} entries of grad_weight are NaN or infinite")
