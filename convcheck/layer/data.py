"""The arrays on which a layer is checked: small integers, on which nothing rounds, and real numbers.

Bugs hide behind zeros, repeats and data of one sign, so integers are nonzero and of both signs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer

#: Integer data are drawn from -3..3 without 0: with 3 a packed difference takes three bits a digit (2*3 + 1 < 2**3).
_LARGEST_MAGNITUDE = 3

#: Real data are multiples of the dtype's grid, at most this in size.
_REAL_LIMIT = 4.0


@dataclass(frozen=True, eq=False)
class Operands:
    """What goes into one forward and backward pass, in the layer's dtype.

    Attributes
    ----------
    x : array, shape (N, C, *input)
    weight : array, shape (F, C/groups, *kernel)
    bias : array, shape (F,), or None
    grad_output : array, shape (N, F, *output)
    """

    x: Array
    weight: Array
    bias: Array | None
    grad_output: Array

    def map(self, function: Callable[[Array], Array]) -> Operands:
        """Apply a function to every array."""
        bias = None if self.bias is None else function(self.bias)
        return Operands(function(self.x), function(self.weight), bias, function(self.grad_output))


def integer_magnitude(layer: Layer) -> int:
    """Largest entry with which every partial sum of every pass stays exact; 0 if there is none."""
    taps = prod(layer.kernel)
    sites = layer.batch * prod(layer.output)
    terms = max(layer.channels_per_group * taps + 1, layer.filters_per_group * taps, sites)
    limit = DTYPES[layer.dtype].exact_limit
    return next((size for size in range(_LARGEST_MAGNITUDE, 0, -1) if terms * size * size <= limit), 0)


def integer_operands(layer: Layer) -> Operands | None:
    """Nonzero integers of both signs; None if not even ones keep the sums exact in the layer's dtype."""
    magnitude = integer_magnitude(layer)
    if not magnitude:
        return None
    generator = np.random.default_rng([layer.seed, 0])

    def draw(shape: tuple[int, ...]) -> Array:
        values = generator.integers(1, magnitude, shape, endpoint=True, dtype=np.int8)
        signs = generator.integers(0, 1, shape, endpoint=True, dtype=np.int8) * 2 - 1
        return (values * signs).astype(layer.dtype)

    return _draw_all(layer, draw)


def real_operands(layer: Layer) -> Operands:
    """Normally distributed numbers, cut at 4 and rounded to a grid on which a step of 1 is exact."""
    generator = np.random.default_rng([layer.seed, 1])
    grid = DTYPES[layer.dtype].grid

    def draw(shape: tuple[int, ...]) -> Array:
        values = generator.standard_normal(shape).clip(-_REAL_LIMIT, _REAL_LIMIT)
        return (np.rint(values / grid) * grid).astype(layer.dtype)

    return _draw_all(layer, draw)


def _draw_all(layer: Layer, draw: Callable[[tuple[int, ...]], Array]) -> Operands:
    return Operands(
        x=draw(layer.input_shape),
        weight=draw(layer.weight_shape),
        bias=draw(layer.bias_shape) if layer.bias else None,
        grad_output=draw(layer.output_shape),
    )
