"""T3: dilate, pad, flip; the two examples, expanded entry by entry."""

import numpy as np
import pytest

from convcheck.gradients import dilate_flip
from tests.gradients.textbook.helpers import integers, layer_of


def symbols(layer):
    """Return x, f and dL/dO as integers."""
    x, f = integers(layer.input_shape, 1)[0, 0], integers(layer.weight_shape, 2)[0, 0]
    return x, f, integers(layer.output_shape, 3)[0, 0]


def gradients(layer, x, f, d):
    return dilate_flip.backward(layer, x[None, None], f[None, None], d[None, None])


@pytest.fixture
def stride_1():
    layer = layer_of("T3-stride-1")
    assert (layer.input, layer.kernel, layer.stride, layer.output) == ((3, 3), (2, 2), (1, 1), (2, 2))
    return layer


@pytest.fixture
def stride_2():
    layer = layer_of("T3-stride-2")
    assert (layer.input, layer.kernel, layer.stride, layer.output) == ((5, 5), (3, 3), (2, 2), (2, 2))
    return layer


def test_stride_1_every_entry_of_grad_weight_and_grad_input(stride_1):
    x, f, d = symbols(stride_1)
    got = gradients(stride_1, x, f, d)
    expected_f = [[sum(d[i, j] * x[i + a, j + b] for i in (0, 1) for j in (0, 1)) for b in (0, 1)] for a in (0, 1)]
    np.testing.assert_array_equal(got.weight[0, 0], expected_f)
    expected_x = [
        [d[0, 0] * f[0, 0], d[0, 0] * f[0, 1] + d[0, 1] * f[0, 0], d[0, 1] * f[0, 1]],
        [
            d[0, 0] * f[1, 0] + d[1, 0] * f[0, 0],
            d[0, 0] * f[1, 1] + d[0, 1] * f[1, 0] + d[1, 0] * f[0, 1] + d[1, 1] * f[0, 0],
            d[0, 1] * f[1, 1] + d[1, 1] * f[0, 1],
        ],
        [d[1, 0] * f[1, 0], d[1, 0] * f[1, 1] + d[1, 1] * f[1, 0], d[1, 1] * f[1, 1]],
    ]
    np.testing.assert_array_equal(got.input[0, 0], expected_x)


def test_stride_2_the_entries_that_the_text_expands(stride_2):
    x, f, d = symbols(stride_2)
    got = gradients(stride_2, x, f, d)
    middle = d[0, 0] * f[2, 2] + d[0, 1] * f[2, 0] + d[1, 0] * f[0, 2] + d[1, 1] * f[0, 0]
    first = d[0, 0] * x[0, 0] + d[0, 1] * x[0, 2] + d[1, 0] * x[2, 0] + d[1, 1] * x[2, 2]
    assert got.input[0, 0, 2, 2] == middle
    assert got.weight[0, 0, 0, 0] == first


def test_stride_2_the_dilated_and_the_padded_map(stride_2):
    d = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    np.testing.assert_array_equal(dilate_flip.dilated_gradient(stride_2, d)[0, 0], [[1, 0, 2], [0, 0, 0], [3, 0, 4]])
    full = dilate_flip.full_gradient(stride_2, d)[0, 0]
    assert full.shape == (7, 7)
    np.testing.assert_array_equal(full[2:5, 2:5], [[1, 0, 2], [0, 0, 0], [3, 0, 4]])
    assert np.count_nonzero(full) == 4


@pytest.mark.parametrize(("row", "column", "output"), [(2, 1, (0, 0)), (4, 3, (1, 1))])
def test_as_printed_f20_where_f21_belongs(stride_2, row, column, output):
    """The slip: in a column that only the middle tap reaches, the text writes the first tap's symbol."""
    x, f, d = symbols(stride_2)
    got = gradients(stride_2, x, f, d).input[0, 0, row, column]
    above = (output[0] - 1 if row == 4 else output[0] + 1, output[1])
    taps = {output: (row - 2 * output[0], column - 2 * output[1])}
    if row == 2:
        taps[above] = (row - 2 * above[0], column - 2 * above[1])
    corrected = sum(d[i] * f[tap] for i, tap in taps.items())
    printed = sum(d[i] * f[tap[0], 0] for i, tap in taps.items())
    assert got == corrected
    assert got != printed


def test_as_printed_x20_where_x21_belongs(stride_2):
    x, f, d = symbols(stride_2)
    got = gradients(stride_2, x, f, d).weight[0, 0, 0, 1]
    corrected = d[0, 0] * x[0, 1] + d[0, 1] * x[0, 3] + d[1, 0] * x[2, 1] + d[1, 1] * x[2, 3]
    printed = d[0, 0] * x[0, 1] + d[0, 1] * x[0, 3] + d[1, 0] * x[2, 0] + d[1, 1] * x[2, 3]
    assert got == corrected
    assert got != printed


@pytest.mark.parametrize(
    ("name", "full_padding"),
    [("T3-stride-2", ((2, 2), (2, 2))), ("T3-remainder", ((3, 5), (2, 3))), ("T3-crop", ((-2, -1), (1, -1)))],
)
def test_what_the_text_leaves_out_the_remainder_and_the_crop(name, full_padding):
    layer = layer_of(name)
    assert tuple(axis.full_padding for axis in layer.axes) == full_padding
