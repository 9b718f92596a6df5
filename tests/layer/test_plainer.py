"""Steps to plainer layers: each is a layer, none goes back, and they end at the plainest one."""

from math import prod

import pytest
from hypothesis import given

from convcheck import Layer
from convcheck.layer.plainer import below, plainer
from tests.strategies import layers


def order(layer):
    """What the steps make smaller, in their order; input samples come last."""
    pads = [side for pair in layer.padding for side in pair]
    flat = sum(1 for axis in layer.axes if (axis.size, axis.kernel) != (1, 1))
    return (
        len(layer.input),
        flat,
        layer.channels * layer.filters * layer.batch * layer.groups,
        prod(layer.kernel),
        prod(layer.stride),
        sum(pads) + prod(layer.dilation),
        prod(layer.input),
    )


@given(layers())
def test_every_step_leads_to_another_layer_that_is_smaller_in_some_respect(layer):
    for other in plainer(layer):
        assert other != layer
        assert any(new < old for new, old in zip(order(other), order(layer), strict=True))


@given(layers())
def test_where_every_step_may_be_taken_the_plainest_layer_is_left(layer):
    steps = 0
    while (other := next(plainer(layer), None)) is not None:
        layer, steps = other, steps + 1
        assert steps < 100
    assert order(layer) == (1, 0, 1, 1, 1, 1, 1)


@pytest.mark.parametrize(("value", "least"), [(65, 1), (64, 1), (2, 1), (1, 1), (7, 0), (1, 0), (0, 0)])
def test_smaller_numbers_are_the_least_the_next_one_and_some_between(value, least):
    found = below(value, least)
    assert len(set(found)) == len(found)
    assert all(least <= number < value for number in found)
    assert (found == []) == (value == least)
    if found:
        assert found[0] == least
        assert value - 1 in found


def test_steps_keep_to_what_code_may_ask_for():
    """Square kernels, padding that fits them, as many filters as channels, depthwise layers, multiples of 16."""
    square = list(plainer(Layer(3, 4, 5, padding=2, input=(9, 9))))
    assert any(layer.kernel == (3, 3) and layer.padding == ((1, 1), (1, 1)) for layer in square)
    assert any(layer.channels == layer.filters == 1 for layer in plainer(Layer(3, 3, 2)))
    assert any(layer.groups == layer.channels == layer.filters == 2 for layer in plainer(Layer(4, 4, 2, groups=4)))
    assert any(layer.channels == 32 for layer in plainer(Layer(64, 3, 2)))
