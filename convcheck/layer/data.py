"""The arrays on which a layer is checked: small integers, on which nothing rounds, and real numbers.

Bugs hide behind zeros, repeats and data of one sign, so integers are nonzero and of both signs. Where sums are longer
than a format holds, there are zeros all the same: a sum is exact, whatever its order, if the sum of |terms| is, and no
term is larger than 1 where all data are -1, 0 and 1. So it is enough that few entries of the weight and of grad_output
meet in one sum; further draws have their zeros elsewhere, until every entry has counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, isqrt, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convcheck.layer.arrays import Array, kept_alone, wide
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer

#: Integer data are drawn from -3..3 without 0: with 3 a packed difference takes three bits a digit (2*3 + 1 < 2**3).
LARGEST_MAGNITUDE = 3

#: Real data are multiples of the dtype's grid, at most this in size.
_REAL_LIMIT = 4.0

#: Terms of a short sum: in float32 its bound is some 1e-5 of its size, and operands rounded to TF32 change 1e-4 of it.
SHORT = 64

#: Of the terms that a sum may have, the share that it has on average where some are chosen by chance.
_SCATTER = 0.85

#: Data of pictures are -5..5 without 0. A map of up to ten entries then holds each number once.
_LARGEST_TO_READ = 5


@dataclass(frozen=True, eq=False)
class Operands:
    """What goes into one forward and backward pass, in the layer's dtype.

    Attributes
    ----------
    x : array, shape (N, C, *input)
    weight : array, shape (F, C/groups, *kernel), or of a transposed layer (C, F/groups, *kernel)
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

    def wide(self) -> Operands:
        """Return the same numbers in float64, or complex128."""
        return self.map(wide)


