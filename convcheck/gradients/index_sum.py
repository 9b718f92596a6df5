"""T0 to T2: the definition as sums over indices, literally. Slow, and the oracle.

    O[n, f, i]           = b[f] + sum over c, a of W[f, c, a] X[n, c, i*s + a*d - before]
    grad_weight[f, c, a] = sum over n, i of grad_output[n, f, i] X[n, c, i*s + a*d - before]
    grad_input[n, c, p]  = sum over f and over the outputs i that read p, of grad_output[n, f, i] W[f, c, a],
                           a = (p + before - i*s) / d
    grad_bias[f]         = sum over n, i of grad_output[n, f, i]

An index out of range counts as zero: it is discarded, never clamped and never wrapped round; with another padding mode
it is another sample, as the mode says. In a transposed layer, input and output change places: output i = p*s + a*d -
before reads X[n, c, p] times W[c, f, a]. i, a and p have one component per axis, and the loops below run over them; the
sums over n, c and f are one small product each.

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
    if layer.transposed:
        return np.ascontiguousarray(_sites_last(gradient.swapaxes(-1, -2), (layer.channels, layer.filters_per_group)))
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


def _terms(layer: Layer) -> Iterator[tuple[Index, Index, Index]]:
    """Output i, tap a and input sample p that it reads, wherever there is one on every axis.

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
    for terms in product(*per_axis):
        i, a, p = zip(*terms, strict=True)
        yield i, a, p


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


def _input_by_sample(layer: Layer, x: Array) -> Array:
    """X as (*input, groups, C/groups, N): indexed by a sample p, it gives one matrix per group."""
    return _sites_first(x.swapaxes(0, 1), (layer.groups, layer.channels_per_group, len(x)))


def _gradient_by_output(layer: Layer, grad_output: Array) -> Array:
    """dL/dO as (*output, groups, F/groups, N)."""
    return _sites_first(grad_output.swapaxes(0, 1), (layer.groups, layer.filters_per_group, len(grad_output)))


def _weight_by_tap(layer: Layer, weight: Array) -> Array:
    """W as (*kernel, groups, F/groups, C/groups)."""
    if layer.transposed:
        matrices = (layer.groups, layer.channels_per_group, layer.filters_per_group)
        return _sites_first(weight, matrices).swapaxes(-1, -2)
    return _sites_first(weight, (layer.groups, layer.filters_per_group, layer.channels_per_group))


def _sites_first(array: Array, matrices: tuple[int, ...]) -> Array:
    sites = array.shape[2:]
    moved = np.moveaxis(array, range(2, array.ndim), range(len(sites)))
    return np.ascontiguousarray(moved).reshape(*sites, *matrices)


def _sites_last(array: Array, rows_and_columns: tuple[int, int]) -> Array:
    sites = array.shape[:-3]
    return np.moveaxis(array.reshape(*sites, *rows_and_columns), range(len(sites)), range(2, 2 + len(sites)))
