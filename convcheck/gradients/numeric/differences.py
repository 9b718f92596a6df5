"""The complete numeric gradient: difference quotients along every direction.

Convolution is linear in each operand, so a difference has no truncation error at any step; the step is 1.

*Central* differences, on real data, are off by rounding only. *Exact* ones, on integer data, are not off at all, and
need one new evaluation each, since f at the starting point is shared. There, several directions share one evaluation:
direction t is taken with the step B**t, and as every change of an output is an integer of size at most (B - 1)/2, the
total has them as its digits in base B. They are not told apart one by one: a mask takes out every k-th digit, which are
multiplied by grad_output and added up over the outputs that see the same entries all at once. B**k is larger than what
any digit can add up to, so that the few sums that are left are read off in base B**k.

Complex numbers are perturbed along the real axis alone: a convolution is holomorphic, and its change along the
imaginary one is i times as large. What the outputs change by is conjugated, as `gradients` says; the parts of an output
have digits of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convcheck.gradients.numeric.directions import Ask, Directions, Output, Step, at_hand, direction_count
from convcheck.layer.arrays import Array, wide
from convcheck.layer.data import integer_magnitude, largest_output
from convcheck.layer.layer import Layer

#: Step of all differences: a power of two, so that dividing by it is exact.
STEP = 1.0

#: Entries of the largest array when several evaluations are merged into one call: 16 MiB of float64.
_MERGED_ENTRIES = 2**21

#: Entries of outputs that are read together: 1 MiB of float64, in the second level of most caches.
_CACHED_ENTRIES = 2**17


@dataclass(frozen=True)
class NumericGradient:
    """A gradient computed from the forward pass alone.

    Attributes
    ----------
    values : array of float64 or complex128, in the shape of its operand
    evaluations : int
        Forward passes that it took.
    """

    values: Array
    evaluations: int


@dataclass(frozen=True)
class Packing:
    """How many directions share an evaluation.

    Attributes
    ----------
    radix : int
        The base B, a power of two larger than twice the largest change.
    digits : int
        Directions per evaluation; 1 means that none is shared, 0 that not even a step of 1 stays exact.
    """

    radix: int
    digits: int

    def evaluations(self, directions: int) -> int:
        """Evaluations that so many directions take; 0 where none stays exact."""
        return ceil(directions / self.digits) if self.digits else 0


@lru_cache(maxsize=256)
def packing_for(layer: Layer, gradient: str) -> Packing:
    """Pack as many directions as stay exact: no partial sum may leave the integers that the dtype represents.

    An output sees one entry of a direction, times one weight (or one input sample): a unit step changes it by at most
    the largest integer in the data; by several of them where padding lets an output read a sample more than once.
    """
    magnitude = integer_magnitude(layer)
    repeats = prod(axis.repeats for axis in layer.axes) if gradient == "input" else 1
    reach = 1 if gradient == "bias" else magnitude * repeats
    radix = 1 << (2 * reach).bit_length()
    room = layer.exact_limit - largest_output(layer)
    directions, digits, total = direction_count(gradient, layer), 0, 0
    while digits < directions and (total := total + reach * radix**digits) <= room:
        digits += 1
    return Packing(radix, digits)


def exact_gradient(
    ask: Ask,
    directions: Directions,
    base: Array,
    packing: Packing,
    *,
    merge: bool,
    advance: Callable[[int], None] = lambda evaluations: None,
) -> Callable[[], NumericGradient]:
    """Differences f(x + v) - f(x) on integer data: every entry exact.

    Parameters
    ----------
    ask : callable
        Runs f, or lets another process run it.
    directions : Directions
        At integer operands.
    base : array
        f at the starting point.
    merge : bool
        Whether several evaluations may be merged into one call with a larger batch or more filters.
    advance : callable
        Told the number of evaluations after each call.

    Returns
    -------
    callable
        Waits for the first evaluations, which have been asked for, and makes the others.
    """
    read = _reading(directions, base, packing) if packing.digits > 1 else _difference(directions, base)
    steps = [float(packing.radix**digit) for digit in range(packing.digits)]
    evaluations = [
        [(first + digit, steps[digit]) for digit in range(min(packing.digits, directions.count - first))]
        for first in range(0, directions.count, packing.digits)
    ]
    chunks = _chunks(evaluations, directions.entries if merge else None)
    asked = _first_ahead(chunks, lambda merged: directions.evaluate(ask, merged))

    def finish() -> NumericGradient:
        gradient = directions.empty_gradient()
        for merged, outputs in asked():
            for some in _blocks(outputs):
                taken = [direction for steps in merged[some] for direction, _ in steps]
                # Of the last evaluation, digits may be left over.
                directions.book(gradient, taken, read(outputs[some])[: len(taken)])
            advance(len(merged))
        return NumericGradient(directions.finish(gradient), len(evaluations))

    return finish


def _difference(directions: Directions, base: Array) -> Callable[[Array], NDArray[Any]]:
    """Return what tells the sums from outputs, each of a single direction."""
    start, grad_output = wide(base), wide(directions.operands.grad_output)
    return lambda outputs: directions.sums((wide(outputs) - start).conj() * grad_output)


def _reading(directions: Directions, base: Array, packing: Packing) -> Callable[[Array], NDArray[Any]]:
    """Return what tells the sums of the directions that share an evaluation, of real or complex outputs."""
    grad_output = directions.operands.grad_output
    if base.dtype.kind != "c":
        return _Reader(directions, base, packing, grad_output)
    # grad_output times the conjugate of a change, by parts.
    by_real, by_imaginary = (
        [_Reader(directions, part, packing, factor) for factor in (grad_output.real, grad_output.imag)]
        for part in (base.real, base.imag)
    )

    def read(outputs: Array) -> NDArray[Any]:
        (rr, ri), (ir, ii) = (
            [reader(part) for reader in readers]
            for readers, part in ((by_real, outputs.real), (by_imaginary, outputs.imag))
        )
        sums: NDArray[Any] = rr + ii + 1j * (ri - ir)
        return sums

    return read


class _Reader:
    """Tells the sums of the directions that share an evaluation from its output, of several evaluations.

    Digits are lifted by B/2, so that none is negative and a mask takes them out unchanged; what the lift adds to every
    sum is the same, and is taken off in the end.
    """

    def __init__(self, directions: Directions, base: Array, packing: Packing, grad_output: Array) -> None:
        self._sums, self._radix = directions.sums, packing.radix
        self._bits = packing.radix.bit_length() - 1
        self._grad_output = grad_output.astype(np.int64)
        lift = packing.radix // 2
        self._lift = lift * sum(packing.radix**digit for digit in range(packing.digits)) - base.astype(np.int64)
        self._lifted = lift * directions.sums(self._grad_output[np.newaxis])
        largest = directions.terms * int(np.abs(self._grad_output).max()) * (packing.radix - 1)
        # Every k-th digit: far enough apart for the sums, and together no wider than an integer.
        self._every = next(
            k
            for k in range(1, packing.digits + 1)
            if k == packing.digits
            or (packing.radix**k > 2 * largest and self._bits * k * ceil(packing.digits / k) <= 63)
        )
        self._mask = sum((packing.radix - 1) << (self._bits * digit) for digit in range(0, packing.digits, self._every))
        self._digits = packing.digits

    def __call__(self, outputs: Array) -> NDArray[Any]:
        """Return the sums of one direction after the other; NaN where an output is not a sum of digits."""
        with np.errstate(invalid="ignore"):
            left = outputs.astype(np.int64)
        each = (len(outputs), -1)
        whole = (left == outputs).reshape(each).all(axis=1)
        left += self._lift
        read = whole & (left.view(np.uint64).reshape(each).max(axis=1) < self._radix**self._digits)
        found = np.empty((len(outputs), self._digits, *self._lifted.shape[1:]))
        part = np.empty_like(left)
        for first in range(self._every):
            np.bitwise_and(left, self._mask, out=part)
            left >>= self._bits
            part *= self._grad_output
            sums = self._apart(self._sums(part), len(range(first, self._digits, self._every)))
            found[:, first :: self._every] = sums - self._lifted
        found[~read] = np.nan
        return found.reshape(-1, *found.shape[2:])

    def _apart(self, total: NDArray[Any], digits: int) -> NDArray[Any]:
        """Read off sums of either sign, lifted like the digits of outputs, in base B**k: shape (T, digits, ...)."""
        if digits == 1:
            return total[:, np.newaxis]
        bits = self._bits * self._every
        half = 1 << (bits - 1)
        lifted = total + sum(half << (bits * place) for place in range(digits))
        shifts = np.arange(0, bits * digits, bits).reshape(-1, *[1] * (total.ndim - 1))
        apart: NDArray[Any] = ((lifted[:, np.newaxis] >> shifts) & (2 * half - 1)) - half
        return apart


def central_gradient(
    ask: Ask,
    directions: Directions,
    *,
    merge: bool,
    advance: Callable[[int], None] = lambda evaluations: None,
) -> Callable[[], NumericGradient]:
    """Central differences (f(x + v) - f(x - v)) / 2, exact up to the rounding of the two evaluations.

    Parameters
    ----------
    ask, directions, merge, advance
        As for `exact_gradient`.

    Returns
    -------
    callable
        As of `exact_gradient`.
    """
    grad_output = wide(directions.operands.grad_output)

    def evaluated(merged: list[int]) -> Output:
        steps = [[(direction, step)] for direction in merged for step in (STEP, -STEP)]
        return directions.evaluate(ask, steps) if merge else _one_by_one(ask, directions, steps)

    asked = _first_ahead(_chunks(list(range(directions.count)), 2 * directions.entries if merge else None), evaluated)

    def finish() -> NumericGradient:
        gradient = directions.empty_gradient()
        for merged, outputs in asked():
            for some in _blocks(outputs[::2]):
                change = wide(outputs[::2][some]) - outputs[1::2][some]
                directions.book(gradient, merged[some], directions.sums(change.conj() * grad_output / (2 * STEP)))
            advance(2 * len(merged))
        return NumericGradient(directions.finish(gradient), 2 * directions.count)

    return finish


def _one_by_one(ask: Ask, directions: Directions, evaluations: Sequence[Sequence[Step]]) -> Array:
    """Evaluate in calls of their own, as code needs that knows its batch and its filters."""
    return np.concatenate([np.array(at_hand(directions.evaluate(ask, [steps]))) for steps in evaluations])


def _first_ahead(
    chunks: Iterator[list[Any]], evaluated: Callable[[list[Any]], Output]
) -> Callable[[], Iterator[tuple[list[Any], Array]]]:
    """Ask for the outputs of the first chunk; return what yields each chunk with its outputs."""
    # Not kept longer than it is needed. A portion may have no directions.
    asked = [(merged, evaluated(merged)) for merged in islice(chunks, 1)]

    def outputs() -> Iterator[tuple[list[Any], Array]]:
        while asked:
            merged, output = asked.pop()
            yield merged, at_hand(output)
            del output
        for merged in chunks:
            yield merged, at_hand(evaluated(merged))

    return outputs


def _blocks(outputs: Array) -> Iterator[slice]:
    """Split the outputs of some evaluations into runs that stay in the caches, but for one that is larger by itself."""
    size = max(1, _CACHED_ENTRIES // outputs[0].size)
    for first in range(0, len(outputs), size):
        yield slice(first, first + size)


def _chunks(items: list, entries_per_item: int | None) -> Iterator[list]:  # type: ignore[type-arg]
    """Split into runs small enough to be merged into one call; None keeps every item by itself."""
    size = 1 if entries_per_item is None else max(1, _MERGED_ENTRIES // entries_per_item)
    for first in range(0, len(items), size):
        yield items[first : first + size]
