"""Conditions: a target that is wrong under one of them alone is caught and told so; its right twin passes."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.checks import conditions
from convcheck.layer.data import integer_operands, real_operands, short_sums, with_zeros
from convcheck.layer.fields import Dtype
from convcheck.mistakes.conditions import CONDITIONS
from tests.targets_for_tests import UNFOLD, Backward, Right, rounded, with_operands, wrong

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3)


def results(report, **wanted):
    found = [r for layer in report.layers for r in layer.results]
    return [r for r in found if all(getattr(r, key) == value for key, value in wanted.items())]


def failing(target, layer=LAYER, **options):
    """The conditions under which a target fails, and what it is called there; all else must have passed."""
    report = verify(layer, target=target, **options)
    assert not report.passed
    assert all(r.acceptable for r in results(report) if r.check != "conditions"), report
    bad = [r for r in results(report) if not r.acceptable]
    assert all(r.diagnosis for r in bad if r.status == "failed")
    return {r.condition for r in bad}


class StopsAtZero(Backward):
    """A shortcut for zeros that breaks out of the loop instead of going on with the next filter."""

    def changed(self, x, weight, grad_output):
        shortened = grad_output.copy()
        for image in shortened:
            empty = [f for f in range(len(image)) if (image[f] == 0).any()]
            if empty:
                image[empty[0] + 1 :] = 0
        return x, weight, shortened


class DirtyWhereEmpty(Backward):
    """Leaves dL/dX unwritten where all of grad_output is zero."""

    def backward(self, grad_output):
        right = super().backward(grad_output)
        return right if grad_output.any() else (np.full_like(right.input, 7), *right[1:])


class SavedOnTheClass(Right):
    def forward(self, x, weight, bias, layer):
        type(self).saved = x, weight, layer
        return UNFOLD.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        x, weight, layer = self.saved
        return UNFOLD.backward(layer, x, weight, grad_output)


class OneBufferForAllCalls(Right):
    buffers: ClassVar = {}

    def backward(self, grad_output):
        given = []
        for name, array in zip("iwb", super().backward(grad_output), strict=True):
            buffer = self.buffers.setdefault((name, array.shape), np.empty_like(array))
            buffer[...] = array
            given.append(buffer)
        return tuple(given)


class KeptOnAStack(Right):
    """Takes what the last forward pass of any object has saved."""

    stack: ClassVar = []

    def forward(self, x, weight, bias, layer):
        output = super().forward(x, weight, bias, layer)
        self.stack.append((x, weight, layer))
        return output

    def backward(self, grad_output):
        if self.stack:
            self.x, self.weight, self.layer = self.stack.pop()
        return super().backward(grad_output)


class PackedOnce(Right):
    """Keeps the weights of the first call."""

    packed = None

    def backward(self, grad_output):
        if self.packed is None:
            self.packed = self.weight.copy()
        return UNFOLD.backward(self.layer, self.x, self.packed, grad_output)


SINGLE = replace(LAYER, dtype="float32")

WRONG = {
    "operands rounded to TF32": (with_operands(lambda *at: [rounded(a, 10) for a in at]), SINGLE, "real"),
    "operands rounded to bfloat16": (with_operands(lambda *at: [rounded(a, 7) for a in at]), SINGLE, "real"),
    "grad_output truncated": (with_operands(lambda x, w, g: (x, w, np.trunc(g))), LAYER, "real"),
    "grad_output as int8": (with_operands(lambda x, w, g: (x, w, g.astype(np.int8).astype(g.dtype))), LAYER, "real"),
    "stops at a zero": (StopsAtZero, LAYER, "sparse"),
    "dirty where grad_output is 0": (DirtyWhereEmpty, LAYER, "zero-grad-output"),
    "clipped at 0 where no weight is negative": (
        with_operands(lambda x, w, g: (x, w + (w > 0).all(), g)), LAYER, "one-sign",
    ),
    "clipped": (with_operands(lambda x, w, g: (x, w, g.clip(-100, 100))), LAYER, "large"),
    "saved on the class": (SavedOnTheClass, LAYER, "interleaved"),
    "kept on a stack": (KeptOnAStack, LAYER, "interleaved"),
    "wrong behind a ReLU": (
        with_operands(lambda x, w, g: (x, w + ((x >= 0).all() and (x == 0).any() and (g < 0).any()), g)),
        LAYER,
        "sparse",
    ),
    "one buffer for all calls": (OneBufferForAllCalls, LAYER, "interleaved"),
    "weights packed once": (PackedOnce, LAYER, "same-memory"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_under_one_condition_only_is_caught_there(name):
    target, layer, condition = WRONG[name]
    assert condition in failing(target, layer, checks=["forward", "exact", "conditions"])


def test_the_table_above_has_every_condition():
    assert set(CONDITIONS) == set(conditions.RUNS)
    assert {condition for _, _, condition in WRONG.values()} == set(CONDITIONS)


@pytest.mark.parametrize("layer", [LAYER, SINGLE, replace(LAYER, bias=False), replace(LAYER, batch=1)])
def test_right_code_passes_under_all_of_them(layer):
    report = verify(layer, target=Right)
    assert report.passed, report
    found = results(report, check="conditions")
    gradients = {"input", "weight", "bias"} if layer.bias else {"input", "weight"}
    assert {(r.condition, r.gradient) for r in found} == {
        (condition, gradient) for condition in CONDITIONS for gradient in gradients
    }
    assert all(r.entries_checked == r.entries and r.status == "passed" for r in found)


class TestNeverSkipped:
    """Real numbers are tried on every layer, whatever the budget and however long the sums."""

    @pytest.mark.parametrize("spoil", [np.trunc, lambda g: g.astype(np.int8).astype(g.dtype)])
    def test_beyond_the_budget(self, monkeypatch, spoil):
        monkeypatch.setattr("convcheck.verification.WORK_BUDGET", 1.0)
        target = with_operands(lambda x, w, g: (x, w, spoil(g)))
        (bad,) = {r.condition for r in results(verify(LAYER, target=target), check="conditions", status="failed")}
        assert bad == "real"
        report = verify(LAYER, target=Right)
        assert report.passed
        others = {r.condition: r.message for r in results(report, check="conditions", status="skipped")}
        assert set(others) == set(CONDITIONS) - {"real"}
        assert all("budget" in message for message in others.values())

    def test_where_no_integers_are_exact(self, monkeypatch):
        layer = Layer(1, 1, 1, input=(16, 17), batch=1, dtype="float32")
        monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 200))
        assert integer_operands(layer) is None
        report = verify(layer, target=Right)
        assert report.passed, report
        assert {r.status for r in results(report, check="conditions", condition="real")} == {"passed"}
        cubed = with_operands(lambda x, w, g: (x**3, w, g))
        assert "real" in failing(cubed, layer, checks=["forward", "exact", "conditions"])


class TestSharpBounds:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_the_bound_is_a_small_share_of_the_gradient(self, dtype):
        for layer in (LAYER, Layer(16, 16, 3, padding=1, input=(28, 28)), Layer(128, 64, 1, input=(7, 7), batch=9)):
            report = verify(replace(layer, dtype=dtype), target=Right, checks=["forward", "conditions"])
            for result in results(report, condition="real"):
                assert result.status == "passed"
                assert 0 < result.allowed_error < {"float32": 1e-3, "float64": 1e-11}[dtype]

    def test_a_bound_that_allows_too_much_is_no_pass(self, monkeypatch):
        monkeypatch.setattr("convcheck.checks.conditions._LARGEST_SHARE", 1e-9)
        report = verify(SINGLE, target=Right)
        assert {r.status for r in results(report, condition="real")} == {"inconclusive"}
        assert not report.passed

    def test_a_gate_takes_its_place(self):
        off = wrong("weight", lambda a: a * (1 + 1e-7))
        assert verify(LAYER, target=off, max_error=1e-6).passed
        assert not verify(LAYER, target=off, max_error=1e-8).passed


class TestObjects:
    def test_one_that_takes_one_forward_pass_is_not_accused(self):
        class OneShot(Right):
            used = False

            def forward(self, x, weight, bias, layer):
                if self.used:
                    raise RuntimeError("used up")
                self.used = True
                return super().forward(x, weight, bias, layer)

        report = verify(LAYER, target=OneShot)
        assert report.passed, report
        assert {r.status for r in results(report, condition="same-memory")} == {"skipped"}

    def test_a_buffer_of_the_objects_own_is_no_mistake(self):
        class Workspace(OneBufferForAllCalls):
            def __init__(self):
                self.buffers = {}

        assert verify(LAYER, target=Workspace).passed

    def test_a_refusal_under_a_condition_is_no_pass(self):
        class RefusesPositive(Right):
            def forward(self, x, weight, bias, layer):
                if (x > 0).all():
                    raise NotImplementedError("no such data")
                return super().forward(x, weight, bias, layer)

        assert failing(RefusesPositive) == {"one-sign"}


class TestData:
    def test_short_sums_keep_an_entry_of_every_filter_and_few_of_each(self):
        layer = Layer(3, 5, 2, input=(40, 40), batch=2)
        thin = short_sums(layer, real_operands(layer), 64)
        per_filter = np.count_nonzero(thin.grad_output, axis=(0, 2, 3))
        assert (per_filter >= 1).all()
        assert per_filter.max() < 3 * 64
        assert short_sums(LAYER, real_operands(LAYER), 1e9).grad_output.all()

    def test_zeros_are_as_many_as_asked_for_and_one_sample_has_nothing_else(self):
        layer = Layer(8, 8, 3, input=(12, 12), batch=4)
        at = with_zeros(layer, integer_operands(layer), 0.4)
        assert 0.3 < np.mean(at.x == 0) < 0.5
        assert [bool(sample.any()) for sample in at.grad_output].count(False) == 1

    def test_further_draws_are_other_numbers_of_the_same_kind(self):
        first, second = integer_operands(LAYER), integer_operands(LAYER, 1)
        assert not np.array_equal(first.x, second.x)
        assert {*np.unique(second.x)} == {-3, -2, -1, 1, 2, 3}
        assert not np.array_equal(real_operands(LAYER).x, real_operands(LAYER, 1).x)

    def test_large_integers_keep_every_sum_exact(self):
        at = integer_operands(LAYER, 4, 2**40)
        sizes = at.map(np.abs)
        for total in (
            UNFOLD.forward(LAYER, sizes.x, sizes.weight, sizes.bias),
            *UNFOLD.backward(LAYER, sizes.x, sizes.weight, sizes.grad_output),
        ):
            assert 2**20 < total.max() <= 2**53
