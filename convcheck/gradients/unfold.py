"""T4: unfold and matrix products. The fast one.

    O        = W~ X~ + b          W~ (F, C*k), X~ = unfolded input (C*k, m)
    dL/dW~   = dL/dO X~^T
    dL/dX    = fold(W~^T dL/dO)   overlapping windows add up, padding is cropped away

A transposed layer is the backward pass of its twin: its output is a fold, and its dL/dX a product with unfolded dL/dO.

With stride 1, what a tap sees of the flattened padded input is one contiguous run. On images that are much larger than
their padding, X~ is therefore copied run by run instead of window by window, with a few columns in vain where a run
crosses the padding, and in blocks that stay in the caches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil, prod
from typing import Any

import numpy as np

from convcheck.layer.arrays import Array, Gradients, at_sites
from convcheck.layer.axis import Axis
from convcheck.layer.fields import ZEROS
from convcheck.layer.layer import Layer

#: Entries of a block of columns: 16 MiB of float64, still in the caches when they are multiplied.
_BLOCK_ENTRIES = 2**21

#: Columns with which a product of matrices is about as fast as it gets, and with which it is nearly so.
_MANY_COLUMNS, _ENOUGH_COLUMNS = 512, 128

#: Columns that are few beside a matrix of twice as many rows and columns.
_FEW_COLUMNS = 64


def forward(layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
    """O = W~ X~ + b; transposed, O = fold(W~^T X) + b."""
    if layer.transposed:
        output = _fold_product(layer.twin, weight, x)
    elif _in_runs(layer):
        output = _forward_in_runs(layer, x, weight)
    else:
        output = _unfold_product(layer, weight, x)
    if bias is not None:
        output += bias.reshape(-1, *[1] * len(layer.input))
    return output


def backward(layer: Layer, x: Array, weight: Array, grad_output: Array) -> Gradients:
    """dL/dX = fold(W~^T dL/dO), dL/dW~ = dL/dO X~^T, dL/db = row sums of dL/dO."""
    by_filter = grad_output.reshape(len(x), layer.filters, -1)
    grad_bias = by_filter.sum(axis=2).sum(axis=0) if layer.bias else None
    if layer.transposed:
        twin = layer.twin
        return Gradients(_unfold_product(twin, weight, grad_output), _grad_weight(twin, grad_output, x), grad_bias)
    if _in_runs(layer):
        return Gradients(*_backward_in_runs(layer, x, weight, grad_output), grad_bias)
    return Gradients(_fold_product(layer, weight, grad_output), _grad_weight(layer, x, grad_output), grad_bias)


def _unfold_product(layer: Layer, weight: Array, x: Array) -> Array:
    """W~ X~, shape (N, F, *output)."""
    matrix = _weight_matrix(layer, weight)
    output = np.empty((len(x), layer.groups, layer.filters_per_group, prod(layer.output)), x.dtype)
    for some in _samples(layer, len(x)):
        _multiply(matrix, unfold(layer, x[some]), output[some])
    return output.reshape(len(x), layer.filters, *layer.output)


def _fold_product(layer: Layer, weight: Array, grad_output: Array) -> Array:
    """fold(W~^T dL/dO), shape (N, C, *input)."""
    matrix, rows = _weight_matrix(layer, weight).swapaxes(1, 2), _rows(layer, grad_output)
    gradient = np.empty((len(rows), layer.channels, *layer.input), grad_output.dtype)
    for some in _samples(layer, len(rows)):
        given, part = rows[some], gradient[some]
        if _pointwise(layer):
            _multiply(matrix, given, part.reshape(len(given), layer.groups, -1, given.shape[-1]))
        else:
            part[...] = _folded(layer, _by_sample(_times(matrix, _side_by_side(given)), len(given)))
    return gradient


def _multiply(matrix: Array, columns: Array, out: Array) -> None:
    """Put into ``out`` the product of every group's matrix and the columns of some samples."""
    if len(out) == 1:
        _times(matrix, columns[0], out[0])
    else:
        out[...] = _by_sample(_times(matrix, _side_by_side(columns)), len(out))


