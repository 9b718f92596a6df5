"""T2: "same" size by padding at the end only; one channel, stride 1."""

import numpy as np
import pytest

from convcheck import backward, forward
from tests.gradients.textbook.helpers import integers, layer_of


def grad_input(grad_output, w, *, clamp=False):
    """Sum over a, b of grad_output[r - a, c - b] w[a, b]; negative indices discarded, or clamped as printed."""
    gradient = np.zeros_like(grad_output)
    for r, c in np.ndindex(*gradient.shape):
        for a, b in np.ndindex(*w.shape):
            if clamp:
                gradient[r, c] += grad_output[max(0, r - a), max(0, c - b)] * w[a, b]
            elif r >= a and c >= b:
                gradient[r, c] += grad_output[r - a, c - b] * w[a, b]
    return gradient


@pytest.fixture
def example():
    layer = layer_of("T2-same-size")
    assert (layer.input, layer.kernel, layer.padding) == ((6, 6), (3, 3), ((0, 2), (0, 2)))
    return layer, integers(layer.input_shape, 1), integers(layer.weight_shape, 2), integers(layer.output_shape, 3)


def test_the_output_is_as_large_as_the_input_and_reads_forward(example):
    layer, x, weight, _ = example
    output = forward(layer, x, weight)
    padded = np.pad(x[0, 0], (0, 2))
    assert output.shape == x.shape
    for r, c in np.ndindex(6, 6):
        assert output[0, 0, r, c] == np.sum(padded[r : r + 3, c : c + 3] * weight[0, 0])


def test_both_gradients_with_negative_indices_discarded_are_right(example):
    layer, x, weight, grad_output = example
    right = backward(layer, x, weight, grad_output)
    np.testing.assert_array_equal(grad_input(grad_output[0, 0], weight[0, 0]), right.input[0, 0])
    padded = np.pad(x[0, 0], (0, 2))
    expected = [[np.sum(padded[a : a + 6, b : b + 6] * grad_output[0, 0]) for b in range(3)] for a in range(3)]
    np.testing.assert_array_equal(right.weight[0, 0], expected)


def test_as_printed_clamped_indices_make_up_to_20_border_entries_wrong(example):
    layer, x, weight, grad_output = example
    right = backward(layer, x, weight, grad_output).input[0, 0]
    wrong = grad_input(grad_output[0, 0], weight[0, 0], clamp=True) != right
    assert 0 < wrong.sum() <= 20
    assert not wrong[2:, 2:].any()


def test_the_outputs_that_see_a_sample_are_those_up_to_two_before_it(example):
    layer = example[0]
    for r in range(6):
        assert [i for i, _ in layer.axes[0].readers(r)] == list(range(max(0, r - 2), r + 1))
