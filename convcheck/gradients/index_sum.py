"""T0 to T2: the definition as sums over indices, literally. Slow, and the oracle.

    O[n, f, i]           = b[f] + sum over c, a of W[f, c, a] X[n, c, i*s + a*d - before]
    grad_weight[f, c, a] = sum over n, i of grad_output[n, f, i] X[n, c, i*s + a*d - before]
    grad_input[n, c, p]  = sum over f and over the outputs i that read p, of grad_output[n, f, i] W[f, c, a],
                           a = (p + before - i*s) / d
    grad_bias[f]         = sum over n, i of grad_output[n, f, i]

An index out of range counts as zero: it is discarded, never clamped and never wrapped round. i, a and p have one
component per axis, and the loops below run over them; the sums over n, c and f are one small product each.

This module restates the index arithmetic from the definition on purpose and does not use `Axis`, so that a slip there
cannot hide.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from convcheck.layer.arrays import Array, Gradients
from convcheck.layer.layer import Layer

Index = tuple[int, ...]


def forward(layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
    """O[n, f, i] = b[f] + sum over c, a of W[f, c, a] X[n, c, i*s + a*d - before]."""
    at_sample, at_tap = _input_by_sample(layer, x), _weight_by_tap(layer, weight)
    output = np.zeros((*_output_size(layer), layer.groups, layer.filters_per_group, len(x)), x.dtype)
    for i, a, p in _terms(layer):
        output[i] += at_tap[a] @ at_sample[p]
    result = _sites_last(output, (layer.filters, len(x))).swapaxes(0, 1)
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
    at_sample, at_output = _input_by_sample(layer, x), _gradient_by_output(layer, grad_output)
    gradient = np.zeros((*layer.kernel, layer.groups, layer.filters_per_group, layer.channels_per_group), x.dtype)
    for i, a, p in _terms(layer):
        gradient[a] += at_output[i] @ at_sample[p].swapaxes(-1, -2)
    return np.ascontiguousarray(_sites_last(gradient, (layer.filters, layer.channels_per_group)))


def _grad_input(layer: Layer, weight: Array, grad_output: Array) -> Array:
    at_tap, at_output = _weight_by_tap(layer, weight), _gradient_by_output(layer, grad_output)
    batch = len(grad_output)
    gradient = np.zeros((*layer.input, layer.groups, layer.channels_per_group, batch), grad_output.dtype)
    readers_per_axis = [[outputs_reading(layer, axis, p) for p in range(size)] for axis, size in enumerate(layer.input)]
    for p in np.ndindex(*layer.input):
        for pairs in product(*(readers_per_axis[axis][p_axis] for axis, p_axis in enumerate(p))):
            i, a = zip(*pairs, strict=True)
            gradient[p] += at_tap[a].swapaxes(-1, -2) @ at_output[i]
    return np.ascontiguousarray(_sites_last(gradient, (layer.channels, batch)).swapaxes(0, 1))


def outputs_reading(layer: Layer, axis: int, p: int) -> list[tuple[int, int]]:
    """Outputs i that read input sample ``p`` of an axis, each with its tap a.

    i runs from max(0, ceil((p + before - d(k-1)) / s)) to min(m - 1, floor((p + before) / s)); of these, only those
    count whose distance to the sample is a multiple of the dilation.
    """
    k, s, d, before = layer.kernel[axis], layer.stride[axis], layer.dilation[axis], layer.padding[axis][0]
    lowest = max(0, -((d * (k - 1) - p - before) // s))
    highest = min(_output_size(layer)[axis] - 1, (p + before) // s)
    return [(i, (p + before - i * s) // d) for i in range(lowest, highest + 1) if (p + before - i * s) % d == 0]


def _terms(layer: Layer) -> Iterator[tuple[Index, Index, Index]]:
    """Output i, tap a and input sample p = i*s + a*d - before, wherever p is in range on every axis."""
    sizes = zip(
        _output_size(layer), layer.input, layer.kernel, layer.stride, layer.dilation, layer.padding, strict=True
    )
    per_axis = [
        [(i, a, i * s + a * d - before) for i in range(m) for a in range(k) if 0 <= i * s + a * d - before < n]
        for m, n, k, s, d, (before, _) in sizes
    ]
    for triples in product(*per_axis):
        i, a, p = zip(*triples, strict=True)
        yield i, a, p


def _output_size(layer: Layer) -> tuple[int, ...]:
    """How many windows fit: the largest m with (m - 1)s + d(k - 1) < n + before + after, per axis."""
    return tuple(
        (n + before + after - d * (k - 1) - 1) // s + 1
        for n, k, s, d, (before, after) in zip(
            layer.input, layer.kernel, layer.stride, layer.dilation, layer.padding, strict=True
        )
    )


def _input_by_sample(layer: Layer, x: Array) -> Array:
    """X as (*input, groups, C/groups, N): indexed by a sample p, it gives one matrix per group."""
    return _sites_first(x.swapaxes(0, 1), (layer.groups, layer.channels_per_group, len(x)))


def _gradient_by_output(layer: Layer, grad_output: Array) -> Array:
    """dL/dO as (*output, groups, F/groups, N)."""
    return _sites_first(grad_output.swapaxes(0, 1), (layer.groups, layer.filters_per_group, len(grad_output)))


def _weight_by_tap(layer: Layer, weight: Array) -> Array:
    """W as (*kernel, groups, F/groups, C/groups)."""
    return _sites_first(weight, (layer.groups, layer.filters_per_group, layer.channels_per_group))


def _sites_first(array: Array, matrices: tuple[int, ...]) -> Array:
    sites = array.shape[2:]
    moved = np.moveaxis(array, range(2, array.ndim), range(len(sites)))
    return np.ascontiguousarray(moved).reshape(*sites, *matrices)


def _sites_last(array: Array, rows_and_columns: tuple[int, int]) -> Array:
    sites = array.shape[:-3]
    return np.moveaxis(array.reshape(*sites, *rows_and_columns), range(len(sites)), range(2, 2 + len(sites)))
