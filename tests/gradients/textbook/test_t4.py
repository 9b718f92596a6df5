"""T4: unfold and matrix products."""

import numpy as np
import pytest

from convcheck import Layer, backward, forward
from convcheck.gradients.unfold import fold, unfold
from tests.gradients.textbook.helpers import integers, layer_of


@pytest.fixture
def example():
    layer = layer_of("T4-non-square")
    return layer, *(integers(s, i) for i, s in enumerate((layer.input_shape, layer.weight_shape, layer.output_shape)))


def test_the_output_is_one_product_of_unrolled_filters_and_unfolded_input(example):
    layer, x, weight, _ = example
    product = weight.reshape(layer.filters, -1) @ unfold(layer, x)[:, 0]
    expected = forward(layer, x, weight, np.zeros(layer.filters) if layer.bias else None)
    np.testing.assert_array_equal(product.reshape(layer.output_shape), expected)


def test_all_three_gradients_are_products_and_sums(example):
    layer, x, weight, grad_output = example
    rows, columns = grad_output.reshape(layer.batch, layer.filters, -1), unfold(layer, x)[:, 0]
    right = backward(layer, x, weight, grad_output)
    grad_weight = sum(r @ c.T for r, c in zip(rows, columns, strict=True))
    np.testing.assert_array_equal(grad_weight.reshape(layer.weight_shape), right.weight)
    folded = fold(layer, (weight.reshape(layer.filters, -1).T @ rows)[:, None])
    np.testing.assert_array_equal(folded, right.input)
    if layer.bias:
        np.testing.assert_array_equal(rows.sum(axis=(0, 2)), right.bias)


def test_as_printed_the_unfolded_gradient_is_not_yet_the_gradient(example):
    layer, x, weight, grad_output = example
    unfolded = weight.reshape(layer.filters, -1).T @ grad_output.reshape(layer.batch, layer.filters, -1)
    assert unfolded.size != x.size
    assert fold(layer, unfolded[:, None]).shape == x.shape


def test_as_printed_one_kernel_size_for_both_axes_gives_the_wrong_output_size():
    layer = Layer(2, 3, (2, 4), stride=(2, 3), input=(7, 11))
    printed = tuple((n - layer.kernel[0]) / s + 1 for n, s in zip(layer.input, layer.stride, strict=True))
    assert layer.output == (3, 3)
    assert printed == (3.5, 4.0)


def test_as_printed_the_index_formulas_hold_for_stride_1_only():
    for stride, holds in ((1, True), (2, False)):
        layer = Layer(1, 1, 2, stride=stride, input=(5, 6), batch=1)
        x = integers(layer.input_shape)
        columns, width = unfold(layer, x)[0, 0], layer.output[1]
        places = [(i // width, i % width) for i in range(columns.shape[1])]
        printed = [[x[0, 0, row + a, column + b] for row, column in places] for a in (0, 1) for b in (0, 1)]
        assert np.array_equal(columns, printed) is holds
