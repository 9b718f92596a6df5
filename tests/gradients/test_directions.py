"""Every entry is reached once, and every output's change is booked to the entry that caused it."""

import numpy as np
import pytest
from hypothesis import given, settings

from convcheck import Layer
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.differences import Packing, exact_gradient
from convcheck.gradients.numeric.directions import EntryDirections, direction_count, directions_of
from convcheck.layer.data import integer_operands
from tests.strategies import layers

FORWARD = formulation(FASTEST).forward


@given(layer=layers(max_axes=2))
@settings(max_examples=60, deadline=None)
def test_the_directions_of_the_input_partition_its_entries_and_no_output_sees_two_of_one(layer):
    at = integer_operands(layer)
    directions = directions_of("input", layer, at)
    ones = np.ones(layer.weight_shape)
    seen = np.zeros(layer.input_shape)
    for direction in range(directions.count):

        def mark(_, x, weight, bias):
            mark.moved = x - at.x
            return FORWARD(layer, x, weight, bias)

        directions.evaluate(mark, [[(direction, 1.0)]])
        assert set(np.unique(mark.moved)) <= {0.0, 1.0}
        seen += mark.moved
        assert FORWARD(layer, mark.moved, ones, None).max() <= 1
    assert (seen == 1).all()


@given(layer=layers(dtypes=("float64", "float32"), max_axes=2, max_batch=2))
@settings(max_examples=40, deadline=None)
def test_coloured_and_uncoloured_gradients_are_equal(layer):
    at = integer_operands(layer)
    base = FORWARD(layer, at.x, at.weight, at.bias)
    for gradient in ("input", "weight") + ("bias",) * layer.bias:
        one_by_one = exact_gradient(FORWARD, EntryDirections(layer, at, gradient), base, Packing(2, 1), merge=False)
        coloured = exact_gradient(FORWARD, directions_of(gradient, layer, at), base, Packing(2, 1), merge=False)
        np.testing.assert_array_equal(coloured.values, one_by_one.values)
        assert coloured.evaluations <= one_by_one.evaluations


def test_colours_on_a_wrong_premise_alias():
    """Colours for dilation 1 on a forward pass with dilation 2: this is why the forward pass is checked first."""
    actual = Layer(1, 1, 3, padding=3, dilation=2, input=(9,), batch=1, bias=False)
    assumed = Layer(1, 1, 3, padding=2, input=(9,), batch=1, bias=False)
    assert actual.output_shape == assumed.output_shape
    at = integer_operands(actual)
    base = FORWARD(actual, at.x, at.weight, None)
    truth = formulation(FASTEST).backward(actual, at.x, at.weight, at.grad_output).input

    def forward(_, x, weight, bias):
        return FORWARD(actual, x, weight, bias)

    for layer, right in ((actual, True), (assumed, False)):
        numeric = exact_gradient(forward, directions_of("input", layer, at), base, Packing(2, 1), merge=False)
        assert np.array_equal(numeric.values, truth) is right


@pytest.mark.parametrize(("gradient", "count"), [("input", 3 * 6), ("weight", 3 * 6), ("bias", 1)])
def test_the_number_of_directions_does_not_depend_on_the_image(gradient, count):
    for size in ((5, 7), (50, 70)):
        layer = Layer(6, 4, (2, 3), groups=2, padding=1, input=size)
        assert direction_count(gradient, layer) == count


def test_a_colour_that_only_padding_has_needs_no_evaluation():
    layer = Layer(1, 1, 3, padding=1, input=(1, 1))
    assert direction_count("input", layer) == 1
    assert direction_count("weight", layer) == 9
