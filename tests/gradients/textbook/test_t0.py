"""T0: index sums with stride, many channels and filters."""

from itertools import product
from math import ceil, floor

import numpy as np
import pytest

from convcheck import Layer, backward
from convcheck.gradients.index_sum import outputs_reading
from convcheck.layer.axis import Axis
from tests.gradients.textbook.helpers import integers, layer_of


def grad_input(layer, weight, grad_output, *, lower):
    """dL/dX as a sum over i from i_lower to i_upper, W indexed at p - i*s; square, unpadded, one image."""
    (n, _), (k, _), (s, _) = layer.input, layer.kernel, layer.stride
    gradient = np.zeros(layer.input_shape)
    outputs = [range(lower(p, k, s), min(layer.output[0] - 1, floor(p / s)) + 1) for p in range(n)]
    for p, q in np.ndindex(n, n):
        for i, j in product(outputs[p], outputs[q]):
            gradient[:, :, p, q] += grad_output[:, :, i, j] @ weight[:, :, p - i * s, q - j * s]
    return gradient


def clipped_ceil(p, k, s):
    return max(0, ceil((p - k + 1) / s))


def printed_floor(p, k, s):
    return max(0, floor((p - k + 1) / s))


@pytest.fixture
def example():
    layer = layer_of("T0-stride-2")
    assert (layer.channels, layer.filters, layer.stride, layer.batch) == (3, 4, (2, 2), 1)
    return layer, integers(layer.weight_shape, 1), integers(layer.output_shape, 2)


def test_the_sum_with_ceil_and_clipped_bounds_is_right(example):
    layer, weight, grad_output = example
    right = backward(layer, np.zeros(layer.input_shape), weight, grad_output).input
    np.testing.assert_array_equal(grad_input(layer, weight, grad_output, lower=clipped_ceil), right)


def test_as_printed_floor_visits_kernel_indices_past_the_kernels_end(example):
    layer, weight, grad_output = example
    with pytest.raises(IndexError, match="out of bounds"):
        grad_input(layer, weight, grad_output, lower=printed_floor)


def test_as_printed_without_clipping_negative_indices_wrap_round_silently(example):
    layer, weight, grad_output = example

    def unclipped(p, k, s):
        return ceil((p - k + 1) / s)

    right = backward(layer, np.zeros(layer.input_shape), weight, grad_output).input
    # For p = 0 the bound is -1, which Python reads as the last output.
    wrong = grad_input(layer, weight, grad_output, lower=unclipped)
    assert wrong.shape == right.shape
    assert not np.array_equal(wrong, right)


@pytest.mark.parametrize("axis", [Axis(7, 3, 2), Axis(8, 3, 2), Axis(11, 4, 3), Axis(6, 1, 2), Axis(9, 2, 4)])
def test_the_bounds_are_those_of_axis_and_of_the_oracle(axis):
    layer = Layer(1, 1, axis.kernel, stride=axis.stride, input=(axis.size,))
    by_tap = [(tap, outputs_reading(layer, 0, tap)) for tap in range(axis.kernel)]
    for p in range(axis.size):
        lowest, highest = clipped_ceil(p, axis.kernel, axis.stride), min(axis.output_size - 1, p // axis.stride)
        expected = [(i, p - i * axis.stride) for i in range(lowest, highest + 1)]
        found = [(i, tap) for tap, (outputs, samples) in by_tap for i in outputs[samples == p].tolist()]
        assert axis.readers(p) == expected == sorted(found)


def test_as_printed_the_bias_of_shape_f_1_1_1_makes_an_output_of_another_shape(example):
    layer = example[0]
    output = integers(layer.output_shape[1:])
    printed, right = integers((layer.filters, 1, 1, 1)), integers((layer.filters,))
    assert layer.bias_shape == right.shape
    assert (output + right[:, None, None]).shape == output.shape
    assert (output + printed).shape != output.shape
