"""Data with zeros, on which sums stay exact that are longer than a format holds."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcheck.errors import LayerError
from convcheck.gradients import FASTEST, formulation
from convcheck.layer import fields
from convcheck.layer.arrays import wide
from convcheck.layer.data import integer_magnitude, integer_operands, nonzero_terms
from convcheck.layer.fields import COMPLEX, DTYPES, HALF
from convcheck.layer.layer import Layer
from tests.strategies import layers

LONG = {"channels": 24, "filters": 20, "kernel": 3, "padding": 1, "input": (14, 15)}


def largest_sums(layer, *parts):
    """Return the largest sum of |terms| of the output and of all gradients, each operand from a draw of its own."""
    x, weight, grad_output = (integer_operands(layer, draw) for draw in parts)
    at = replace(x, weight=weight.weight, grad_output=grad_output.grad_output).map(lambda a: np.abs(a.astype(float)))
    built_in = formulation(FASTEST)
    found = [built_in.forward(layer, at.x, at.weight, at.bias)]
    found += [g for g in built_in.backward(layer, at.x, at.weight, at.grad_output) if g is not None]
    return [float(array.max()) for array in found]


@given(layers(dtypes=HALF), st.tuples(*[st.integers(0, 9)] * 3))
@settings(max_examples=60, deadline=None)
def test_every_sum_of_magnitudes_is_within_the_limit_whatever_draws_meet(layer, parts):
    assert max(largest_sums(layer, *parts)) <= layer.exact_limit
    assert largest_sums(layer, *parts)[0] + integer_magnitude(layer) <= layer.exact_limit


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize(
    "sizes", [LONG, {**LONG, "groups": 4}, {"channels": 2, "filters": 400, "kernel": (1, 3), "input": (3, 9)}]
)
def test_sums_are_long_and_short_enough(dtype, sizes):
    layer = Layer(**sizes, dtype=dtype, accumulate="bfloat16")
    assert layer.exact_limit == 256
    assert nonzero_terms(layer) == 170
    largest = [largest_sums(layer, draw, draw + 1, draw + 2) for draw in range(3)]
    assert max(map(max, largest)) <= 171
    # And not for want of data.
    assert max(map(max, largest)) > 120


def test_all_entries_count_after_some_draws_and_not_before():
    layer = Layer(**LONG, dtype="bfloat16")
    seen = {}
    for draw in range(12):
        at = integer_operands(layer, draw)
        for name in ("x", "weight", "grad_output"):
            array = getattr(at, name)
            assert set(np.unique(array.astype(float))) <= {-1.0, 0.0, 1.0}
            seen[name] = seen.get(name, False) | (array != 0)
        if draw == 0:
            assert seen["x"].all()
            assert not seen["weight"].all()
            assert not seen["grad_output"].all()
            assert (at.grad_output != 0).any(axis=(0, 2, 3)).all()
    assert all(array.all() for array in seen.values())


def test_the_same_draw_is_the_same_and_another_has_other_zeros_and_signs():
    layer = Layer(**LONG, dtype="bfloat16")
    first, again, other = (integer_operands(layer, draw) for draw in (1, 1, 2))
    assert np.array_equal(first.weight, again.weight)
    assert not np.array_equal(first.weight != 0, other.weight != 0)
    both = (first.weight != 0) & (other.weight != 0)
    assert not both.any() or not np.array_equal(first.weight[both], other.weight[both])
    assert not np.array_equal(integer_operands(replace(layer, seed=1), 1).x, first.x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_real_data_and_a_step_of_one_are_exact_in_every_format(dtype):
    from convcheck.layer.data import real_operands

    x = real_operands(Layer(4, 4, 3, input=(20, 21), dtype=dtype)).x
    one = x.dtype.type(1)
    np.testing.assert_array_equal((x + one) - one, x)
    assert np.array_equal(wide(x) + 1, wide(x + one))


class TestPromise:
    def test_of_half_precision_float32_and_of_others_their_own(self):
        sums = {dtype: Layer(1, 1, 1, dtype=dtype).sums for dtype in DTYPES}
        assert sums == {"float64": "float64", "float32": "float32", "float16": "float32", "bfloat16": "float32"} | {
            name: name for name in COMPLEX
        }
        assert Layer(1, 1, 1, dtype="bfloat16", accumulate="bfloat16").sums == "bfloat16"
        assert Layer(1, 1, 1, dtype="float64", accumulate="bfloat16").sums == "float64"

    def test_the_narrower_of_both_limits_the_integers(self):
        limits = {
            (dtype, sums): Layer(1, 1, 1, dtype=dtype, accumulate=sums).exact_limit
            for dtype in DTYPES
            for sums in (None, *HALF)
        }
        assert limits["float16", None] == limits["float16", "float16"] == 2**11
        assert limits["float16", "bfloat16"] == limits["bfloat16", None] == limits["bfloat16", "float16"] == 2**8
        assert limits["float32", "bfloat16"] == 2**24


def test_without_its_package_bfloat16_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    fields.known_to_numpy.cache_clear()
    with pytest.raises(LayerError, match="pip install ml_dtypes"):
        Layer(1, 1, 1, dtype="bfloat16")
    assert Layer(1, 1, 1, dtype="float16").dtype == "float16"
    fields.known_to_numpy.cache_clear()
