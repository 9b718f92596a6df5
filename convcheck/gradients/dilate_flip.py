"""T3: dilate, pad, flip. Both gradients are correlations.

    grad_input  = correlation of dL/dO, dilated with s - 1 zeros and padded to full size,
                  with the kernel rotated by 180 degrees, channels and filters exchanged
    grad_weight = correlation of the padded input with the dilated dL/dO, in steps of the kernel's dilation

Where the padding repeats samples, grad_input is that of the padded input first, whose border is then folded back. A
transposed layer is the backward pass of its twin: its output is dilated, padded and flipped, and its grad_input is a
correlation in steps of the stride.

The intermediate objects are functions of their own, because the figures draw them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

import numpy as np

from convcheck.layer.arrays import Array, Gradients, at_sites
from convcheck.layer.fields import ZEROS
from convcheck.layer.layer import Layer


def forward(layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
    """O = correlation of the padded input with the kernel, in steps of the stride, plus b."""
    output = _grad_input(layer.twin, weight, x) if layer.transposed else _correlation(layer, x, weight)
    if bias is not None:
        output += bias.reshape(-1, *[1] * len(layer.input))
    return output


def backward(layer: Layer, x: Array, weight: Array, grad_output: Array) -> Gradients:
    """Return both gradients as correlations, and dL/db as a sum."""
    grad_bias = grad_output.sum(axis=(0, *range(2, grad_output.ndim))) if layer.bias else None
    if layer.transposed:
        twin = layer.twin
        return Gradients(_correlation(twin, grad_output, weight), _grad_weight(twin, grad_output, x), grad_bias)
    return Gradients(_grad_input(layer, weight, grad_output), _grad_weight(layer, x, grad_output), grad_bias)


#: NumPy's names of the padding modes that are not zeros.
_NUMPY_MODES: dict[str, Literal["wrap", "reflect", "edge"]] = {
    "circular": "wrap", "reflect": "reflect", "replicate": "edge",
}  # fmt: skip


def padded_input(layer: Layer, x: Array) -> Array:
    """X with its padding, shape (N, C, *padded)."""
    if layer.padding_mode == ZEROS:
        return _among_zeros(x, layer.padding)
    return np.pad(x, [(0, 0), (0, 0), *layer.padding], _NUMPY_MODES[layer.padding_mode])


def dilated_gradient(layer: Layer, grad_output: Array) -> Array:
    """dL/dO with s - 1 zeros between its samples, shape (N, F, *dilated): m becomes (m - 1)s + 1 on each axis."""
    dilated = np.zeros((*grad_output.shape[:2], *(axis.dilated_size for axis in layer.axes)), grad_output.dtype)
    dilated[at_sites(slice(None, None, axis.stride) for axis in layer.axes)] = grad_output
    return dilated


def full_gradient(layer: Layer, grad_output: Array) -> Array:
    """Dilated dL/dO, padded to full size, shape (N, F, *full) with full = n + e - 1 on each axis.

    In front e - 1 - before zeros, behind e - 1 - after and the remainder; where that is negative, it is a crop. Where
    the padding is not zeros, it counts too: full = P + e - 1, and nothing is cropped.
    """
    return _pad_or_crop(dilated_gradient(layer, grad_output), [axis.full_padding for axis in layer.axes])


def rotated_kernel(layer: Layer, weight: Array) -> Array:
    """Kernel rotated by 180 degrees, its F filters of depth C regrouped into C filters of depth F.

    Returns
    -------
    array, shape (C, F/groups, *kernel)
        Entry [c, f, a] is W[f, c, k - 1 - a]; f counts the filters of c's group.
    """
    grouped = weight.reshape(layer.groups, layer.filters_per_group, *weight.shape[1:])
    regrouped = grouped.swapaxes(1, 2).reshape(layer.channels, layer.filters_per_group, *layer.kernel)
    return np.flip(regrouped, axis=tuple(range(2, regrouped.ndim)))


def correlate(image: Array, kernel: Array, stride: Sequence[int], dilation: Sequence[int]) -> Array:
    """Cross-correlate without padding, every group on its own.

    Parameters
    ----------
    image : array, shape (N, groups, C, *size)
    kernel : array, shape (groups, F, C, *taps)
    stride, dilation : sequence of int
        Step between outputs and between taps, per axis.

    Returns
    -------
    array, shape (N, groups, F, *out)
        [n, g, f, i] = sum over c, a of kernel[g, f, c, a] image[n, g, c, i*stride + a*dilation].
    """
    taps = kernel.shape[3:]
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, taps, strict=True)]
    out = [(n - e) // s + 1 for n, e, s in zip(image.shape[3:], spans, stride, strict=True)]
    # One matrix product per tap or per output, whichever is fewer: a kernel as large as the image has few outputs.
    if prod(taps) <= prod(out):
        return _correlate_by_tap(image, kernel, stride, dilation, out)
    return _correlate_by_output(image, kernel, stride, dilation, out)


def _correlate_by_tap(
    image: Array, kernel: Array, stride: Sequence[int], dilation: Sequence[int], out: Sequence[int]
) -> Array:
    result = np.zeros((len(image), *kernel.shape[:2], prod(out)), image.dtype)
    for tap in np.ndindex(*kernel.shape[3:]):
        seen = image[at_sites(_steps(tap, dilation, stride, out))]
        result += kernel[at_sites(tap)] @ seen.reshape(*image.shape[:3], -1)
    return result.reshape(*result.shape[:3], *out)


def _correlate_by_output(
    image: Array, kernel: Array, stride: Sequence[int], dilation: Sequence[int], out: Sequence[int]
) -> Array:
    groups, filters, _, *taps = kernel.shape
    result = np.zeros((groups, len(image), filters, *out), image.dtype)
    rows = kernel.reshape(groups, filters, -1).swapaxes(1, 2)
    for output in np.ndindex(*out):
        window = image[at_sites(_steps(output, stride, dilation, taps))]
        result[at_sites(output)] = window.reshape(len(image), groups, -1).swapaxes(0, 1) @ rows
    return result.swapaxes(0, 1)


def _steps(
    start: Sequence[int], start_unit: Sequence[int], step: Sequence[int], count: Sequence[int]
) -> tuple[slice, ...]:
    """Per axis, ``count`` positions in steps of ``step``, from ``start * start_unit`` on."""
    first = [a * unit for a, unit in zip(start, start_unit, strict=True)]
    return tuple(slice(f, f + (c - 1) * s + 1, s) for f, s, c in zip(first, step, count, strict=True))


def _correlation(layer: Layer, x: Array, weight: Array) -> Array:
    """Correlate the padded input with the kernel, in steps of the stride."""
    image = _split_channels(padded_input(layer, x), layer.groups)
    # Of a twin, more windows may fit than there are.
    reached = image[at_sites(slice(axis.padded_size - axis.remainder) for axis in layer.axes)]
    kernel = weight.reshape(layer.groups, layer.filters_per_group, *weight.shape[1:])
    return _merge_channels(correlate(reached, kernel, layer.stride, layer.dilation))


def _grad_input(layer: Layer, weight: Array, grad_output: Array) -> Array:
    image = _split_channels(full_gradient(layer, grad_output), layer.groups)
    rotated = rotated_kernel(layer, weight)
    kernel = rotated.reshape(layer.groups, layer.channels_per_group, *rotated.shape[1:])
    gradient = _merge_channels(correlate(image, kernel, [1] * len(layer.input), layer.dilation))
    return gradient if layer.padding_mode == ZEROS else _folded_back(layer, gradient)


def _folded_back(layer: Layer, gradient: Array) -> Array:
    """Add each entry of the padded input's gradient to that of the sample of which it is a copy."""
    for place, (size, padding) in enumerate(zip(layer.input, layer.padding, strict=True), 2):
        folded = np.zeros((size, *np.moveaxis(gradient, place, 0).shape[1:]), gradient.dtype)
        copied = np.pad(np.arange(size), padding, _NUMPY_MODES[layer.padding_mode])
        np.add.at(folded, copied, np.moveaxis(gradient, place, 0))
        gradient = np.moveaxis(folded, 0, place)
    return np.ascontiguousarray(gradient)


