"""Layers of half precision: exact verdicts, wrong gradients by name, real numbers."""

import random
from dataclasses import replace

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric import rounding
from convcheck.layer.data import real_operands
from convcheck.layer.fields import HALF
from tests.false_alarms import false_alarm, random_layer
from tests.targets_for_tests import Right

DTYPES = pytest.mark.parametrize("dtype", HALF)
LONG = {"channels": 12, "filters": 10, "kernel": 3, "padding": 1, "input": (11, 12)}


def spoiled(change):
    """Return right code of which a backward pass is changed: (gradients, grad_output) -> gradients."""

    class Spoiled(Right):
        def backward(self, grad_output):
            return change(super().backward(grad_output), grad_output)

    return Spoiled


@DTYPES
@pytest.mark.parametrize("sizes", [LONG, {"channels": 2, "filters": 3, "kernel": (2, 3), "input": (5, 6)}])
def test_right_code_passes_exactly_and_wrong_code_by_name(dtype, sizes):
    layer = Layer(**sizes, dtype=dtype)
    right = verify(layer, target=Right)
    assert right.passed, right
    exact = [r for r in right.layers[0].results if r.check == "exact"]
    assert {r.max_abs_error for r in exact} == {0.0}
    # No other check differs between the sums: not even one unit in the last place is allowed.
    last = spoiled(lambda g, grad_output: (np.nextafter(g[0], np.inf).astype(g[0].dtype), *g[1:]))
    if dtype == "float16":
        assert not verify(layer, target=last, checks=["forward", "exact"]).passed
    flipped = spoiled(lambda g, grad_output: (g[0], g[1][..., ::-1, ::-1].copy(), g[2]))
    wrong = verify(layer, target=flipped, checks=["forward", "exact"])
    (result,) = [r for r in wrong.layers[0].results if r.status == "failed"]
    assert result.diagnosis[0].name == "weight-gradient-flipped"


@DTYPES
def test_a_unit_that_is_lost_anywhere_is_found(dtype):
    one_off = spoiled(
        lambda g, grad_output: (g[0] + (np.arange(g[0].size) == 7).reshape(g[0].shape).astype(dtype), *g[1:])
    )
    results = verify(Layer(**LONG, dtype=dtype), target=one_off, checks=["exact"]).layers[0].results
    assert [(r.gradient, r.mismatches) for r in results if r.status == "failed"] == [("input", 1)]


class TestBounds:
    """Of a sum that is made in float32 and stored in half precision; and of one that is made in half precision."""

    @DTYPES
    @pytest.mark.parametrize("narrow", [False, True])
    def test_right_code_is_within_them_and_they_are_no_wider_than_storing_needs(self, dtype, narrow):
        layer = Layer(4, 5, 3, padding=1, input=(6, 7), dtype=dtype, accumulate=dtype if narrow else None)
        at = real_operands(layer)
        built_in = formulation(FASTEST)
        given = built_in.backward(layer, at.x, at.weight, at.grad_output)
        wide = at.wide()
        right = built_in.backward(layer, wide.x, wide.weight, wide.grad_output)
        bounds = rounding.backward_errors(layer, at, built_in.backward)
        summed = rounding.backward_errors(replace(layer, dtype="float32"), at, built_in.backward)
        for name in ("input", "weight", "bias"):
            error = np.abs(getattr(given, name).astype(float) - getattr(right, name))
            assert (error <= getattr(bounds, name)).all()
            unit = fields_of(dtype).roundoff
            stored = unit * np.abs(getattr(right, name))
            assert (getattr(bounds, name) >= stored).all()
            if not narrow:
                assert (getattr(bounds, name) <= 1.01 * (stored + getattr(summed, name)) + 1e-7).all()

    @DTYPES
    def test_another_rounding_on_the_way_is_noticed_on_real_data(self, dtype):
        layer = Layer(4, 5, 3, padding=1, input=(6, 7), dtype=dtype)

        class Twice(Right):
            def backward(self, grad_output):
                found = super().backward(grad_output)
                coarse = found[0].astype("float32")
                return ((coarse + coarse / 64).astype(grad_output.dtype), *found[1:])

        results = verify(layer, target=Twice, checks=["conditions"]).layers[0].results
        assert "input" in {r.gradient for r in results if r.status == "failed"}


def fields_of(dtype):
    from convcheck.layer.fields import DTYPES as EVERY

    return EVERY[dtype]


@DTYPES
@pytest.mark.parametrize("seed", range(6))
def test_no_right_target_is_accused(dtype, seed):
    assert false_alarm(replace(random_layer(random.Random(100 + seed)), dtype=dtype)) is None


@pytest.mark.long
@DTYPES
@pytest.mark.parametrize("start", range(0, 1000, 100))
def test_no_right_target_is_accused_in_a_long_search(dtype, start):
    for seed in range(start, start + 100):
        assert false_alarm(replace(random_layer(random.Random(seed)), dtype=dtype)) is None, seed
