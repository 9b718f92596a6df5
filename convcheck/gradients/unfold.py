"""T4: unfold and matrix products. The fast one.

    O        = W~ X~ + b          W~ (F, C*k), X~ = unfolded input (C*k, m)
    dL/dW~   = dL/dO X~^T
    dL/dX    = fold(W~^T dL/dO)   overlapping windows add up, padding is cropped away

A transposed layer is the backward pass of its twin: its output is a fold, and its dL/dX a product with unfolded dL/dO.

With stride 1, what the taps of one kernel row see of an image row, the next row of taps sees of the next one. Images
that are not small are therefore unfolded along all axes but the first, and every row of taps is multiplied with the
image rows that it meets, which are one matrix in memory:

    O         = sum over a of W~[a] X~[rows a*d ...]
    dL/dW~[a] = dL/dO X~[rows a*d ...]^T
    dL/dX     = the same sum as O's, of dL/dO with zeros around it and of the reversed taps
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

#: Rows of a matrix below which one product for every tap of the first axis takes longer than a larger one of all.
_FEW_TERMS = 16

#: Columns that are few beside a matrix of twice as many rows and columns.
_FEW_COLUMNS = 64


def forward(layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
    """O = W~ X~ + b; transposed, O = fold(W~^T X) + b."""
    output = _grad_input(layer.twin, weight, x) if layer.transposed else _output(layer, weight, x)
    if bias is not None:
        output += bias.reshape(-1, *[1] * len(layer.input))
    return output


def backward(layer: Layer, x: Array, weight: Array, grad_output: Array) -> Gradients:
    """dL/dX = fold(W~^T dL/dO), dL/dW~ = dL/dO X~^T, dL/db = row sums of dL/dO."""
    by_filter = grad_output.reshape(len(x), layer.filters, -1)
    grad_bias = by_filter.sum(axis=2).sum(axis=0) if layer.bias else None
    if layer.transposed:
        twin = layer.twin
        return Gradients(_output(twin, weight, grad_output), _grad_weight(twin, grad_output, x), grad_bias)
    return Gradients(_grad_input(layer, weight, grad_output), _grad_weight(layer, x, grad_output), grad_bias)


def _output(layer: Layer, weight: Array, x: Array) -> Array:
    """W~ X~, shape (N, F, *output)."""
    if _goes_by_rows(layer, len(x)):
        return _correlated(layer, _reached(layer, x), _by_group(layer, weight))
    matrix = _weight_matrix(layer, weight)
    output = np.empty((len(x), layer.groups, layer.filters_per_group, prod(layer.output)), x.dtype)
    for some in _samples(layer, len(x)):
        _multiply(matrix, unfold(layer, x[some]), output[some])
    return output.reshape(len(x), layer.filters, *layer.output)


def _grad_input(layer: Layer, weight: Array, grad_output: Array) -> Array:
    """fold(W~^T dL/dO), shape (N, C, *input)."""
    if _goes_by_rows(layer, len(grad_output)):
        return _grad_input_by_rows(layer, weight, grad_output)
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
    if _goes_by_rows(layer, len(x)):
        return _grad_weight_by_rows(layer, x, grad_output)
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
    columns = np.empty((layer.channels, prod(layer.kernel), len(x), *layer.output), x.dtype)
    for phase, taps in _taps_by_phase(layer.axes):
        # Taps of one phase see the same samples, every s-th: set apart once, and copied side by side.
        seen: Array = padded[phase]
        apart = seen if len(taps) == 1 or max(layer.stride) == 1 else np.ascontiguousarray(seen)
        for number, steps in taps:
            columns[:, number] = apart[steps]
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
        total = apart if len(taps) == 1 or apart.flags.c_contiguous else np.zeros(apart.shape, apart.dtype)
        (first, there), *others = taps
        total[there] = by_tap[:, :, first]
        for number, steps in others:
            total[steps] += by_tap[:, :, number]
        if total is not apart:
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


def _goes_by_rows(layer: Layer, samples: int) -> bool:
    """Whether to unfold along all axes but the first; see the head of this module."""
    sites = prod(layer.output)
    few = min(layer.channels_per_group * prod(layer.kernel[1:]), layer.filters_per_group) < _FEW_TERMS
    many_columns = sites >= _ENOUGH_COLUMNS and samples * sites >= _MANY_COLUMNS
    return many_columns and not few and prod(layer.kernel) > 1 and all(axis.stride == 1 for axis in layer.axes)


def _correlated(layer: Layer, padded: Array, weight: Array) -> Array:
    """Correlate with stride 1 and the layer's dilation.

    Parameters
    ----------
    padded : array, shape (N, channels, *sizes)
    weight : array, shape (groups, F/groups, C/groups, *kernel)
        Of what is a channel there, and what a filter.

    Returns
    -------
    array, shape (N, F, *outputs)
    """
    groups, filters = weight.shape[:2]
    # One matrix for every tap of the first axis, its terms in the order of the columns.
    moved = weight.transpose(3, 0, 1, *range(4, weight.ndim), 2)
    matrices = moved.reshape(len(moved), groups, filters, -1)
    sizes = [size - axis.effective_kernel + 1 for size, axis in zip(padded.shape[2:], layer.axes, strict=True)]
    output = np.empty((len(padded), groups, filters, prod(sizes)), padded.dtype)
    part = np.empty_like(output[0])
    for total, seen in zip(output, _columns_by_row(layer, padded), strict=True):
        np.matmul(matrices[0], seen[0], out=total)
        for matrix, columns in zip(matrices[1:], seen[1:], strict=True):
            total += np.matmul(matrix, columns, out=part)
    return output.reshape(len(padded), -1, *sizes)


def _grad_input_by_rows(layer: Layer, weight: Array, grad_output: Array) -> Array:
    """dL/dX, a correlation of dL/dO with the reversed taps."""
    zeros = layer.padding_mode == ZEROS
    sizes = layer.input if zeros else tuple(axis.padded_size for axis in layer.axes)
    # Where padding is not cropped afterwards, so many outputs stand in front of the first that a sample meets.
    first = [(axis.before if zeros else 0) - axis.effective_kernel + 1 for axis in layer.axes]
    lengths = [size + axis.effective_kernel - 1 for size, axis in zip(sizes, layer.axes, strict=True)]
    around = np.zeros((*grad_output.shape[:2], *lengths), grad_output.dtype)
    # Nothing, where it stands behind all outputs, as large padding and output_padding can have it.
    met = [
        (low := max(start, 0), max(low, min(start + length, size)))
        for start, length, size in zip(first, lengths, layer.output, strict=True)
    ]
    source = at_sites(slice(low, high) for low, high in met)
    place = at_sites(slice(low - start, high - start) for start, (low, high) in zip(first, met, strict=True))
    around[place] = grad_output[source]
    reversed_taps = weight[at_sites([slice(None, None, -1)] * len(layer.kernel))]
    gradient = _correlated(layer, around, _by_group(layer, reversed_taps).swapaxes(1, 2))
    return gradient if zeros else np.ascontiguousarray(_crop(layer, gradient))


def _grad_weight_by_rows(layer: Layer, x: Array, grad_output: Array) -> Array:
    """dL/dW, for every tap of the first axis a matrix with a row per column of W~."""
    (first, *others), groups = layer.kernel, layer.groups
    terms = prod(others) * layer.channels_per_group
    total = np.zeros((first, groups, terms, layer.filters_per_group), x.dtype)
    for rows, seen in zip(_rows(layer, grad_output), _columns_by_row(layer, _reached(layer, x)), strict=True):
        for part, columns in zip(total, seen, strict=True):
            part += columns @ rows.swapaxes(1, 2)
    by_tap = total.reshape(first, groups, *others, layer.channels_per_group, layer.filters_per_group)
    last = by_tap.ndim - 1
    return by_tap.transpose(1, last, last - 1, 0, *range(2, last - 1)).reshape(layer.weight_shape)


def _columns_by_row(layer: Layer, padded: Array) -> Iterator[list[Array]]:
    """Unfold each sample along all axes but the first, with stride 1.

    Yields
    ------
    list of array, shape (groups, taps of the other axes * C/groups, outputs)
        What every tap of the first axis sees, as views. All samples take the same memory: one is to be used before
        the next is asked for.
    """
    others = layer.axes[1:]
    rows, *sizes = (size - axis.effective_kernel + 1 for size, axis in zip(padded.shape[2:], layer.axes, strict=True))
    shape = layer.groups, prod(layer.kernel[1:]), padded.shape[1] // layer.groups, padded.shape[2], *sizes
    memory = np.empty(shape, padded.dtype)
    columns, length = memory.reshape(layer.groups, shape[1] * shape[2], -1), prod(sizes)
    starts = [tap * layer.dilation[0] * length for tap in range(layer.kernel[0])]
    seen = [columns[..., start : start + rows * length] for start in starts]
    for sample in padded:
        by_group = sample.reshape(layer.groups, -1, *sample.shape[1:])
        for number, tap in enumerate(np.ndindex(layer.kernel[1:])):
            firsts = [a * axis.dilation for a, axis in zip(tap, others, strict=True)]
            windows = at_sites(slice(a, a + size) for a, size in zip(firsts, sizes, strict=True))
            memory[:, number] = by_group[windows]
        yield seen


def _reached(layer: Layer, x: Array) -> Array:
    """X with its padding, and without what no window reaches."""
    sizes = (axis.windows + axis.effective_kernel - 1 for axis in layer.axes)
    reached: Array = _pad(layer, x)[at_sites(slice(size) for size in sizes)]
    return reached


def _by_group(layer: Layer, weight: Array) -> Array:
    """W as (groups, F/groups, C/groups, *kernel)."""
    return weight.reshape(layer.groups, layer.filters_per_group, *weight.shape[1:])


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
