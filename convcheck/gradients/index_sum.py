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

from collections.abc import Iterator
from typing import Any

import numpy as np

from convcheck.layer.arrays import Array, Gradients
from convcheck.layer.layer import Layer

Index = tuple[int, ...]

#: One index array per axis.
Places = tuple[Any, ...]


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
    per_axis = [
        [(i, a, p) for p in range(size) for i, a in outputs_reading(layer, axis, p)]
        for axis, size in enumerate(layer.input)
    ]
    for a, i, p in _by_tap(layer, per_axis):
        # With a padding of copies, outputs may read one sample through the same tap.
        np.add.at(gradient, (..., *p, slice(None)), _product(at_tap[a].swapaxes(-1, -2), at_output[:, :, *i]))
    return np.ascontiguousarray(_batch_first(gradient))


def outputs_reading(layer: Layer, axis: int, p: int) -> list[tuple[int, int]]:
    """Outputs i that read input sample ``p`` of an axis, each with its tap a.

    i runs from max(0, ceil((q + before - d(k-1)) / s)) to min(m - 1, floor((q + before) / s)), for p and every index q
    out of range that stands for it; of these, only those count whose distance is a multiple of the dilation.
    """
    k, s, d, (before, after) = layer.kernel[axis], layer.stride[axis], layer.dilation[axis], layer.padding[axis]
    n, m = layer.input[axis], _output_size(layer)[axis]
    if layer.transposed:
        return [(p * s + a * d - before, a) for a in range(k) if 0 <= p * s + a * d - before < m]
    pairs = []
    for q in range(-before, n + after) if layer.padding_mode != "zeros" else [p]:
        if _sample(layer, q, n) == p:
            lowest = max(0, -((d * (k - 1) - q - before) // s))
            highest = min(m - 1, (q + before) // s)
            pairs += [
                (i, (q + before - i * s) // d) for i in range(lowest, highest + 1) if (q + before - i * s) % d == 0
            ]
    return pairs


def _sample(layer: Layer, q: int, n: int) -> int | None:
    """The sample that index ``q`` of an axis of n samples stands for; None out of range, where it is zero."""
    if 0 <= q < n:
        return q
    match layer.padding_mode:
        case "circular":
            return q + n if q < 0 else q - n
        case "reflect":
            return -q if q < 0 else 2 * (n - 1) - q
        case "replicate":
            return 0 if q < 0 else n - 1
    return None


def _terms(layer: Layer) -> Iterator[tuple[Index, Places, Places]]:
    """Tap a with the outputs i, and the input samples p that they read through it, wherever there are any.

    p stands for i*s + a*d - before; in a transposed layer i = p*s + a*d - before.
    """
    per_axis = []
    for m, n, k, s, d, (before, _) in zip(
        _output_size(layer), layer.input, layer.kernel, layer.stride, layer.dilation, layer.padding, strict=True
    ):
        if layer.transposed:
            triples = [(p * s + a * d - before, a, p) for p in range(n) for a in range(k)]
            per_axis.append([(i, a, p) for i, a, p in triples if 0 <= i < m])
        else:
            read = [(i, a, _sample(layer, i * s + a * d - before, n)) for i in range(m) for a in range(k)]
            per_axis.append([(i, a, p) for i, a, p in read if p is not None])
    return _by_tap(layer, per_axis)


def _by_tap(layer: Layer, per_axis: list[list[tuple[int, int, int]]]) -> Iterator[tuple[Index, Places, Places]]:
    """Every tap with index arrays of the i and p beside it in the triples (i, a, p), if there are any on every axis."""
    joined = [
        [([i for i, b, _ in triples if b == a], [p for _, b, p in triples if b == a]) for a in range(k)]
        for k, triples in zip(layer.kernel, per_axis, strict=True)
    ]
    for a in np.ndindex(*layer.kernel):
        pairs = [of_axis[tap] for tap, of_axis in zip(a, joined, strict=True)]
        if all(i for i, _ in pairs):
            yield a, np.ix_(*(i for i, _ in pairs)), np.ix_(*(p for _, p in pairs))


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
    moved = np.ascontiguousarray(np.moveaxis(array, 0, -1))
    return moved.reshape(layer.groups, -1, *moved.shape[1:])


def _batch_first(array: Array) -> Array:
    return np.moveaxis(array.reshape(-1, *array.shape[2:]), -1, 0)


def _product(matrices: Array, array: Array) -> Array:
    """Matrix of every group times an array whose second axis it sums over."""
    groups, terms, *rest = array.shape
    return (matrices @ array.reshape(groups, terms, -1)).reshape(groups, -1, *rest)
