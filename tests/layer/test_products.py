"""The products of which entries are sums: they add up to what the definition gives, and none is listed in vain."""

import numpy as np
import pytest
from hypothesis import given

from convcheck import Layer
from convcheck.gradients import ORACLE, formulation
from convcheck.layer.data import integer_operands
from convcheck.layer.products import products
from tests.strategies import layers


def added_up(layer, at, array):
    """An array entry by entry."""
    found = np.zeros(getattr(layer, f"{array}_shape"))
    for index in np.ndindex(found.shape):
        for factors in products(layer, array, index):
            found[index] += np.prod([getattr(at, name)[place] for name, place in factors])
    return found


def by_definition(layer, at):
    oracle = formulation(ORACLE)
    gradients = oracle.backward(layer, at.x, at.weight, at.grad_output)._asdict()
    output = oracle.forward(layer, at.x, at.weight, at.bias)
    return {name: array for name, array in {**gradients, "output": output}.items() if array is not None}


KINDS = [
    Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(3, 4), batch=2),
    Layer(2, 4, (2, 3), stride=2, padding=1, groups=2, input=(3, 2), transposed=True, output_padding=1),
    Layer(1, 2, 3, padding=2, input=(4,), padding_mode="circular"),
    Layer(1, 2, 3, padding=2, input=(4,), padding_mode="replicate", bias=False),
]


@pytest.mark.parametrize("layer", KINDS)
def test_they_add_up_to_what_the_definition_gives(layer):
    at = integer_operands(layer)
    for array, right in by_definition(layer, at).items():
        assert np.array_equal(added_up(layer, at, array), right), array


@given(layers(max_axes=1, max_batch=2, family=True))
def test_they_add_up_on_any_layer_of_one_axis(layer):
    at = integer_operands(layer)
    right = by_definition(layer, at)["input"]
    assert np.array_equal(added_up(layer, at, "input"), right)


def test_padding_of_zeros_gives_none_and_copies_one_each():
    corner = (0, 0, 0)
    plain = Layer(1, 1, 3, padding=1, input=(4,), batch=1)
    assert list(products(plain, "output", corner)) == [
        (("weight", (0, 0, 1)), ("x", (0, 0, 0))), (("weight", (0, 0, 2)), ("x", (0, 0, 1))), (("bias", (0,)),),
    ]  # fmt: skip
    copied = Layer(1, 1, 3, padding=1, input=(4,), batch=1, padding_mode="replicate", bias=False)
    assert [place for _, (_, place) in products(copied, "output", corner)] == [(0, 0, 0), (0, 0, 0), (0, 0, 1)]
