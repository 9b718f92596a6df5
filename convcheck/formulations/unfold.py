"""T4: unfold and matrix products. The fast one.

    O        = W~ X~ + b          W~ (F, C*k), X~ = unfolded input (C*k, m)
    dL/dW~   = dL/dO X~^T
    dL/dX    = fold(W~^T dL/dO)   overlapping windows add up, padding is cropped away

X~ repeats every input sample up to k times. Where that copy is what costs, on large images, the same products are
taken tap by tap instead, and nothing is copied: with stride 1, what a tap sees of the flattened padded input is one
contiguous run.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from convcheck.arrays import Array, Gradients, at_sites
from convcheck.layer import Layer

__all__ = ["backward", "fold", "forward", "unfold"]

#: Tap by tap pays where an image has this many times more outputs than a tap has filters, since the kernel is
#: rearranged then, and where a tap has enough channels to make a product worthwhile.
_LARGE_IMAGE = 4
_MANY_CHANNELS = 32

#: Entries of one block of rows and columns: 1 MiB of float64, so that sums over taps stay in the second-level cache.
_BLOCK_ENTRIES = 2**17


def forward(layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
    """O = W~ X~ + b."""
    if _by_tap(layer):
        output = _forward_by_tap(layer, x, weight)
    else:
        output = (_weight_matrix(layer, weight) @ unfold(layer, x)).reshape(len(x), layer.filters, *layer.output)
    if bias is not None:
        output += bias.reshape(-1, *[1] * len(layer.input))
    return output


def backward(layer: Layer, x: Array, weight: Array, grad_output: Array) -> Gradients:
    """dL/dX = fold(W~^T dL/dO), dL/dW~ = dL/dO X~^T, dL/db = row sums of dL/dO."""
    rows = grad_output.reshape(len(x), layer.groups, layer.filters_per_group, -1)
    grad_bias = rows.sum(axis=(0, 3)).reshape(-1) if layer.bias else None
    if _by_tap(layer):
        return Gradients(*_backward_by_tap(layer, x, weight, grad_output), grad_bias)
    grad_columns = _weight_matrix(layer, weight).swapaxes(1, 2) @ rows
    grad_weight = rows @ unfold(layer, x).swapaxes(2, 3)
    grad_weight = grad_weight[0] if len(x) == 1 else grad_weight.sum(axis=0)
    return Gradients(fold(layer, grad_columns), grad_weight.reshape(layer.weight_shape), grad_bias)


def unfold(layer: Layer, x: Array) -> Array:
    """Unfolded input X~: one column per window, one row per (channel, tap).

    Returns
    -------
    array, shape (N, groups, C/groups * prod(kernel), prod(output))
        [n, g, (c, a), i] = Xpad[n, c, i*s + a*d]. A view of ``x`` where every window is one sample.
    """
    if _pointwise(layer):
        return x.reshape(len(x), layer.groups, -1, prod(layer.output))
    padded = _pad(layer, x)
    columns = np.empty((*x.shape[:2], *layer.kernel, *layer.output), x.dtype)
    for tap in np.ndindex(*layer.kernel):
        columns[(slice(None), slice(None), *tap)] = padded[at_sites(_tap_slices(layer, tap))]
    return columns.reshape(len(x), layer.groups, -1, prod(layer.output))


def fold(layer: Layer, columns: Array) -> Array:
    """Adjoint of `unfold`: add every column back to where its window was, then crop the padding.

    Parameters
    ----------
    columns : array, shape (N, groups, C/groups * prod(kernel), prod(output))

    Returns
    -------
    array, shape (N, C, *input)
    """
    if _pointwise(layer):
        return columns.reshape(len(columns), layer.channels, *layer.input)
    columns = columns.reshape(len(columns), layer.channels, *layer.kernel, *layer.output)
    padded = np.zeros((*columns.shape[:2], *(axis.padded_size for axis in layer.axes)), columns.dtype)
    for tap in np.ndindex(*layer.kernel):
        padded[at_sites(_tap_slices(layer, tap))] += columns[(slice(None), slice(None), *tap)]
    return _crop(layer, padded)


def _forward_by_tap(layer: Layer, x: Array, weight: Array) -> Array:
    """Sum of W[tap] X[shifted by tap], one matrix product per tap and block of columns."""
    seen, taps = _flat_channels(layer, _pad(layer, x)), _weight_by_tap(layer, weight)
    output = np.empty((layer.groups, layer.filters_per_group, seen.shape[-1]), x.dtype)
    for block in _blocks(layer, seen.shape[-1]):
        total = output[..., block]
        for index, (tap, shift) in enumerate(zip(taps, _shifts(layer), strict=True)):
            part = seen[..., block.start + shift : block.stop + shift]
            if index:
                total += tap @ part
            else:
                np.matmul(tap, part, out=total)
    padded = output.reshape(layer.filters, len(x), *(axis.padded_size for axis in layer.axes))
    inside = padded[at_sites(slice(axis.output_size) for axis in layer.axes)]
    return np.ascontiguousarray(inside.swapaxes(0, 1))


def _backward_by_tap(layer: Layer, x: Array, weight: Array, grad_output: Array) -> tuple[Array, Array]:
    """dL/dX and dL/dW, tap by tap, with dL/dO set into the padded input's rows so that shifts are alike."""
    sizes = tuple(axis.padded_size for axis in layer.axes)
    spread = np.zeros((len(x), layer.filters, *sizes), grad_output.dtype)
    spread[at_sites(slice(axis.output_size) for axis in layer.axes)] = grad_output
    given, seen = _flat_channels(layer, spread), _flat_channels(layer, _pad(layer, x))
    taps = _weight_by_tap(layer, weight).swapaxes(2, 3)
    shifts = list(_shifts(layer))
    length = seen.shape[-1] - shifts[-1]
    grad_taps = np.empty((len(shifts), layer.groups, layer.filters_per_group, layer.channels_per_group), x.dtype)
    for grad_tap, shift in zip(grad_taps, shifts, strict=True):
        np.matmul(given[..., :length], seen[..., shift : shift + length].swapaxes(1, 2), out=grad_tap)
    grad_seen = np.zeros_like(seen)
    for block in _blocks(layer, seen.shape[-1]):
        for tap, shift in zip(taps, shifts, strict=True):
            grad_seen[..., block.start + shift : block.stop + shift] += tap @ given[..., block]
    grad_padded = grad_seen.reshape(layer.channels, len(x), *sizes).swapaxes(0, 1)
    grad_weight = np.ascontiguousarray(np.moveaxis(grad_taps, 0, 3)).reshape(layer.weight_shape)
    return _crop(layer, grad_padded), grad_weight


