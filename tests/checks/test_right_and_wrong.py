"""Right code that must not be accused, and the wrong twin of each that must be."""

import platform
import time
from dataclasses import replace

import numpy as np
import pytest

from convcheck import Layer, verify
from tests.targets_for_tests import UNFOLD, Backward, Right, Unflipped, rounded, with_operands, wrong

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3)


def results(report, **wanted):
    found = [r for layer in report.layers for r in layer.results]
    return [r for r in found if all(getattr(r, key) == value for key, value in wanted.items())]


def names(report):
    return {d.name for r in results(report) for d in r.diagnosis}


class UsesItsMemoryUp(Right):
    """A backward pass that may run once per forward pass."""

    def backward(self, grad_output):
        gradients = super().backward(grad_output)
        self.x = np.zeros_like(self.x)
        return gradients


class FreesItsMemory(Right):
    def backward(self, grad_output):
        gradients = super().backward(grad_output)
        del self.x
        return gradients


class TestOncePerForwardPass:
    @pytest.mark.parametrize("target", [UsesItsMemoryUp, FreesItsMemory])
    def test_is_a_note_and_no_failure(self, target):
        report = verify(LAYER, target=target)
        assert report.passed, report
        assert any("once per forward pass" in (r.message or "") for r in results(report, status="passed"))

    def test_a_wrong_gradient_is_wrong_all_the_same_and_its_own_numbers_are_shown(self):
        class Wrong(UsesItsMemoryUp):
            def backward(self, grad_output):
                right = super().backward(grad_output)
                return right.input, 2 * right.weight, right.bias

        report = verify(LAYER, target=Wrong)
        (exact,) = results(report, gradient="weight", check="exact")
        assert exact.status == "failed"
        assert exact.worst.analytic == 2 * exact.worst.numeric
        assert "nondeterministic" not in names(report)

    def test_what_differs_on_a_new_object_too_is_nondeterministic(self):
        class Random(Right):
            calls = 0

            def backward(self, grad_output):
                Random.calls += 1
                right = super().backward(grad_output)
                return right.input + Random.calls // 2, right.weight, right.bias

        report = verify(LAYER, target=Random, checks=["forward", "exact"])
        assert not report.passed
        assert "nondeterministic" in names(report)

    def test_adding_to_the_first_result_is_still_a_mistake(self):
        class Adds(Right):
            total = None

            def backward(self, grad_output):
                right = super().backward(grad_output)
                self.total = right.weight if self.total is None else self.total + right.weight
                return right.input, self.total.copy(), right.bias

        assert "stale-accumulation" in names(verify(LAYER, target=Adds))

    def test_a_second_call_that_fails_on_a_new_object_too_is_an_error(self):
        class Tired(Right):
            calls = 0

            def backward(self, grad_output):
                Tired.calls += 1
                if Tired.calls > 1:
                    raise RuntimeError("tired")
                return super().backward(grad_output)

        report = verify(LAYER, target=Tired)
        assert not report.passed
        assert any("tired" in (r.message or "") for r in results(report, status="error"))


class TestRoundsByDesign:
    ZERO_WEIGHT_GRADIENT = Layer(2, 3, 2, stride=5, padding=((4, 4), (4, 4)), input=(1, 1), batch=2)

    def test_a_weight_gradient_that_is_all_zero_passes(self):
        layer = self.ZERO_WEIGHT_GRADIENT
        assert not UNFOLD.backward(
            layer, np.ones(layer.input_shape), np.ones(layer.weight_shape), np.ones(layer.output_shape)
        ).weight.any()
        assert verify(layer, target={"call": Right, "exact": False}).passed

    def test_and_one_that_is_not_zero_there_does_not(self):
        target = {"call": wrong("weight", lambda a: a + 1e-3), "exact": False}
        assert not verify(self.ZERO_WEIGHT_GRADIENT, target=target).passed

    def test_beyond_the_budget_too(self, monkeypatch):
        monkeypatch.setattr("convcheck.verification.WORK_BUDGET", 1.0)
        assert verify(LAYER, target={"call": Right, "exact": False}).passed
        assert not verify(LAYER, target={"call": Unflipped, "exact": False}).passed


def test_two_wrong_rounding_steps_show_in_one_gradient_alone():
    class OnlyWeights(Backward):
        def backward(self, grad_output):
            right, coarse = super().backward(grad_output), [rounded(a, 10) for a in (self.x, grad_output)]
            return right.input, UNFOLD.backward(self.layer, coarse[0], self.weight, coarse[1]).weight, right.bias

    layer = Layer(16, 16, 3, input=(24, 26), dtype="float32")
    bad = [r for r in results(verify(layer, target=OnlyWeights)) if not r.acceptable]
    assert {(r.gradient, r.check, r.condition) for r in bad} == {("weight", "conditions", "real")}


@pytest.mark.parametrize("factor", [1.05, 2])
def test_code_that_rounds_by_design_is_not_let_off_with_a_wrong_scale(factor):
    layer = Layer(24, 24, 3, input=(24, 26), dtype="float32")
    target = {"call": wrong("weight", lambda a: (factor * a).astype(a.dtype)), "exact": False}
    report = verify(layer, target=target)
    assert not report.passed
    assert {r.gradient for r in results(report, status="failed")} == {"weight"}
    assert verify(layer, target={"call": Right, "exact": False}).passed


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_code_that_rounds_by_design_is_looked_at_everywhere(dtype):
    """A border that is left out shows although sharp bounds need a grad_output of few entries."""
    layer = Layer(64, 5, 3, padding=1, input=(28, 28), batch=4, bias=False, dtype=dtype)

    def without_border(x, weight, grad_output):
        inner = grad_output.copy()
        inner[..., -1, :] = inner[..., -1] = 0
        return x, weight, inner

    assert not verify(layer, target={"call": with_operands(without_border), "exact": False}).passed
    assert verify(layer, target={"call": Right, "exact": False}).passed


