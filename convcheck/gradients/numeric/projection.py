"""One random direction instead of all, for layers whose complete numeric gradient costs too much.

For a linear f and a random integer direction v, <gradient, v> = <grad_output, f(x + v) - f(x)>, in exact integer
arithmetic. A wrong gradient has a nonzero difference d to the right one, and <d, v> = 0 for at most one value of v at
an entry where d is nonzero, given all others: it survives a draw with probability at most 1/(number of values of one
entry of v) (Schwartz 1980, Zippel 1979; Freivalds 1979). Directions are signed: with positive ones only, an unflipped
kernel is nearly invisible on large inputs, since both sides see the same sums. They are real where numbers are complex:
each part of d then meets them by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log2, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convcheck.gradients.numeric.directions import OPERAND_OF, Forward
from convcheck.layer.arrays import Array, wide
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

    analytic: complex
    numeric: complex
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
    before, draws = _exact_sum(base, operands.grad_output), []
    for _ in range(count):
        direction = generator.integers(-size, size, getattr(operands, operand).shape, endpoint=True)
        moved = getattr(operands, operand) + direction.astype(layer.dtype)
        at = replace(operands, **{operand: moved})
        output = forward(layer, at.x, at.weight, at.bias)
        draws.append(_compare(analytic, direction, operands.grad_output, output, base, before))
    return Projection(tuple(draws), (2 * size + 1.0) ** -count)


def _compare(
    gradient: Array,
    direction: NDArray[np.int64],
    grad_output: Array,
    output: Array,
    start: Array,
    before: tuple[int, int] | None,
) -> Draw:
    analytic, numeric = _exact_sum(gradient.conj(), direction), _exact_sum(output, grad_output)
    if analytic is None or numeric is None or before is None:
        change = np.vdot(wide(output) - start, grad_output)
        return Draw(_number(np.vdot(direction, wide(gradient))), _number(change), equal=False)
    moved = (numeric[0] - before[0], numeric[1] - before[1])
    return Draw(_number(complex(*analytic)), _number(complex(*moved)), analytic == moved)


def _number(value: Any) -> complex:
    """Return a real number as one."""
    return complex(value) if np.imag(value) else float(np.real(value))


def _exact_sum(values: Array, factors: NDArray[Any]) -> tuple[int, int] | None:
    """Return both parts of the sum of factors times conjugated values, in integer arithmetic.

    None if not all values are integers; the factors are.
    """
    if values.dtype.kind != "c":
        real = exact_dot(values, factors.astype(np.int64))
        return None if real is None else (real, 0)
    products = [
        exact_dot(part, factor.astype(np.int64))
        for part in (values.real, values.imag)
        for factor in (factors.real, factors.imag)
    ]
    rr, ri, ir, ii = (0 if product is None else product for product in products)
    return None if None in products else (rr + ii, ri - ir)


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