def _grad_weight(layer: Layer, x: Array, grad_output: Array) -> Array:
    """Correlate with batch and channels exchanged: the sum runs over the samples of the batch."""
    reached = padded_input(layer, x)[at_sites(slice(axis.padded_size - axis.remainder) for axis in layer.axes)]
    image = np.moveaxis(_split_channels(reached, layer.groups), 0, 2).swapaxes(0, 1)
    kernel = np.moveaxis(_split_channels(dilated_gradient(layer, grad_output), layer.groups), 0, 2)
    gradient = correlate(image, kernel, layer.dilation, [1] * len(layer.input))
    return np.ascontiguousarray(np.moveaxis(gradient, 0, 2)).reshape(layer.weight_shape)


def _pad_or_crop(array: Array, amounts: Sequence[tuple[int, int]]) -> Array:
    """Add zeros in front of and behind the trailing axes; a negative amount removes samples instead."""
    # Zeros first: a crop may be larger than the array and reach into the zeros of the other side.
    padded = _among_zeros(array, [(max(0, before), max(0, after)) for before, after in amounts])
    kept = (
        slice(max(0, -before), size - max(0, -after))
        for size, (before, after) in zip(padded.shape[2:], amounts, strict=True)
    )
    cropped: Array = padded[at_sites(kept)]
    return cropped


def _among_zeros(array: Array, amounts: Sequence[tuple[int, int]]) -> Array:
    """Add zeros in front of and behind the trailing axes; several times faster than a general pad."""
    sites = list(zip(array.shape[2:], amounts, strict=True))
    padded = np.zeros((*array.shape[:2], *(size + before + after for size, (before, after) in sites)), array.dtype)
    padded[at_sites(slice(before, before + size) for size, (before, _) in sites)] = array
    return padded


def _split_channels(array: Array, groups: int) -> Array:
    return array.reshape(len(array), groups, -1, *array.shape[2:])


def _merge_channels(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(len(array), -1, *array.shape[3:])
