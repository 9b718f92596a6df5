"""T1: from one channel and one filter to many; channels last, stride 1, no padding."""

import numpy as np
import pytest

from convcheck import Layer, backward
from convcheck.gradients.dilate_flip import rotated_kernel
from tests.gradients.textbook.helpers import integers, layer_of


def grad_input(delta, w, *, swap_last_axes=False):
    """delta_in[p, q, c] = sum over f, a, b of delta_out[p - a, q - b, f] w[a, b, c, f], out of range counting 0."""
    rows, columns, filters = delta.shape
    height, width, channels, _ = w.shape
    gradient = np.zeros((rows + height - 1, columns + width - 1, channels))
    for p, q, c in np.ndindex(*gradient.shape):
        for a, b, f in np.ndindex(height, width, filters):
            if 0 <= p - a < rows and 0 <= q - b < columns:
                tap = w[a, b, f, c] if swap_last_axes else w[a, b, c, f]
                gradient[p, q, c] += delta[p - a, q - b, f] * tap
    return gradient


def channels_last(layer, weight, grad_output):
    return grad_output[0].transpose(1, 2, 0), weight.transpose(2, 3, 1, 0)


def test_the_sum_over_filters_and_taps_is_right():
    layer = layer_of("T1-20-filters-over-RGB")
    weight, grad_output = integers(layer.weight_shape, 1), integers(layer.output_shape, 2)
    right = backward(layer, np.zeros(layer.input_shape), weight, grad_output).input
    gradient = grad_input(*channels_last(layer, weight, grad_output))
    np.testing.assert_array_equal(gradient.transpose(2, 0, 1)[None], right)


def test_twenty_filters_of_depth_three_become_three_filters_of_depth_twenty():
    layer = layer_of("T1-20-filters-over-RGB")
    weight = integers(layer.weight_shape)
    regrouped = rotated_kernel(layer, weight)
    assert weight.shape == (20, 3, 3, 3)
    assert regrouped.shape == (3, 20, 3, 3)
    np.testing.assert_array_equal(regrouped[2, 17], np.rot90(weight[17, 2], 2))


def test_as_printed_the_swapped_axes_are_wrong_where_channels_equal_filters():
    layer = Layer(3, 3, (2, 3), input=(7, 6), batch=1)
    weight, grad_output = integers(layer.weight_shape, 1), integers(layer.output_shape, 2)
    right = backward(layer, np.zeros(layer.input_shape), weight, grad_output).input[0].transpose(1, 2, 0)
    operands = channels_last(layer, weight, grad_output)
    np.testing.assert_array_equal(grad_input(*operands), right)
    assert not np.array_equal(grad_input(*operands, swap_last_axes=True), right)


def test_as_printed_the_swapped_axes_mean_nothing_where_channels_differ_from_filters():
    layer = layer_of("T1-20-filters-over-RGB")
    operands = channels_last(layer, integers(layer.weight_shape), integers(layer.output_shape))
    with pytest.raises(IndexError):
        grad_input(*operands, swap_last_axes=True)
