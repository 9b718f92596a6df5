"""The numbers in pictures and explanations: small integers that a reader can tell apart and check by hand."""

from __future__ import annotations

from math import prod

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer

#: Data are -5..5 without 0. A map of up to ten entries then holds each number once.
_LARGEST = 5


def example_operands(layer: Layer) -> Operands:
    """Nonzero integers of both signs, different within each small map, drawn with the layer's seed.

    Nothing rounds unless a sum has some hundred thousand terms in float32; the numbers are then smaller.
    """
    generator = np.random.default_rng([layer.seed, 2])
    terms = max(layer.channels_per_group, layer.filters_per_group, layer.batch) * max(
        prod(layer.kernel), prod(layer.output)
    )
    largest = _LARGEST if terms * _LARGEST**2 < DTYPES[layer.dtype].exact_limit else 1
    values = np.array([v for v in range(-largest, largest + 1) if v])

    def draw(shape: tuple[int, ...]) -> Array:
        maps, size = prod(shape[:2]), prod(shape[2:])
        if size <= len(values):
            drawn = generator.permuted(np.tile(values, (maps, 1)), axis=1)[:, :size]
        else:
            drawn = generator.choice(values, (maps, size))
        return drawn.reshape(shape).astype(layer.dtype)

    return Operands(
        x=draw(layer.input_shape),
        weight=draw(layer.weight_shape),
        bias=draw(layer.bias_shape) if layer.bias else None,
        grad_output=draw(layer.output_shape),
    )
