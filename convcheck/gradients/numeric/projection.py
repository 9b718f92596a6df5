"""One random direction instead of all, for layers whose complete numeric gradient costs too much.

For a linear f and a random integer direction v, <gradient, v> = <grad_output, f(x + v) - f(x)>, in exact integer
arithmetic. A wrong gradient has a nonzero difference d to the right one, and <d, v> = 0 for at most one value of v at
an entry where d is nonzero, given all others: it survives a draw with probability at most 1/(number of values of one
entry of v) (Schwartz 1980, Zippel 1979; Freivalds 1979). Directions are signed: with positive ones only, an unflipped
kernel is nearly invisible on large inputs, since both sides see the same sums.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log2, prod

import numpy as np
from numpy.typing import NDArray

from convcheck.gradients.numeric.directions import OPERAND_OF, Forward
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands, integer_magnitude, largest_output
from convcheck.layer.layer import Layer

#: Enough draws are made to let a wrong gradient pass with at most this probability.
TARGET_PROBABILITY = 2.0**-40

#: 2**20 keeps every sum of products below 2**63 in layers of up to some 2**40 entry pairs.
_LARGEST_ENTRY = 2**20

_INT64_LIMIT = 2**62


@dataclass(frozen=True)
class Draw:
    """Both sides of the identity for one direction; they are equal for a right gradient."""

    analytic: float
    numeric: float
    equal: bool


@dataclass(frozen=True)
class Projection:
    """The outcome of all draws.

    Attributes
    ----------
    false_pass_probability : float
        Bound on the probability with which a wrong gradient passes all draws.
    """

    draws: tuple[Draw, ...]
    false_pass_probability: float


def draw_size(layer: Layer) -> tuple[int, int]:
    """Largest entry V of a direction that keeps everything exact, and the number of draws that reach the target.

    V is 0 where the dtype leaves no room.
    """
    largest = integer_magnitude(layer)
    if not largest:
        return 0, 0
    terms = layer.output_terms
    room = layer.exact_limit - largest_output(layer)
    sums = prod(layer.output_shape) * terms * largest * largest
    size = min(_LARGEST_ENTRY, room // (terms * largest), _INT64_LIMIT // sums)
    return (size, ceil(log2(TARGET_PROBABILITY) / -log2(2 * size + 1))) if size > 0 else (0, 0)


def project(
    forward: Forward, layer: Layer, operands: Operands, base: Array, gradient: str, analytic: Array
) -> Projection:
    """Compare <gradient, v> with <grad_output, f(x + v) - f(x)> for enough random directions.

    Parameters
    ----------
    operands : Operands
        Integers.
    base : array, shape (N, F, *output)
        f at the starting point.
    gradient : str
        "input", "weight" or "bias".
    analytic : array
        The gradient under test, in the shape of its operand.
    """
    size, count = draw_size(layer)
    operand = OPERAND_OF[gradient]
    generator = np.random.default_rng([layer.seed, 2])
    start, grad_output = base.astype(np.int64), operands.grad_output.astype(np.int64)
    draws = []
    for _ in range(count):
        direction = generator.integers(-size, size, getattr(operands, operand).shape, endpoint=True)
        moved = getattr(operands, operand) + direction.astype(layer.dtype)
        at = replace(operands, **{operand: moved})
        output = forward(layer, at.x, at.weight, at.bias)
        draws.append(_compare(analytic, direction, grad_output, output, start))
    return Projection(tuple(draws), (2 * size + 1.0) ** -count)


def _compare(
    gradient: Array,
    direction: NDArray[np.int64],
    grad_output: NDArray[np.int64],
    output: Array,
    start: NDArray[np.int64],
) -> Draw:
    analytic, numeric = exact_dot(gradient, direction), exact_dot(output, grad_output)
    if numeric is not None:
        numeric -= int(np.vdot(start, grad_output))
    if analytic is None or numeric is None:
        change = np.vdot(output.astype(np.float64) - start, grad_output)
        return Draw(float(np.vdot(gradient.astype(np.float64), direction)), float(change), equal=False)
    return Draw(float(analytic), float(numeric), analytic == numeric)


def exact_dot(values: Array, integers: NDArray[np.int64]) -> int | None:
    """Sum of products in integer arithmetic; None if ``values`` are not all integers."""
    if not np.isfinite(values).all() or (np.rint(values) != values).any():
        return None
    largest = int(np.abs(integers).max())
    if float(np.abs(values.astype(np.float64)).sum()) * largest < _INT64_LIMIT:
        return int(np.vdot(values.astype(np.int64), integers))
    # Only a wrong gradient is so large; Python's integers do not overflow.
    pairs = zip(values.astype(np.float64).ravel().tolist(), integers.ravel().tolist(), strict=True)
    return sum(int(value) * integer for value, integer in pairs)