def _by_tap(layer: Layer) -> bool:
    """Whether products per tap beat one unfolded product; see the head of this module."""
    taps, outputs = prod(layer.kernel), prod(layer.output)
    padded = prod(axis.padded_size for axis in layer.axes)
    return (
        taps > 1
        and all(axis.stride == 1 for axis in layer.axes)
        and layer.channels_per_group >= _MANY_CHANNELS
        and outputs >= _LARGE_IMAGE * layer.filters_per_group
        # The runs of a tap also cross the padding: not too many products may be in vain.
        and 4 * padded <= 5 * outputs
    )


def _blocks(layer: Layer, length: int) -> Iterator[slice]:
    """Runs of flattened positions, as long as a cache holds, of which every tap's shift stays inside."""
    *_, longest = _shifts(layer)
    step = max(512, _BLOCK_ENTRIES // max(layer.channels_per_group, layer.filters_per_group))
    for start in range(0, length - longest, step):
        yield slice(start, min(start + step, length - longest))


def _shifts(layer: Layer) -> Iterator[int]:
    """Distance from an output to what each tap reads, in the flattened padded input."""
    sizes = [axis.padded_size for axis in layer.axes]
    for tap in np.ndindex(*layer.kernel):
        offset = [a * axis.dilation for a, axis in zip(tap, layer.axes, strict=True)]
        yield int(np.ravel_multi_index(offset, sizes))


def _flat_channels(layer: Layer, array: Array) -> Array:
    """Array (N, C, *sites) as (groups, C/groups, N * sites): one row per channel."""
    return np.ascontiguousarray(array.swapaxes(0, 1)).reshape(layer.groups, array.shape[1] // layer.groups, -1)


def _weight_by_tap(layer: Layer, weight: Array) -> Array:
    """W as (prod(kernel), groups, F/groups, C/groups)."""
    by_group = weight.reshape(layer.groups, layer.filters_per_group, layer.channels_per_group, -1)
    return np.ascontiguousarray(np.moveaxis(by_group, 3, 0))


def _pointwise(layer: Layer) -> bool:
    """Whether every output sees one input sample, and every sample is seen."""
    return all(axis.kernel == axis.stride == 1 and axis.padded_size == axis.size for axis in layer.axes)


def _pad(layer: Layer, x: Array) -> Array:
    """X with its zero padding; several times faster than a general pad."""
    padded = np.zeros((*x.shape[:2], *(axis.padded_size for axis in layer.axes)), x.dtype)
    padded[at_sites(slice(axis.before, axis.before + axis.size) for axis in layer.axes)] = x
    return padded


def _crop(layer: Layer, padded: Array) -> Array:
    inside = at_sites(slice(axis.before, axis.before + axis.size) for axis in layer.axes)
    return np.ascontiguousarray(padded[inside])


def _tap_slices(layer: Layer, tap: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(axis.tap_slice(a) for axis, a in zip(layer.axes, tap, strict=True))


def _weight_matrix(layer: Layer, weight: Array) -> Array:
    """W~: one row per filter, shape (groups, F/groups, C/groups * prod(kernel))."""
    return weight.reshape(layer.groups, layer.filters_per_group, -1)
