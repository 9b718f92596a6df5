"""T4: unfold and matrix products. The fast one.

O        = W~ X~ + b          W~ (F, C*k), X~ = unfolded input (C*k, m)
dL/dW~   = dL/dO X~^T
dL/dX    = fold(W~^T dL/dO)   overlapping windows add up, padding is cropped away
"""

from __future__ import annotations

from math import prod

import numpy as np

from convcheck.arrays import Array, Gradients, at_sites
from convcheck.layer import Layer

__all__ = ["backward", "fold", "forward", "unfold"]


def forward(layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
    """O = W~ X~ + b."""
    output = _weight_matrix(layer, weight) @ unfold(layer, x)
    output = output.reshape(len(x), layer.filters, *layer.output)
    if bias is not None:
        output += bias.reshape(-1, *[1] * len(layer.input))
    return output


def backward(layer: Layer, x: Array, weight: Array, grad_output: Array) -> Gradients:
    """dL/dX = fold(W~^T dL/dO), dL/dW~ = dL/dO X~^T, dL/db = row sums of dL/dO."""
    rows = grad_output.reshape(len(x), layer.groups, layer.filters_per_group, -1)
    grad_columns = _weight_matrix(layer, weight).swapaxes(1, 2) @ rows
    grad_weight = (rows @ unfold(layer, x).swapaxes(2, 3)).sum(axis=0)
    return Gradients(
        fold(layer, grad_columns),
        grad_weight.reshape(layer.weight_shape),
        rows.sum(axis=(0, 3)).reshape(-1) if layer.bias else None,
    )


def unfold(layer: Layer, x: Array) -> Array:
    """Unfolded input X~: one column per window, one row per (channel, tap).

    Returns
    -------
    array, shape (N, groups, C/groups * prod(kernel), prod(output))
        [n, g, (c, a), i] = Xpad[n, c, i*s + a*d].
    """
    padded = np.pad(x, [(0, 0), (0, 0), *layer.padding])
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
    columns = columns.reshape(len(columns), layer.channels, *layer.kernel, *layer.output)
    padded = np.zeros((*columns.shape[:2], *(axis.padded_size for axis in layer.axes)), columns.dtype)
    for tap in np.ndindex(*layer.kernel):
        padded[at_sites(_tap_slices(layer, tap))] += columns[(slice(None), slice(None), *tap)]
    inside = tuple(slice(axis.before, axis.before + axis.size) for axis in layer.axes)
    return np.ascontiguousarray(padded[at_sites(inside)])


def _tap_slices(layer: Layer, tap: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(axis.tap_slice(a) for axis, a in zip(layer.axes, tap, strict=True))


def _weight_matrix(layer: Layer, weight: Array) -> Array:
    """W~: one row per filter, shape (groups, F/groups, C/groups * prod(kernel))."""
    return weight.reshape(layer.groups, layer.filters_per_group, -1)
