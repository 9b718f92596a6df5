"""What a target does beside its result shows in the result that it belongs to; a twin that does not do it passes."""

import numpy as np
import pytest

from convcheck import Layer, verify
from tests.targets_for_tests import Right, one_entry_nan, wrong

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3)
CHECKS = ["forward", "exact"]


def found(target, *, exact=True, checks=CHECKS):
    """(array, status, names of the mistakes, message) of every result that is not passed, and the verdict."""
    report = verify(LAYER, target={"call": target, "exact": exact}, checks=checks)
    (layer,) = report.layers
    bad = [r for r in layer.results if not r.acceptable]
    assert report.passed is (not bad)
    return [(r.gradient, r.status, [d.name for d in r.diagnosis], r.message or "") for r in bad]


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
    assert found(Right, exact=exact, checks=["forward", "central", "exact"]) == []


class TestNotTheSameAgain:
    @pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
    def test_one_entry_of_a_second_backward_pass_is_enough(self, gradient):
        ((array, status, names, message),) = found(changing("backward", one_more(gradient)))
        assert (array, status, names) == (gradient, "failed", ["nondeterministic"])
        assert f"another grad_{gradient}" in message

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

        (output, *_) = found(changing("forward", change))
        assert output[:3] == ("output", "failed", ["nondeterministic"])
        assert "two forward passes on the same data" in output[3]

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

        bad = found(changing(which, change), exact=False, checks=["forward", "central"])
        assert (bad == []) is passes
        if not passes:
            assert all("nondeterministic" in names for array, _, names, _ in bad if which == "backward")
            assert ("output" in [array for array, *_ in bad]) is (which == "forward")


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