class Relu(Right):
    """A convolution with a ReLU inside, and the gradient of just that."""

    def forward(self, x, weight, bias, layer):
        self.output = super().forward(x, weight, bias, layer)
        return np.maximum(self.output, 0)

    def backward(self, grad_output):
        return super().backward(np.where(self.output > 0, grad_output, 0))


class Partial(Right):
    """A partial convolution: every output divided by the share of its window that lies inside the input."""

    def share(self, layer, dtype):
        ones = np.ones((1, layer.channels, *layer.input), dtype)
        kernel = np.ones(layer.weight_shape, dtype)
        return UNFOLD.forward(layer, ones, kernel, None) / (layer.channels_per_group * np.prod(layer.kernel))

    def forward(self, x, weight, bias, layer):
        self.scale = 1 / self.share(layer, x.dtype)
        output = super().forward(x, weight, None, layer) * self.scale
        return output + bias[:, None, None]

    def backward(self, grad_output):
        scaled = super().backward(grad_output * self.scale)
        return scaled.input, scaled.weight, grad_output.sum(axis=(0, 2, 3))


class TestOtherForwardPasses:
    def test_one_that_is_not_linear_is_told_and_its_gradient_not_accused(self):
        report = verify(LAYER, target=Relu)
        assert not report.passed
        for gradient in ("input", "weight", "bias"):
            (exact,) = results(report, gradient=gradient, check="exact")
            assert exact.status == "inconclusive"
            assert "not linear" in exact.message

    def test_one_that_rounds_agrees_with_its_own_differences_up_to_rounding(self):
        layer = Layer(2, 3, 3, padding=1, input=(5, 6))
        report = verify(layer, target=Partial)
        assert not report.passed
        for gradient in ("input", "weight", "bias"):
            (exact,) = results(report, gradient=gradient, check="exact")
            assert exact.status == "passed"
            assert "own forward pass" in exact.message
            assert exact.allowed_error < 1e-8

    def test_and_a_wrong_gradient_of_it_does_not(self):
        class WrongScale(Partial):
            def backward(self, grad_output):
                scaled = UNFOLD.backward(self.layer, self.x, self.weight, grad_output)
                return scaled.input, scaled.weight, grad_output.sum(axis=(0, 2, 3))

        layer = Layer(2, 3, 3, padding=1, input=(5, 6))
        (exact,) = results(verify(layer, target=WrongScale), gradient="input", check="exact")
        assert exact.status == "failed"


class Unwritten(Right):
    """Leaves the last channel of dL/dX as ``np.empty`` gave it."""

    def backward(self, grad_output):
        right = super().backward(grad_output)
        grad_input = np.empty_like(right.input)
        grad_input[:, :-1] = right.input[:, :-1]
        return grad_input, right.weight, right.bias


class UnwrittenZeros(Right):
    """Relies on fresh memory being zero where the gradient is: behind the last window."""

    def backward(self, grad_output):
        right = super().backward(grad_output)
        grad_input = np.empty_like(right.input)
        grad_input[..., :-2, :] = right.input[..., :-2, :]
        return grad_input, right.weight, right.bias


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is filled by the C library, glibc's")
def test_memory_that_is_never_written_does_not_look_like_zeros():
    layer = Layer(2, 3, 1, stride=3, input=(120, 150), batch=2)
    assert (
        UNFOLD.backward(layer, np.ones(layer.input_shape), np.ones(layer.weight_shape), np.ones(layer.output_shape))
        .input[..., -2:, :]
        .any()
        == np.False_
    )
    assert layer.batch * layer.channels * 120 * 150 * 8 > 2 * 128 * 1024
    assert not verify(layer, target=UnwrittenZeros, checks=["forward", "exact"]).passed
    assert not verify(layer, target=Unwritten, checks=["forward", "exact"]).passed
    assert verify(layer, target=Right, checks=["forward", "exact"]).passed


@pytest.mark.parametrize("seconds", [0.005, pytest.param(0.25, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "target", [Right, Unflipped, wrong("weight", np.negative), wrong("input", lambda a: a * (1 + 1e-9)), Relu]
)
def test_the_verdict_does_not_depend_on_how_slow_the_code_is(target, seconds):
    """The same checks are made of fast and slow code, with the same outcome."""
    layer = Layer(1, 2, [2], input=[4])

    class Slow(target):
        calls = 0

        def forward(self, x, weight, bias, layer):
            type(self).calls += 1
            time.sleep(seconds)
            return super().forward(x, weight, bias, layer)

    began = time.perf_counter()
    slow = verify(layer, target=Slow)
    assert time.perf_counter() - began >= Slow.calls * seconds
    assert slow.passed is (target is Right)
    fast = verify(layer, target=target)
    assert [replace(r, implementation="") for r in results(slow)] == [
        replace(r, implementation="") for r in results(fast)
    ]
