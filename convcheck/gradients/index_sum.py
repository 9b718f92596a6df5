"""T0 to T2: the definition as sums over indices, literally. Slow, and the oracle.

    O[n, f, i]           = b[f] + sum over c, a of W[f, c, a] X[n, c, i*s + a*d - before]
    grad_weight[f, c, a] = sum over n, i of grad_output[n, f, i] X[n, c, i*s + a*d - before]
    grad_input[n, c, p]  = sum over f and over the outputs i that read p, of grad_output[n, f, i] W[f, c, a],
                           a = (p + before - i*s) / d
    grad_bias[f]         = sum over n, i of grad_output[n, f, i]

An index out of range counts as zero: it is discarded, never clamped and never wrapped round; with another padding mode
it is another sample, as the mode says. In a transposed layer, input and output change places: output i = p*s + a*d -
before reads X[n, c, p] times W[c, f, a]. i, a and p have one component per axis. The loops below run over the taps a;
all pairs of i and p that a tap joins are listed, and their sums over n, c and f are one product.

This module restates the index arithmetic from the definition on purpose and does not use `Axis`, so that a slip there
cannot hide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from convcheck.layer.arrays import Array, Gradients
from convcheck.layer.layer import Layer

Index = tuple[int, ...]

#: Samples of an axis times taps, up to which what they join is kept for the next pass.
_SMALL = 2**14

#: One index array per axis.
Places = tuple[Any, ...]

#: Of one axis: outputs i, and the samples p beside them.
Pairs = tuple[Any, Any]


def forward(layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
    """O[n, f, i] = b[f] + sum over c, a of W[f, c, a] X[n, c, i*s + a*d - before]."""
    at_sample, at_tap = _batch_last(layer, x), _weight_by_tap(layer, weight)
    output = np.zeros((layer.groups, layer.filters_per_group, *_output_size(layer), len(x)), x.dtype)
    for a, i, p in _terms(layer):
        output[:, :, *i] += _product(at_tap[a], at_sample[:, :, *p])
    result = _batch_first(output)
    if bias is not None:
        result = result + bias.reshape(-1, *[1] * len(layer.input))
    return np.ascontiguousarray(result)


def backward(layer: Layer, x: Array, weight: Array, grad_output: Array) -> Gradients:
    """Return the three sums at the head of this module."""
    sites = tuple(range(2, grad_output.ndim))
    return Gradients(
        _grad_input(layer, weight, grad_output),
        _grad_weight(layer, x, grad_output),
        grad_output.sum(axis=(0, *sites)) if layer.bias else None,
    )


def _grad_weight(layer: Layer, x: Array, grad_output: Array) -> Array:
    at_sample, at_output = _batch_last(layer, x), _batch_last(layer, grad_output)
    gradient = np.zeros((*layer.kernel, layer.groups, layer.filters_per_group, layer.channels_per_group), x.dtype)
    for a, i, p in _terms(layer):
        read = at_sample[:, :, *p].reshape(layer.groups, layer.channels_per_group, -1)
        gradient[a] = at_output[:, :, *i].reshape(layer.groups, layer.filters_per_group, -1) @ read.swapaxes(1, 2)
    if layer.transposed:
        return _taps_last(gradient.swapaxes(-1, -2), (layer.channels, layer.filters_per_group))
    return _taps_last(gradient, (layer.filters, layer.channels_per_group))


def _grad_input(layer: Layer, weight: Array, grad_output: Array) -> Array:
    at_tap, at_output = _weight_by_tap(layer, weight), _batch_last(layer, grad_output)
    batch = len(grad_output)
    gradient = np.zeros((layer.groups, layer.channels_per_group, *layer.input, batch), grad_output.dtype)
    for a, i, p in _terms(layer, outputs_reading):
        # With a padding of copies, outputs may read one sample through the same tap.
        np.add.at(gradient, (..., *p, slice(None)), _product(at_tap[a].swapaxes(-1, -2), at_output[:, :, *i]))
    return np.ascontiguousarray(_batch_first(gradient))


def outputs_reading(layer: Layer, axis: int, a: int) -> Pairs:
    """Outputs i that read samples p of an axis through tap a, and these, found from the samples.

    i = (q + before - a*d) / s, where that is one of the m outputs; for every p, and for every index q out of range that
    stands for it.
    """
    s, d, (before, after) = layer.stride[axis], layer.dilation[axis], layer.padding[axis]
    n, m = layer.input[axis], _output_size(layer)[axis]
    if layer.transposed:
        p = np.arange(n)
        return _within(p * s + a * d - before, p, m)
    q = np.arange(n) if layer.padding_mode == "zeros" else np.arange(-before, n + after)
    i, between = np.divmod(q + before - a * d, s)
    return _within(np.where(between == 0, i, -1), _sample(layer, q, n), m)


def _samples_read(layer: Layer, axis: int, a: int) -> Pairs:
    """Outputs i of an axis, and the input samples p that they read through tap a, found from the outputs.

    p stands for i*s + a*d - before; in a transposed layer i = p*s + a*d - before.
    """
    if layer.transposed:
        return outputs_reading(layer, axis, a)
    n, m = layer.input[axis], _output_size(layer)[axis]
    i = np.arange(m)
    p = _sample(layer, i * layer.stride[axis] + a * layer.dilation[axis] - layer.padding[axis][0], n)
    return i[p >= 0], p[p >= 0]


def _within(i: Any, p: Any, m: int) -> Pairs:
    inside = (i >= 0) & (i < m)
    return i[inside], p[inside]


def _sample(layer: Layer, q: Any, n: int) -> Any:
    """The samples that indices ``q`` of an axis of n samples stand for; -1 out of range, where it is zero."""
    match layer.padding_mode:
        case "circular":
            before, behind = q + n, q - n
        case "reflect":
            before, behind = -q, 2 * (n - 1) - q
        case "replicate":
            before, behind = 0, n - 1
        case _:
            before, behind = -1, -1
    return np.where(q < 0, before, np.where(q < n, q, behind))


def _terms(
    layer: Layer, joined: Callable[[Layer, int, int], Pairs] = _samples_read
) -> Iterator[tuple[Index, Places, Places]]:
    """Every tap a with index arrays of the outputs i and samples p that it joins, if there are any on every axis."""
    small = max(n * k for n, k in zip(layer.input, layer.kernel, strict=True)) <= _SMALL
    along = _kept if small else _along
    inner = list(product(*(along(layer, joined, axis) for axis in range(1, len(layer.kernel)))))
    for outermost in along(layer, joined, 0):
        for others in inner:
            a, i, p = zip(outermost, *others, strict=True)
            yield a, i, p


def _along(layer: Layer, joined: Callable[[Layer, int, int], Pairs], axis: int) -> Iterator[tuple[int, Any, Any]]:
    """The taps of one axis that join outputs and samples, with both."""
    shape = [-1 if other == axis else 1 for other in range(len(layer.kernel))]
    for a in range(layer.kernel[axis]):
        i, p = joined(layer, axis, a)
        if i.size:
            yield a, i.reshape(shape), p.reshape(shape)


@lru_cache(maxsize=8)
def _kept(layer: Layer, joined: Callable[[Layer, int, int], Pairs], axis: int) -> list[tuple[int, Any, Any]]:
    """The same, of a small layer, which is asked for several times."""
    return list(_along(layer, joined, axis))


def _output_size(layer: Layer) -> tuple[int, ...]:
    """How many outputs there are, per axis.

    How many windows fit, the largest m with (m - 1)s + d(k - 1) < n + before + after; or, transposed, how many outputs
    n windows reach, one more for each of output_padding, without before and after.
    """
    return tuple(
        (n - 1) * s + d * (k - 1) + 1 + behind - before - after
        if layer.transposed
        else (n + before + after - d * (k - 1) - 1) // s + 1
        for n, k, s, d, (before, after), behind in zip(
            layer.input, layer.kernel, layer.stride, layer.dilation, layer.padding, layer.output_padding, strict=True
        )
    )


def _weight_by_tap(layer: Layer, weight: Array) -> Array:
    """W as (*kernel, groups, F/groups, C/groups)."""
    if layer.transposed:
        taps_first = _taps_first(weight, (layer.groups, layer.channels_per_group, layer.filters_per_group))
        return taps_first.swapaxes(-1, -2)
    return _taps_first(weight, (layer.groups, layer.filters_per_group, layer.channels_per_group))


def _taps_first(weight: Array, matrices: tuple[int, int, int]) -> Array:
    taps = weight.shape[2:]
    return np.ascontiguousarray(np.moveaxis(weight, (0, 1), (-2, -1))).reshape(*taps, *matrices)


def _taps_last(gradient: Array, rows_and_columns: tuple[int, int]) -> Array:
    taps = gradient.shape[:-3]
    return np.ascontiguousarray(np.moveaxis(gradient.reshape(*taps, *rows_and_columns), (-2, -1), (0, 1)))


def _batch_last(layer: Layer, array: Array) -> Array:
    """X or dL/dO as (groups, channels or filters of a group, *sites, N)."""
    moved = np.ascontiguousarray(array.transpose(*range(1, array.ndim), 0))
    return moved.reshape(layer.groups, -1, *moved.shape[1:])


def _batch_first(array: Array) -> Array:
    joined = array.reshape(-1, *array.shape[2:])
    return joined.transpose(-1, *range(joined.ndim - 1))


def _product(matrices: Array, array: Array) -> Array:
    """Matrix of every group times an array whose second axis it sums over."""
    groups, terms, *rest = array.shape
    return (matrices @ array.reshape(groups, terms, -1)).reshape(groups, -1, *rest)
