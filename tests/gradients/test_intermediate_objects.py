"""The objects that the texts talk about, each against its own definition."""

import numpy as np
from hypothesis import given, settings

from convcheck import Layer
from convcheck.gradients.dilate_flip import correlate, dilated_gradient, full_gradient, rotated_kernel
from convcheck.gradients.unfold import fold, unfold
from convcheck.layer.data import integer_operands
from tests.strategies import layers


@given(layer=layers())
@settings(max_examples=60, deadline=None)
def test_dilated_gradient_has_the_gradient_at_every_stride_and_zeros_between(layer):
    at = integer_operands(layer)
    dilated = dilated_gradient(layer, at.grad_output)
    assert dilated.shape[2:] == tuple(axis.dilated_size for axis in layer.axes)
    for index in np.ndindex(*dilated.shape[2:]):
        output, between = zip(*(divmod(i, s) for i, s in zip(index, layer.stride, strict=True)), strict=True)
        expected = 0 if any(between) else at.grad_output[(..., *output)]
        assert (dilated[(..., *index)] == expected).all()


@given(layer=layers())
@settings(max_examples=60, deadline=None)
def test_full_gradient_is_as_large_as_the_input_and_the_reach_of_the_kernel(layer):
    full = full_gradient(layer, integer_operands(layer).grad_output)
    assert full.shape[2:] == tuple(axis.size + axis.effective_kernel - 1 for axis in layer.axes)


@given(layer=layers())
@settings(max_examples=60, deadline=None)
def test_rotated_kernel_turns_the_taps_and_exchanges_channels_and_filters_within_groups(layer):
    weight = integer_operands(layer).weight
    rotated = rotated_kernel(layer, weight)
    assert rotated.shape == (layer.channels, layer.filters_per_group, *layer.kernel)
    for channel in range(layer.channels):
        group, own = divmod(channel, layer.channels_per_group)
        for f in range(layer.filters_per_group):
            turned = np.flip(weight[group * layer.filters_per_group + f, own])
            np.testing.assert_array_equal(rotated[channel, f], turned)


@given(layer=layers())
@settings(max_examples=60, deadline=None)
def test_fold_is_the_adjoint_of_unfold(layer):
    x = integer_operands(layer).x
    columns = unfold(layer, x)
    other = np.random.default_rng(0).integers(-3, 4, columns.shape).astype(x.dtype)
    assert np.vdot(columns, other) == np.vdot(x, fold(layer, other))


def test_unfold_has_one_column_per_window():
    layer = Layer(1, 1, 2, stride=2, input=(4, 5), batch=1)
    x = np.arange(20.0).reshape(1, 1, 4, 5)
    expected = [[0, 2, 10, 12], [1, 3, 11, 13], [5, 7, 15, 17], [6, 8, 16, 18]]
    np.testing.assert_array_equal(unfold(layer, x)[0, 0], expected)


def test_correlate_gives_the_same_by_tap_and_by_output():
    image = np.random.default_rng(1).integers(-3, 4, (2, 1, 3, 9)).astype(float)
    few_taps = np.random.default_rng(2).integers(-3, 4, (1, 2, 3, 2)).astype(float)
    many_taps = np.random.default_rng(3).integers(-3, 4, (1, 2, 3, 8)).astype(float)
    for kernel in (few_taps, many_taps):
        taps = kernel.shape[-1]
        expected = [
            [[np.sum(image[n, 0, :, i : i + taps] * kernel[0, f]) for i in range(10 - taps)] for f in range(2)]
            for n in range(2)
        ]
        np.testing.assert_array_equal(correlate(image, kernel, [1], [1])[:, 0], expected)