def _dense_magnitude(layer: Layer, most: int) -> int:
    """Largest entry, up to ``most``, with which all sums stay exact without a zero in the data; 0 if there is none."""
    sites = layer.batch * prod(layer.output)
    # To an output come the bias and the step of a difference.
    more = 1 + prod(axis.repeats for axis in layer.axes)
    terms = max(layer.output_terms + more, layer.input_terms, layer.weight_terms, sites)
    return min(most, isqrt(layer.exact_limit // terms))


def nonzero_terms(layer: Layer) -> int | None:
    """Terms of one sum that are not 0, at most, where there must be zeros; None where there need be none.

    A third of what the format holds is left for the steps of differences; 0 where that is nothing.
    """
    if _dense_magnitude(layer, 1):
        return None
    room = layer.exact_limit // 3
    most = layer.exact_limit - room - 1 if room else 0
    return most if most >= prod(axis.copies for axis in layer.axes) else 0


def by_filter(layer: Layer, weight: Array) -> Array:
    """Weight as (groups, F/groups, C/groups, *kernel), whichever comes first in the layer's own."""
    if not layer.transposed:
        return weight.reshape(layer.groups, layer.filters_per_group, layer.channels_per_group, *layer.kernel)
    return weight.reshape(layer.groups, layer.channels_per_group, layer.filters_per_group, *layer.kernel).swapaxes(1, 2)


def as_weight(layer: Layer, by_filter: NDArray[Any]) -> NDArray[Any]:
    """Return what has the entries of `by_filter`, of any shape, in the layer's own order."""
    weight = by_filter.reshape(layer.groups, layer.filters_per_group, layer.channels_per_group, *layer.kernel)
    return (weight.swapaxes(1, 2) if layer.transposed else weight).reshape(layer.weight_shape)


def integer_magnitude(layer: Layer, most: int = LARGEST_MAGNITUDE) -> int:
    """Largest entry, up to ``most``, with which every partial sum of every pass stays exact; 0 if there is none."""
    return _dense_magnitude(layer, most) or min(most, 1, nonzero_terms(layer) or 0)


def largest_output(layer: Layer) -> int:
    """Bound of the outputs on integer data, and of their partial sums."""
    magnitude = integer_magnitude(layer)
    terms = layer.output_terms
    return min(terms, nonzero_terms(layer) or terms) * magnitude**2 + magnitude


def integer_operands(layer: Layer, draw: int = 0, most: int = LARGEST_MAGNITUDE) -> Operands | None:
    """Integers of both signs, nonzero where possible; None if not even ones and zeros keep the sums exact.

    Parameters
    ----------
    draw : int, default 0
        Which draw of the layer's seed.
    most : int
        Largest entry wanted.
    """
    magnitude = integer_magnitude(layer, most)
    if not magnitude:
        return None
    if nonzero_terms(layer):
        return _ones_and_zeros(layer, draw)
    generator = np.random.default_rng([layer.seed, 0, draw] if draw else [layer.seed, 0])
    kind = np.int8 if magnitude <= LARGEST_MAGNITUDE else np.int64
    if draw:
        # Many further draws are made of each layer: all their numbers at once take half as long.
        shapes = (layer.input_shape, layer.weight_shape, layer.bias_shape if layer.bias else (0,), layer.output_shape)
        count = sum(map(prod, shapes)) * (2 if layer.is_complex else 1)
        drawn = generator.integers(-magnitude, magnitude, count, dtype=kind)
        every, taken = (drawn + (drawn >= 0)).astype(_part(layer)), 0

        def following(shape: tuple[int, ...]) -> Array:
            nonlocal taken
            taken += (size := prod(shape))
            return every[taken - size : taken].reshape(shape)

        return _draw_all(layer, following)

    def numbers(shape: tuple[int, ...]) -> Array:
        values = generator.integers(1, magnitude, shape, endpoint=True, dtype=kind)
        signs = generator.integers(0, 1, shape, endpoint=True, dtype=kind) * 2 - 1
        return (values * signs).astype(_part(layer))

    return _draw_all(layer, numbers)


def _ones_and_zeros(layer: Layer, draw: int) -> Operands:
    """Return ones of both signs, with zeros in the weight and in grad_output, elsewhere in the next draw.

    Then all sums are short, whatever of the input meets them: those of an output by its filter, those of dL/dX by the
    weights of its channel, those of dL/dW and dL/db by the grad_output of their filter.
    """
    most = nonzero_terms(layer)
    assert most
    generator = np.random.default_rng([layer.seed, 7, draw])

    def ones(shape: tuple[int, ...]) -> Array:
        return (generator.integers(0, 1, shape, endpoint=True, dtype=np.int8) * 2 - 1).astype(_part(layer))

    at = _draw_all(layer, ones)
    grouped = (layer.groups, layer.filters_per_group, layer.channels_per_group, prod(layer.kernel))
    # Padding lets a sample be read by the same weight several times.
    met = most // prod(axis.copies for axis in layer.axes)
    share = min(most / prod(grouped[2:]), met / (grouped[1] * grouped[3]))
    kept = _share(grouped, share, [layer.seed, 8], draw)
    kept = _at_most(most, kept.reshape(layer.filters, -1)).reshape(grouped).swapaxes(1, 2)
    kept = _at_most(met, kept.reshape(layer.channels, -1)).reshape(kept.shape).swapaxes(1, 2)
    at.weight[~as_weight(layer, kept)] = 0
    sites = layer.batch * prod(layer.output)
    kept = _at_most(most, _share((layer.filters, sites), most / sites, [layer.seed, 9], draw))
    at.grad_output[~np.moveaxis(kept.reshape(layer.filters, layer.batch, *layer.output), 1, 0)] = 0
    return at


def _share(shape: tuple[int, ...], share: float, seed: list[int], draw: int) -> NDArray[np.bool_]:
    """Choose some entries by chance; as many draws as it takes choose every one."""
    if share >= 1:
        return np.ones(shape, np.bool_)
    # So much less that few sums have to be cut.
    share *= _SCATTER
    turn, part = divmod(draw, ceil(1 / share))
    places, start = _shuffled(shape, (*seed, turn)), part * share
    # The last part of a turn takes entries of the first one once more.
    return (places >= start) & (places < start + share) | (places < start + share - 1)


@lru_cache(maxsize=2)
def _shuffled(shape: tuple[int, ...], seed: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each entry: the draws of one turn share them."""
    return np.random.default_rng(seed).random(shape)


def _at_most(most: int, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep no more than so many entries of every row."""
    return kept & (kept.cumsum(axis=1) <= most)


def real_operands(layer: Layer, draw: int = 0) -> Operands:
    """Normally distributed numbers, cut at 4 and rounded to a grid on which a step of 1 is exact."""
    generator = np.random.default_rng([layer.seed, 1, draw] if draw else [layer.seed, 1])
    grid = DTYPES[layer.dtype].grid

    def numbers(shape: tuple[int, ...]) -> Array:
        values = generator.standard_normal(shape).clip(-_REAL_LIMIT, _REAL_LIMIT)
        return (np.rint(values / grid) * grid).astype(_part(layer))

    return _draw_all(layer, numbers)


def short_sums(layer: Layer, operands: Operands, terms: float, draw: int = 0) -> Operands:
    """Return the operands with a grad_output so thin that no gradient is a sum of many more terms than this.

    What rounding may change in a sum grows faster with its terms than what the sum is worth, so that long sums show no
    small mistake. Adding a zero does not round. Every filter keeps at least one entry.
    """
    sites = layer.batch * prod(layer.output)
    met = layer.input_terms / (1 if layer.transposed else prod(layer.stride))
    share = terms / max(sites, met)
    if share >= 1:
        return operands
    generator = np.random.default_rng([layer.seed, 3, draw])
    kept = generator.random(layer.output_shape) < share
    by_filter = np.moveaxis(kept, 1, 0).reshape(layer.filters, -1)
    by_filter[np.arange(layer.filters), generator.integers(0, sites, layer.filters)] = True
    kept = np.moveaxis(by_filter.reshape(layer.filters, layer.batch, *layer.output), 0, 1)
    return replace(operands, grad_output=kept_alone(kept, operands.grad_output))


def with_zeros(layer: Layer, operands: Operands, share: float) -> Operands:
    """Return the operands with about this share of zeros, and a whole sample of grad_output if there are several."""
    generator = np.random.default_rng([layer.seed, 4])
    thin = operands.map(lambda array: kept_alone(generator.random(array.shape) >= share, array))
    if layer.batch > 1:
        thin.grad_output[generator.integers(layer.batch)] = 0
    return thin


def example_operands(layer: Layer) -> Operands:
    """Integers that a reader can tell apart and check by hand: nonzero, of both signs, different within a small map.

    Nothing rounds unless a sum has some hundred thousand terms in float32; the numbers are then smaller.
    """
    generator = np.random.default_rng([layer.seed, 2])
    terms = max(layer.channels_per_group, layer.filters_per_group, layer.batch) * max(
        prod(axis.taps_per_sample for axis in layer.axes), prod(layer.output), prod(axis.windows for axis in layer.axes)
    )
    largest = _LARGEST_TO_READ if terms * _LARGEST_TO_READ**2 < layer.exact_limit else 1
    values = np.array([v for v in range(-largest, largest + 1) if v])

    def draw(shape: tuple[int, ...]) -> Array:
        maps, size = prod(shape[:2]), prod(shape[2:])
        if size <= len(values):
            drawn = generator.permuted(np.tile(values, (maps, 1)), axis=1)[:, :size]
        else:
            drawn = generator.choice(values, (maps, size))
        return drawn.reshape(shape).astype(_part(layer))

    return _draw_all(layer, draw)


def as_yaml(operands: Mapping[str, Any]) -> str:
    """Return numbers as one line of YAML, as short as they can be said: all entries of an array, or those not 0.

    Parameters
    ----------
    operands : mapping of str to array_like
        By the names of `Operands`; None for what a layer has not.
    """
    arrays = {name: np.asarray(value).ravel().tolist() for name, value in operands.items() if value is not None}
    return "{" + ", ".join(f"{name}: {_shortest(entries)}" for name, entries in arrays.items()) + "}"


def _shortest(entries: list[float]) -> str:
    numbers = [f"{entry:g}" if entry == int(entry) and abs(entry) < 1e6 else repr(entry) for entry in entries]
    if len(set(numbers)) == 1:
        return numbers[0]
    places = ", ".join(f"{place}: {number}" for place, number in enumerate(numbers) if entries[place])
    return min("{" + places + "}", f"[{', '.join(numbers)}]", key=len)


def _part(layer: Layer) -> str:
    """The format in which numbers of a layer are drawn: of complex ones, each part."""
    return DTYPES[layer.dtype].part or layer.dtype


def _draw_all(layer: Layer, draw: Callable[[tuple[int, ...]], Array]) -> Operands:
    def drawn(shape: tuple[int, ...]) -> Array:
        if not layer.is_complex:
            return draw(shape)
        # Both parts alike: a conjugate that is missing shows in what is imaginary.
        made = np.empty(shape, layer.dtype)
        made.real, made.imag = draw(shape), draw(shape)
        return made

    return Operands(
        x=drawn(layer.input_shape),
        weight=drawn(layer.weight_shape),
        bias=drawn(layer.bias_shape) if layer.bias else None,
        grad_output=drawn(layer.output_shape),
    )