def _times(matrix: Array, columns: Array, out: Array | None = None) -> Array:
    """Return matrix columns. In double precision, OpenBLAS is a quarter faster if few columns come first."""
    if columns.shape[2] <= _FEW_COLUMNS and min(matrix.shape[1:]) >= 2 * _FEW_COLUMNS and columns.dtype == np.float64:
        product = (columns.swapaxes(1, 2) @ matrix.swapaxes(1, 2)).swapaxes(1, 2)
        if out is None:
            return product
        out[...] = product
        return out
    return np.matmul(matrix, columns, out=out)


def _grad_weight(layer: Layer, x: Array, grad_output: Array) -> Array:
    """dL/dO X~^T, shape (F, C/groups, *kernel)."""
    rows, gradient = _rows(layer, grad_output), None
    for some in _samples(layer, len(x)):
        part = _times_transposed(_side_by_side(rows[some]), _side_by_side(unfold(layer, x[some])))
        gradient = part if gradient is None else gradient + part
    assert gradient is not None
    return gradient.reshape(layer.weight_shape)


def _times_transposed(rows: Array, columns: Array) -> Array:
    """Return rows columns^T. OpenBLAS is up to a third faster if the right one of the two comes first.

    In single precision that is the larger matrix, in double precision the smaller one, where they are long.
    """
    long = rows.shape[2] >= 4 * rows.shape[1]
    larger = rows.shape[1] >= columns.shape[1]
    if long and larger == (rows.dtype == np.float64) and rows.dtype in (np.float32, np.float64):
        return np.ascontiguousarray((columns @ rows.swapaxes(1, 2)).swapaxes(1, 2))
    return rows @ columns.swapaxes(1, 2)


def unfold(layer: Layer, x: Array) -> Array:
    """Unfolded input X~: one column per window, one row per (channel, tap).

    Returns
    -------
    array, shape (N, groups, C/groups * prod(kernel), prod(output))
        [n, g, (c, a), i] = Xpad[n, c, i*s + a*d] of a plain layer. A view of ``x`` where every window is one sample;
        in memory, the columns of all samples lie side by side otherwise.
    """
    if _pointwise(layer):
        return x.reshape(len(x), layer.groups, -1, prod(layer.output))
    padded = _pad(layer, x).swapaxes(0, 1)
    columns = np.empty((layer.channels, *layer.kernel, len(x), *layer.output), x.dtype)
    for place, seen in _tap_slices(layer.axes):
        columns[place] = padded[seen]
    return _by_sample(columns.reshape(layer.groups, -1, len(x) * prod(layer.output)), len(x))


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
    return np.ascontiguousarray(_folded(layer, columns))


def _folded(layer: Layer, columns: Array) -> Array:
    """`fold`, as a view of the gradient of the padded input."""
    by_tap = columns.reshape(len(columns), layer.channels, prod(layer.kernel), *layer.output)
    padded = np.zeros((*by_tap.shape[:2], *(axis.padded_size for axis in layer.axes)), columns.dtype)
    for phase, taps in _taps_by_phase(layer.axes):
        # Taps of one phase meet the same samples, every s-th: added up side by side, then set apart once.
        apart: Array = padded[phase]
        direct = len(taps) == 1 or apart.flags.c_contiguous
        total = apart if direct else np.zeros(apart.shape, apart.dtype)
        for number, steps in taps:
            total[steps] += by_tap[:, :, number]
        if not direct:
            apart[...] = total
    return _crop(layer, padded)


