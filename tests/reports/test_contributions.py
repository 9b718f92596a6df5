"""What an entry is made of, in words: the terms add up to the entry that the built-in passes give."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcheck import Layer, backward, forward
from convcheck.layer.data import integer_operands
from convcheck.reports.contributions import contributions, entry_name
from tests.strategies import layers

LAYER = Layer(2, 2, (1, 2), stride=(1, 2), groups=2, input=(1, 4), batch=1)


def right(layer, at, gradient):
    if gradient == "output":
        return forward(layer, at.x, at.weight, at.bias)
    return dict(zip(("input", "weight", "bias"), backward(layer, at.x, at.weight, at.grad_output), strict=True))[
        gradient
    ]


def worth(text):
    """The number that a sentence implies; None where it does not write all terms out."""
    if "..." in text:
        return None
    if text.startswith("nothing"):
        return 0
    if text.startswith("it is the sum"):
        return sum(float(a) * float(b) for a, b in re.findall(r"(-?\d+)·(-?\d+)", text))
    amount, *factor = [float(number) for number in re.findall(r"(?:= |W is )(-?\d+)", text)]
    return amount * (factor[0] if factor else 1)


@given(layers(), st.sampled_from(["output", "input", "weight", "bias"]), st.integers(0, 10**6))
def test_the_terms_make_the_entry(layer, gradient, place):
    at = integer_operands(layer)
    rare = np.random.default_rng(place).random(at.grad_output.shape) < 0.1
    at = replace(at, grad_output=at.grad_output * rare)
    array = right(layer, at, gradient)
    if array is None:
        return
    index = tuple(int(i) for i in np.unravel_index(place % array.size, array.shape))
    value = worth(contributions(layer, at, gradient, index))
    assert value is None or value == array[index]


@pytest.mark.parametrize(
    ("gradient", "index", "said"),
    [
        ("input", (0, 1, 0, 2), "dL/dO[0,1,0,1] = 1 reaches it through tap [0,0]"),
        ("input", (0, 1, 0, 3), "dL/dO[0,1,0,1] = 1 reaches it through tap [0,1], where W is 5"),
        ("input", (0, 0, 0, 2), "nothing but zeros reaches it"),
        ("weight", (1, 0, 0, 0), "dL/dO[0,1,0,1] = 1 reaches it through X[0,1,0,2] = 7"),
        ("bias", (1,), "dL/dO[0,1,0,1] = 1 reaches it and nothing else does"),
        ("output", (0, 1, 0, 1), "it is the sum of 2 terms, 7·1 + -2·1"),
    ],
)
def test_one_term_is_told_by_its_place(gradient, index, said):
    zeros = integer_operands(LAYER).map(np.zeros_like)
    zeros.weight[1, 0, 0] = 1, 5
    zeros.x[0, 1, 0, 2] = 7
    zeros.bias[1] = -2
    zeros.grad_output[0, 1, 0, 1] = 1
    assert contributions(LAYER, zeros, gradient, index) == said
    assert entry_name("input", (0, 1)) == "dL/dX[0,1]"
