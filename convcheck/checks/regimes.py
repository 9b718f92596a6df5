"""Data on which a gradient can be wrong that is right on small nonzero integers of both signs: every regime of numbers.

A regime yields operands on which right code gives what the built-in passes give: of integers exactly, of real numbers
within the bound of rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from math import isqrt, prod

import numpy as np

from convcheck.checks.expected import Expected
from convcheck.checks.ran import LeftOutError
from convcheck.layer.arrays import Array, by_part, kept_alone
from convcheck.layer.data import Operands, integer_magnitude, integer_operands, with_zeros
from convcheck.layer.fields import DTYPES
from convcheck.targets.target import Target

#: Largest integer wanted where they are to be large.
_LARGE = 2**40

_ZEROS = 0.4

#: Of an array that is mostly zeros.
_MOSTLY = 0.9

#: Multiply-adds up to which subnormal numbers are tried: arithmetic with them takes a hundred times as long.
_FEW = 1_000_000

#: Exponents to which powers of two small data are scaled, by dtype: so that all products are normal; so that they are
#: subnormal, with two bits to spare; and so that real numbers and what transforms leave of them stay normal too. What
#: of half precision is subnormal, processors make zeros of now and then, even in a forward pass alone.
_SMALL: dict[str, tuple[int, int | None, int]] = {
    "float64": (-510, -536, -150), "float32": (-62, -73, -15), "float16": (-7, None, -3), "bfloat16": (-62, None, -15),
}  # fmt: skip


def real(expected: Expected, target: Target) -> Iterator[Operands]:
    yield expected.short_reals
    # Where no integers were compared, every entry of grad_output must have counted somewhere.
    if not expected.exact_data and expected.short_reals is not expected.reals:
        yield expected.reals


def sparse(expected: Expected, target: Target) -> Iterator[Operands]:
    layer = expected.layer
    yield with_zeros(layer, expected.draw(1), _ZEROS)
    behind_relu = expected.draw(10)
    yield replace(behind_relu, x=by_part(lambda part: kept_alone(part > 0, part), behind_relu.x))
    generator = np.random.default_rng([layer.seed, 6])
    at = expected.draw(12)
    kept = generator.random(at.weight.shape) >= _MOSTLY
    yield replace(at, weight=kept_alone(kept, at.weight))
    alone = np.zeros_like(at.grad_output)
    place = int(generator.integers(alone.size))
    alone.flat[place] = at.grad_output.flat[place]
    yield replace(at, grad_output=alone)
    yield replace(behind_relu, x=np.zeros_like(behind_relu.x))


def zero_grad_output(expected: Expected, target: Target) -> Iterator[Operands]:
    at = expected.draws[0]
    yield replace(at, grad_output=np.zeros_like(at.grad_output))


def one_sign(expected: Expected, target: Target) -> Iterator[Operands]:
    positive = expected.draw(3).map(partial(by_part, np.abs))
    yield positive
    yield positive.map(np.negative)
    mixed = expected.draws[1]
    yield replace(mixed, x=by_part(np.abs, mixed.x))


def large(expected: Expected, target: Target) -> Iterator[Operands]:
    most = _LARGE
    if target.averages:
        # A mean rounds: n terms by at most some 2 n u of their sum, which must be well below 1.
        terms = expected.layer.batch * prod(expected.layer.output)
        terms = max(terms, expected.layer.input_terms)
        most = isqrt(expected.layer.exact_limit // (8 * terms * (terms + 4)))
    at = integer_operands(expected.layer, 4, most) if expected.exact_data and most else None
    if at is None or integer_magnitude(expected.layer, most) <= integer_magnitude(expected.layer):
        if not expected.source.exact:
            raise LeftOutError("the target rounds on integers too")
        raise LeftOutError(f"no larger integers keep the sums of this layer exact in {expected.layer.dtype}")
    yield at


def tiny(expected: Expected, target: Target) -> Iterator[Operands]:
    """Yield integers times a power of two: all sums of their products are multiples of its square, and so exact.

    Also where the products are subnormal, since subnormal numbers are multiples of the smallest one, of which the
    square is a multiple (IEEE 754, gradual underflow). What is right there needs not be tried where they are normal.
    """
    normal, subnormal, of_reals = _SMALL[DTYPES[expected.layer.dtype].part or expected.layer.dtype]
    if target.averages:
        raise LeftOutError("the target divides by the number of samples, which rounds")
    at = expected.draws[0]
    if not expected.exact_data:
        yield scaled(expected, at, of_reals)
        return
    if subnormal is not None and expected.layer.multiply_adds <= _FEW:
        smallest = scaled(expected, at, subnormal)
        if not _flushes(expected, target, smallest):
            yield smallest
            return
    yield scaled(expected, at, normal)


def scaled(expected: Expected, at: Operands, exponent: int) -> Operands:
    """Return the operands times a power of two, the bias times its square, as the output is."""
    small = at.map(lambda array: _scaled(array, exponent))
    if at.bias is not None:
        small = replace(small, bias=_scaled(at.bias, 2 * exponent))
    right = {
        name: _scaled(array, exponent if name == "bias" else 2 * exponent)
        for name, array in expected.right(at).items()
        if array is not None
    }
    expected.know(small, right)
    return small


def _scaled(array: Array, exponent: int) -> Array:
    return by_part(lambda part: np.ldexp(part, exponent), array)


def _flushes(expected: Expected, target: Target, at: Operands) -> bool:
    """Whether the forward pass makes zeros of subnormal numbers, as processors do that are told to."""
    try:
        output = target.forward(expected.layer, at.x, at.weight, at.bias)
    except Exception:
        return False
    right = expected.right(at)["output"]
    least = np.finfo(expected.layer.dtype).smallest_normal
    flushed = by_part(lambda part: np.where(np.abs(part) < least, 0, part), right)
    return not np.array_equal(flushed, right) and np.array_equal(output, flushed)


#: Every regime but that of real numbers, by the slug of its condition.
REGIMES: dict[str, Callable[[Expected, Target], Iterator[Operands]]] = {
    "sparse": sparse,
    "zero-grad-output": zero_grad_output,
    "one-sign": one_sign,
    "large": large,
    "tiny": tiny,
}