def _samples(layer: Layer, count: int) -> Iterator[slice]:
    """Split a batch into samples of which the columns lie side by side: products of few columns are slow."""
    sites = prod(layer.output)
    wanted = 1 if sites >= _ENOUGH_COLUMNS else ceil(_MANY_COLUMNS / sites)
    step = max(1, min(wanted, _BLOCK_ENTRIES // (layer.channels * prod(layer.kernel) * sites)))
    for first in range(0, count, step):
        yield slice(first, first + step)


def _side_by_side(matrices: Array) -> Array:
    """Matrices of every sample and group, (N, groups, rows, columns), as (groups, rows, N * columns)."""
    moved = matrices.transpose(1, 2, 0, 3)
    return moved.reshape(*moved.shape[:2], -1)


def _by_sample(matrices: Array, count: int) -> Array:
    """Undo `_side_by_side`, as a view."""
    return matrices.reshape(*matrices.shape[:2], count, -1).transpose(2, 0, 1, 3)


def _rows(layer: Layer, grad_output: Array) -> Array:
    return grad_output.reshape(len(grad_output), layer.groups, layer.filters_per_group, -1)


def _forward_in_runs(layer: Layer, x: Array, weight: Array) -> Array:
    seen = _flat_channels(layer, _pad(layer, x))
    output = np.empty((layer.groups, layer.filters_per_group, seen.shape[-1]), x.dtype)
    for block, columns in _columns(layer, seen):
        np.matmul(_weight_matrix(layer, weight), columns, out=output[..., block])
    padded = output.reshape(layer.filters, len(x), *(axis.padded_size for axis in layer.axes))
    inside = padded[at_sites(slice(axis.output_size) for axis in layer.axes)]
    return np.ascontiguousarray(inside.swapaxes(0, 1))


def _backward_in_runs(layer: Layer, x: Array, weight: Array, grad_output: Array) -> tuple[Array, Array]:
    """dL/dX and dL/dW, with dL/dO set into rows as long as the padded input's, so that runs are alike."""
    sizes = tuple(axis.padded_size for axis in layer.axes)
    spread = np.zeros((len(x), layer.filters, *sizes), grad_output.dtype)
    spread[at_sites(slice(axis.output_size) for axis in layer.axes)] = grad_output
    given, seen = _flat_channels(layer, spread), _flat_channels(layer, _pad(layer, x))
    grad_seen, grad_weight = np.zeros_like(seen), np.zeros((layer.groups, layer.filters_per_group, 1), x.dtype)
    for block, columns in _columns(layer, seen):
        rows = given[..., block]
        grad_weight = grad_weight + _times_transposed(rows, columns)
        # The columns are used up, so their memory, still in the caches, takes the gradient's.
        grad_columns = np.matmul(_weight_matrix(layer, weight).swapaxes(1, 2), rows, out=columns)
        by_tap = grad_columns.reshape(layer.groups, layer.channels_per_group, prod(layer.kernel), -1)
        for tap, run in enumerate(_runs(layer, block)):
            grad_seen[..., run] += by_tap[:, :, tap]
    grad_padded = grad_seen.reshape(layer.channels, len(x), *sizes).swapaxes(0, 1)
    return np.ascontiguousarray(_crop(layer, grad_padded)), grad_weight.reshape(layer.weight_shape)


def _columns(layer: Layer, seen: Array) -> Iterator[tuple[slice, Array]]:
    """X~ by blocks of columns, shape (groups, C/groups * prod(kernel), columns), from the flattened padded input.

    All of them take the same memory: a block is to be used before the next one is asked for.
    """
    groups, channels, length = seen.shape
    memory = np.empty(0, seen.dtype)
    for block in _blocks(layer, length):
        shape = groups, channels, prod(layer.kernel), block.stop - block.start
        memory = memory if memory.size else np.empty(prod(shape), seen.dtype)
        columns = memory[: prod(shape)].reshape(shape)
        for tap, run in enumerate(_runs(layer, block)):
            columns[:, :, tap] = seen[..., run]
        yield block, columns.reshape(groups, -1, shape[-1])


def _in_runs(layer: Layer) -> bool:
    """Whether X~ is copied run by run; see the head of this module."""
    padded = prod(axis.padded_size for axis in layer.axes)
    few_in_vain = 4 * padded <= 5 * prod(layer.output)
    return few_in_vain and prod(layer.kernel) > 1 and all(axis.stride == 1 for axis in layer.axes)


def _blocks(layer: Layer, length: int) -> Iterator[slice]:
    """Blocks of columns, of which every tap's run stays inside the flattened padded input."""
    last = length - max(run.start for run in _runs(layer, slice(0, 0)))
    step = max(512, _BLOCK_ENTRIES // (layer.channels * prod(layer.kernel)))
    for start in range(0, last, step):
        yield slice(start, min(start + step, last))


def _runs(layer: Layer, block: slice) -> Iterator[slice]:
    """What each tap sees of the flattened padded input, for a block of columns."""
    sizes = [axis.padded_size for axis in layer.axes]
    for tap in np.ndindex(*layer.kernel):
        offset = [a * axis.dilation for a, axis in zip(tap, layer.axes, strict=True)]
        shift = int(np.ravel_multi_index(offset, sizes))
        yield slice(block.start + shift, block.stop + shift)


def _flat_channels(layer: Layer, array: Array) -> Array:
    """Array (N, C, *sites) as (groups, C/groups, N * sites): one row per channel."""
    return np.ascontiguousarray(array.swapaxes(0, 1)).reshape(layer.groups, array.shape[1] // layer.groups, -1)


def _pointwise(layer: Layer) -> bool:
    """Whether every output sees one input sample, and every sample is seen."""
    return all(axis.kernel == axis.stride == 1 and axis.padded_size == axis.size == axis.windows for axis in layer.axes)


def _pad(layer: Layer, x: Array) -> Array:
    """X with its padding; with zeros several times faster than a general pad."""
    if layer.padding_mode != ZEROS:
        for place, axis in enumerate(layer.axes, 2):
            x = x.take(axis.origin, axis=place)
        return x
    if x.shape[2:] == tuple(axis.padded_size for axis in layer.axes):
        return x
    padded = np.zeros((*x.shape[:2], *(axis.padded_size for axis in layer.axes)), x.dtype)
    padded[at_sites(slice(axis.before, axis.before + axis.size) for axis in layer.axes)] = x
    return padded


def _crop(layer: Layer, padded: Array) -> Array:
    """Adjoint of `_pad`, as a view: leave the padding out; where it repeats samples, add it to theirs first."""
    if layer.padding_mode != ZEROS:
        for place, axis in enumerate(layer.axes, 2):
            # A view on which this axis comes first.
            along = np.moveaxis(padded, place, 0)
            for position in (*range(axis.before), *range(axis.before + axis.size, axis.padded_size)):
                along[axis.before + axis.origin[position]] += along[position]
    inside: Array = padded[at_sites(slice(axis.before, axis.before + axis.size) for axis in layer.axes)]
    return inside


#: What indexes an array.
_Index = tuple[Any, ...]


@lru_cache(maxsize=256)
def _tap_slices(axes: tuple[Axis, ...]) -> list[tuple[_Index, _Index]]:
    """Return for every tap its place among the columns, and what it reads of the padded input, one per output."""
    return [
        (
            (slice(None), *tap),
            at_sites(axis.tap_slice(a) for axis, a in zip(axes, tap, strict=True)),
        )
        for tap in np.ndindex(*(axis.kernel for axis in axes))
    ]


@lru_cache(maxsize=256)
def _taps_by_phase(axes: tuple[Axis, ...]) -> list[tuple[_Index, list[tuple[int, _Index]]]]:
    """Return the taps by the place that they read between two windows, a*d % s per axis.

    For every such place what it is of the padded input, and for its taps their number, and what each reads of that.
    """
    phases: dict[tuple[int, ...], list[tuple[int, _Index]]] = {}
    for number, tap in enumerate(np.ndindex(*(axis.kernel for axis in axes))):
        phase = tuple(a * axis.dilation % axis.stride for a, axis in zip(tap, axes, strict=True))
        firsts = [a * axis.dilation // axis.stride for a, axis in zip(tap, axes, strict=True)]
        steps = at_sites(slice(f, f + axis.output_size) for f, axis in zip(firsts, axes, strict=True))
        phases.setdefault(phase, []).append((number, steps))
    return [
        (at_sites(slice(start, None, axis.stride) for start, axis in zip(phase, axes, strict=True)), taps)
        for phase, taps in phases.items()
    ]


def _weight_matrix(layer: Layer, weight: Array) -> Array:
    """W~: one row per filter, shape (groups, F/groups, C/groups * prod(kernel))."""
    return weight.reshape(layer.groups, layer.filters_per_group, -1)
