"""A right gradient passes every draw, a wrong one none, and the stated probability is what the size implies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcheck import Layer
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.projection import TARGET_PROBABILITY, draw_size, project
from convcheck.layer.data import integer_operands
from tests.strategies import layers

UNFOLD = formulation(FASTEST)


def setting(layer):
    at = integer_operands(layer)
    return at, UNFOLD.forward(layer, at.x, at.weight, at.bias), UNFOLD.backward(layer, at.x, at.weight, at.grad_output)


@given(layer=layers(dtypes=("float64", "float32")), data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_right_gradient_passes_and_one_wrong_entry_is_caught(layer, data):
    at, base, right = setting(layer)
    for gradient in ("input", "weight") + ("bias",) * layer.bias:
        analytic = getattr(right, gradient)
        projection = project(UNFOLD.forward, layer, at, base, gradient, analytic)
        assert all(draw.equal for draw in projection.draws)
        assert projection.false_pass_probability <= TARGET_PROBABILITY
        wrong = analytic.copy()
        wrong.flat[data.draw(st.integers(0, wrong.size - 1))] += 1
        assert not all(draw.equal for draw in project(UNFOLD.forward, layer, at, base, gradient, wrong).draws)


@pytest.mark.parametrize("size", [(8, 9), (32, 32), (64, 48)])
def test_an_unflipped_kernel_is_caught_at_every_size(size):
    """Directions of one sign would accept it at 32×32 and above."""
    layer = Layer(4, 4, 3, padding=1, input=size, batch=1)
    at, base, right = setting(layer)
    unflipped = UNFOLD.backward(layer, at.x, np.flip(at.weight, (2, 3)), at.grad_output).input
    rotated = np.flip(right.weight, (2, 3))
    for gradient, wrong in (("input", unflipped), ("weight", rotated)):
        assert not any(draw.equal for draw in project(UNFOLD.forward, layer, at, base, gradient, wrong).draws)


@pytest.mark.parametrize("spoil", [np.nan, np.inf, 0.5, 1e300])
def test_what_is_no_integer_or_huge_is_unequal(spoil):
    layer = Layer(2, 3, 2, input=(4, 5))
    at, base, right = setting(layer)
    wrong = right.weight.copy()
    wrong.flat[0] = spoil
    assert not any(draw.equal for draw in project(UNFOLD.forward, layer, at, base, "weight", wrong).draws)


def test_the_probability_is_one_over_the_number_of_values_per_draw():
    layer = Layer(2, 3, 2, input=(4, 5), dtype="float32")
    at, base, right = setting(layer)
    size, count = draw_size(layer)
    projection = project(UNFOLD.forward, layer, at, base, "weight", right.weight)
    assert len(projection.draws) == count
    assert projection.false_pass_probability == pytest.approx((2 * size + 1) ** -count)


def test_no_direction_is_drawn_where_the_dtype_leaves_no_room():
    assert draw_size(Layer(1, 1, 1, input=(5000, 4000), batch=1, dtype="float32")) == (0, 0)
