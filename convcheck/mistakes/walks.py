"""The two backward walks over windows and taps, with every part of the index arithmetic open to change.

Right code multiplies by the stride, the dilation and so on that the layer says. Most mistakes are one of these walks
with a single argument changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from convcheck.gradients import dilate_flip
from convcheck.layer.arrays import Array, at_sites
from convcheck.layer.layer import Layer
from convcheck.mistakes.mistake import Scene

Indices = NDArray[np.intp]
Counts = NDArray[np.bool_]

#: rule(indices, size) -> (indices that exist, which of them count): what is done about an index out of range.
Rule = Callable[[Indices, int], tuple[Indices, Counts]]


def walked(
    scene: Scene,
    gradient: str,
    *,
    stride: Sequence[int] | None = None,
    dilation: Sequence[int] | None = None,
    before: Sequence[int] | None = None,
) -> Array | None:
    """dL/dX or dL/dW with another stride, dilation or padding in front; None where a window leaves the padded input.

    Where padding repeats samples, it has no other place.
    """
    axes = scene.layer.axes
    if scene.layer.transposed:
        return met(scene, gradient, stride=stride, dilation=dilation, before=before)
    if scene.layer.repeats_samples:
        if before is not None:
            return None
        if gradient == "weight":
            return gathered(scene, dilate_flip.padded_input(scene.layer, scene.x), stride=stride, dilation=dilation)
        padded = scattered_padded(scene, stride=stride, dilation=dilation)
        return None if padded is None else unpadded(scene.layer, padded)
    if gradient == "input":
        padded = scattered_padded(scene, stride=stride, dilation=dilation)
        start = before or [axis.before for axis in axes]
        return None if padded is None else windowed(padded, start, scene.layer.input)
    ahead = [-first for first in before or [axis.before for axis in axes]]
    image = windowed(scene.x, ahead, [axis.padded_size for axis in axes])
    return gathered(scene, image, stride=stride, dilation=dilation)


def ruled(scene: Scene, gradient: str, rule: Rule) -> Array | None:
    """dL/dX or dL/dW, ``rule`` deciding what is read at an index out of range."""
    if scene.layer.transposed:
        return met(scene, gradient, rule=rule)
    return _read_back(scene, rule) if gradient == "input" else gathered(scene, _padded_by(scene, rule))


def unpadded(layer: Layer, padded: Array) -> Array:
    """Take the padding off the gradient of a padded input; what stands at repeated samples is theirs."""
    if not layer.repeats_samples:
        return windowed(padded, [axis.before for axis in layer.axes], layer.input)
    for place, axis in enumerate(layer.axes, 2):
        along = np.moveaxis(padded, place, 0)
        folded = np.zeros((axis.size, *along.shape[1:]), padded.dtype)
        np.add.at(folded, axis.origin, along)
        padded = np.moveaxis(folded, 0, place)
    return np.ascontiguousarray(padded)


def grad_columns(scene: Scene) -> Array:
    """What each window passes back through each tap, shape (N, C, *kernel, *output)."""
    layer = scene.layer
    return scene.grad_columns.reshape(layer.batch, layer.channels, *layer.kernel, *layer.output)


def scattered_padded(
    scene: Scene, *, stride: Sequence[int] | None = None, dilation: Sequence[int] | None = None
) -> Array | None:
    """Gradient of the padded input: every column added at i*stride + a*dilation; None where a window leaves it."""
    layer = scene.layer
    stride, dilation = stride or layer.stride, dilation or layer.dilation
    if not _windows_fit(layer, stride, dilation, [axis.padded_size for axis in layer.axes]):
        return None
    columns = grad_columns(scene)
    padded = np.zeros((*columns.shape[:2], *(axis.padded_size for axis in layer.axes)), columns.dtype)
    for tap in np.ndindex(*layer.kernel):
        padded[at_sites(_steps(tap, stride, dilation, layer.output))] += columns[(slice(None), slice(None), *tap)]
    return padded


def gathered(
    scene: Scene, image: Array, *, stride: Sequence[int] | None = None, dilation: Sequence[int] | None = None
) -> Array | None:
    """dL/dW by reading ``image`` (the padded input, where right) at i*stride + a*dilation.

    None where a window would leave the image.
    """
    layer = scene.layer
    stride, dilation = stride or layer.stride, dilation or layer.dilation
    if not _windows_fit(layer, stride, dilation, image.shape[2:]):
        return None
    seen = np.empty((*image.shape[:2], *layer.kernel, *layer.output), image.dtype)
    for tap in np.ndindex(*layer.kernel):
        seen[(slice(None), slice(None), *tap)] = image[at_sites(_steps(tap, stride, dilation, layer.output))]
    columns = seen.reshape(layer.batch, layer.groups, -1, prod(layer.output))
    gradient: Array = (scene.rows @ columns.swapaxes(2, 3)).sum(axis=0).reshape(layer.weight_shape)
    return gradient


def met(
    scene: Scene,
    gradient: str,
    *,
    stride: Sequence[int] | None = None,
    dilation: Sequence[int] | None = None,
    before: Sequence[int] | None = None,
    rule: Rule | None = None,
) -> Array:
    """dL/dX or dL/dW of a transposed layer whose input p meets output p*stride + a*dilation - before through tap a.

    What is out of range is left out, unless ``rule`` decides otherwise.
    """
    layer = scene.layer
    stride, dilation = stride or layer.stride, dilation or layer.dilation
    before = before or [axis.before for axis in layer.axes]
    groups, channels, filters = layer.groups, layer.channels_per_group, layer.filters_per_group
    x = scene.x.reshape(layer.batch, groups, channels, -1)
    weight = scene.weight.reshape(groups, channels, filters, *layer.kernel)
    grad_output = scene.grad_output.reshape(layer.batch, groups, filters, *layer.output)
    grad_input, grad_weight = np.zeros_like(x), np.zeros_like(weight)
    for tap in np.ndindex(*layer.kernel):
        outputs = [
            np.arange(n) * s + a * d - b
            for n, a, s, d, b in zip(layer.input, tap, stride, dilation, before, strict=True)
        ]
        ruled = [(rule or _left_out)(found, m) for found, m in zip(outputs, layer.output, strict=True)]
        places, inside = zip(*ruled, strict=True)
        seen = (grad_output[at_sites(np.ix_(*places))] * _outer(inside)).reshape(layer.batch, groups, filters, -1)
        grad_input += weight[(..., *tap)] @ seen
        grad_weight[(..., *tap)] = (x @ seen.swapaxes(2, 3)).sum(axis=0)
    return grad_input.reshape(scene.x.shape) if gradient == "input" else grad_weight.reshape(scene.weight.shape)


def _left_out(indices: Indices, size: int) -> tuple[Indices, Counts]:
    return indices.clip(0, size - 1), (indices >= 0) & (indices < size)


def windowed(padded: Array, start: Sequence[int], size: Sequence[int]) -> Array:
    """Cut ``size`` samples from ``start`` on out of the trailing axes; what lies outside is zero."""
    cut = np.zeros((*padded.shape[:2], *size), padded.dtype)
    spans = list(zip(start, size, padded.shape[2:], strict=True))
    cut[at_sites(slice(max(0, -s), max(0, min(n, total - s))) for s, n, total in spans)] = padded[
        at_sites(slice(max(0, s), max(0, min(s + n, total))) for s, n, total in spans)
    ]
    return cut


def correlated_input(scene: Scene, dilated: Array, padding: Sequence[tuple[int, int]]) -> Array | None:
    """dL/dX as a correlation of a dilated dL/dO, padded (or cropped, where negative), with the rotated kernel.

    None where nothing is left to correlate with. The result is as large as the padding makes it.
    """
    layer = scene.layer
    size = [n + before + after for n, (before, after) in zip(dilated.shape[2:], padding, strict=True)]
    if any(n < axis.effective_kernel for n, axis in zip(size, layer.axes, strict=True)):
        return None
    image = windowed(dilated, [-before for before, _ in padding], size)
    rotated = dilate_flip.rotated_kernel(layer, scene.weight)
    kernel = rotated.reshape(layer.groups, layer.channels_per_group, *rotated.shape[1:])
    grouped = image.reshape(layer.batch, layer.groups, -1, *image.shape[2:])
    gradient = dilate_flip.correlate(grouped, kernel, [1] * len(layer.input), layer.dilation)
    return gradient.reshape(layer.batch, layer.channels, *gradient.shape[3:])


def correlated_weight(scene: Scene, image: Array, dilated: Array) -> Array | None:
    """dL/dW as a correlation of an image with a dilated dL/dO, as many taps as fit; None where none does."""
    layer = scene.layer
    if any(n < m for n, m in zip(image.shape[2:], dilated.shape[2:], strict=True)):
        return None

    def exchanged(array: Array) -> Array:
        """(N, groups * C, *size) as (groups, C, N, *size)."""
        split = array.reshape(len(array), layer.groups, -1, *array.shape[2:])
        return np.moveaxis(split, 0, 2)

    seen = exchanged(image).swapaxes(0, 1)
    gradient = dilate_flip.correlate(seen, exchanged(dilated), layer.dilation, [1] * len(layer.input))
    moved = np.moveaxis(gradient, 0, 2)
    return np.ascontiguousarray(moved).reshape(layer.filters, layer.channels_per_group, *gradient.shape[3:])


def _read_back(scene: Scene, rule: Rule) -> Array:
    """dL/dX[p] as a sum over the taps of W[a] dL/dO[(p + before - a*d) / s], ``rule`` deciding out of range."""
    layer = scene.layer
    columns = grad_columns(scene)
    gradient = np.zeros(layer.input_shape, columns.dtype)
    # Per axis and tap: the indices that are read, and which of them count.
    tables = []
    for axis in layer.axes:
        table = []
        for a in range(axis.kernel):
            output, between = np.divmod(np.arange(axis.size) + axis.before - a * axis.dilation, axis.stride)
            indices, exist = rule(output, axis.output_size)
            table.append((indices, exist & (between == 0)))
        tables.append(table)
    for tap in np.ndindex(*layer.kernel):
        found, counts = zip(*(table[a] for table, a in zip(tables, tap, strict=True)), strict=True)
        gradient += columns[(slice(None), slice(None), *tap)][at_sites(np.ix_(*found))] * _outer(counts)
    return gradient


def _padded_by(scene: Scene, rule: Rule) -> Array:
    """Return the padded input, ``rule`` deciding what stands in the padding."""
    found, counts = [], []
    for axis in scene.layer.axes:
        indices, exist = rule(np.arange(axis.padded_size) - axis.before, axis.size)
        found.append(indices)
        counts.append(exist)
    padded: Array = scene.x[at_sites(np.ix_(*found))] * _outer(counts)
    return padded


def _outer(counts: Sequence[NDArray[np.bool_]]) -> NDArray[np.int8]:
    """One where all axes count, in a type that leaves float32 what it is."""
    mask = np.ones([len(count) for count in counts], np.int8)
    for one in np.ix_(*(count.astype(np.int8) for count in counts)):
        mask = mask * one
    return mask


def _windows_fit(layer: Layer, stride: Sequence[int], dilation: Sequence[int], size: Sequence[int]) -> bool:
    return all(
        (m - 1) * s + (k - 1) * d < n
        for m, k, s, d, n in zip(layer.output, layer.kernel, stride, dilation, size, strict=True)
    )


def _steps(
    tap: Sequence[int], stride: Sequence[int], dilation: Sequence[int], output: Sequence[int]
) -> tuple[slice, ...]:
    return tuple(
        slice(a * d, a * d + (m - 1) * s + 1, s) for a, s, d, m in zip(tap, stride, dilation, output, strict=True)
    )
