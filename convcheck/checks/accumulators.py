"""In which precision code really makes its sums, found out from sums that lose a known unit in too narrow a format.

A number of p significant bits holds 2**q + 1 only where q < p. So of three terms 2**q, 1 and -2**q whatever is made in
p <= q bits is 0 in place of 1, unless the two large ones meet first; of the three ways to put them into three places
that happens in one at most, in whatever order a sum is made. All other terms are zeros, and the other operand is ones:
the result, 1, is stored exactly. So

- a sum that loses the unit in as many ways wherever the places are is made in no more bits;
- one that loses it between some places and not between others is made in more, and stored on the way: partial sums
  of tiles, of taps or of channels;
- a single term of p + 1 bits that comes back rounded was rounded on its way in, as to TF32.

A gradient that is exact on small integers is right in structure; whether its sums are made as promised is said apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed, explained, shape_of
from convcheck.checks.plan import TOO_MUCH, gradients_of
from convcheck.checks.verdict import skipped
from convcheck.gradients import FASTEST, formulation
from convcheck.layer.arrays import Array, wide
from convcheck.layer.data import Operands, as_weight, by_filter
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.reports.results import GradientResult
from convcheck.targets.target import Target


class _Format(NamedTuple):
    """What a sum that loses a unit beside a power of two is made in.

    Attributes
    ----------
    name : str
    precision : int
        In bits.
    share : float
        The least share of units that is lost there, wherever the terms are.
    """

    name: str
    precision: int
    share: float


#: By the exponent q of the power of two. Sums in p bits lose the unit beside 2**p if it is added to the positive term
#: first, and beside 2**(p + 1) to either; compensated ones (Kahan's) beside the latter alone.
_FORMATS = {
    9: _Format("bfloat16", 8, 0.6),
    12: _Format("float16", 11, 0.6),
    24: _Format("float32", 24, 0.3),
    25: _Format("float32 with compensation", 24, 0.6),
    54: _Format("float64", 53, 0.6),
}

#: Of operands: a term of so many bits and one is rounded by them.
_ROUNDED_TO = {8: "bfloat16", 11: "TF32", 24: "float32"}

#: The large term, and how far the unit below 1 is, are powers of two that float16 has: up to 2**15, and down to 2**-14.
_LARGE = 15

#: What stands for the three terms where it is looked which sums have all of them.
_CODES = (1.0, 64.0, 4096.0)

#: Where three terms lie: side by side, one behind the other along the first axis, two of them far from the third.
_KINDS = 3

#: Forward passes that the probe takes of one data, and the ways to put three terms into three places.
_PASSES, _WAYS = 8, 3


@dataclass
class _Tally:
    """Of how many sums it is known whether they lost a unit beside 2**q, and how many did."""

    probed: dict[int, int] = field(default_factory=dict)
    lost: dict[int, int] = field(default_factory=dict)
    rounded: set[int] = field(default_factory=set)

    def add(self, q: int, probed: int, lost: int) -> None:
        self.probed[q] = self.probed.get(q, 0) + probed
        self.lost[q] = self.lost.get(q, 0) + lost

    @property
    def _ever(self) -> int | None:
        """The smallest q beside which a unit was lost."""
        return next((q for q in sorted(self.probed) if self.lost[q]), None)

    @property
    def _always(self) -> int | None:
        """The smallest q beside which as many units were lost as where the whole sum is made in so few bits."""
        shares = ((q, _FORMATS[q].share * self.probed[q]) for q in sorted(self.probed))
        return next((q for q, least in shares if self.lost[q] and self.lost[q] >= least), None)

    @property
    def _sums(self) -> float:
        return np.inf if self._ever is None else _FORMATS[self._ever].precision

    @property
    def operands(self) -> int | None:
        """Bits to which operands are rounded, where the sums are made in more; None if they are not."""
        return min((bits for bits in self.rounded if bits < self._sums), default=None)

    @property
    def precision(self) -> float:
        """Bits that nothing on the way falls short of."""
        return min(self._sums, self.operands or np.inf)

    @property
    def words(self) -> str:
        """In which format sums are made, and what else is rounded on the way."""
        always, ever = self._always, self._ever
        most = max((q for q, count in self.probed.items() if count), default=0)
        if ever is None:
            text = f"more than {_FORMATS[most].name}"
        elif ever == always:
            text = _FORMATS[ever].name
        else:
            text = f"more than {_FORMATS[ever].name}, with partial sums stored in it"
        return text + (f", operands rounded to {_ROUNDED_TO[self.operands]}" if self.operands else "")


def check(expected: Expected, target: Target, budget: float, sound: Sequence[str]) -> list[GradientResult]:
    """Find out in which format a target makes the sums of the output and of gradients.

    Parameters
    ----------
    budget : float
        Multiply-adds that this may take.
    sound : sequence of str
        The arrays that were found to be right in structure.

    Returns
    -------
    list of GradientResult
        One per array; failed where its sums are made in less than the layer promises.
    """
    layer = expected.layer
    wanted = [name for name in ("output", *gradients_of(layer)) if name in sound and name not in target.absent]
    if _PASSES * _WAYS * _repeats(layer) * layer.multiply_adds > budget:
        return [skipped(expected, target.name, name, "accumulate", TOO_MUCH.format("accumulate")) for name in wanted]
    try:
        tallies = _probed(layer, target, wanted)
    except Exception as error:
        reason = f"sums with terms of very different size could not be probed: {explained(error)}"
        return [skipped(expected, target.name, name, "accumulate", reason) for name in wanted]
    found = []
    for name in wanted:
        tally = tallies[name]
        untold = [q for q, made in _FORMATS.items() if made.precision < DTYPES[layer.sums].precision]
        narrow = tally.precision < DTYPES[layer.sums].precision
        if not narrow and not (any(tally.probed.values()) and all(tally.probed.get(q) for q in untold)):
            reason = "too few terms meet in its sums to show what they are made in: it takes three"
            found.append(skipped(expected, target.name, name, "accumulate", reason))
            continue
        entries = prod(shape_of(name, layer))
        words = tally.words
        result = GradientResult(target.name, name, "accumulate", "passed", entries, accumulates=words)
        if narrow:
            result = replace(result, status="failed", max_abs_error=1.0, max_rel_error=1.0, mismatches=entries)
            result = replace(result, message=_told(expected, target, name, tally))
        found.append(result)
    return found


def _told(expected: Expected, target: Target, name: str, tally: _Tally) -> str:
    """Say what narrow sums do to this layer, on its own real data."""
    layer = expected.layer
    given = Observed.of(target, layer, expected.reals).arrays.get(name)
    right = expected.right(expected.reals)[name]
    size = ""
    if given is not None and given.shape == right.shape:
        error = float(np.abs(wide(given) - right).max())
        size = (
            f": error up to {error:.2g} at this size, {error / (np.abs(right).max() or 1.0):.1g} of the largest entry"
        )
    accepts = f"accumulate: {layer.dtype} in the config accepts it" if DTYPES[layer.dtype].half else ""
    return "; ".join(
        part for part in (f"right in structure, accumulates in {tally.words}{size}", f"expected {layer.sums}", accepts)
        if part
    )  # fmt: skip


def _exponents(layer: Layer) -> list[int]:
    """Return the q that the layer's dtype has room for."""
    most = 2 * _LARGE - 1 if np.isfinite(DTYPES[layer.dtype].largest) else max(_FORMATS)
    return [q for q in _FORMATS if q <= most]


def _repeats(layer: Layer) -> int:
    """Return how many data it takes until every q has met places of every kind."""
    owners = min(layer.filters, layer.channels)
    return ceil(len(_exponents(layer)) * _KINDS / owners)


def _probed(layer: Layer, target: Target, wanted: Sequence[str]) -> dict[str, _Tally]:
    """Run the target on all data; sums of one array are told apart by their owner, a filter or a channel."""
    tallies = {name: _Tally() for name in wanted}
    exponents = _exponents(layer)
    generator = np.random.default_rng([layer.seed, 10])
    plain = _constant(layer)
    for bits in (bits for bits in _ROUNDED_TO if bits < DTYPES[layer.dtype].precision):
        for name in _rounded(generator, layer, target, tallies, 1 + 2.0**-bits):
            tallies[name].rounded.add(bits)
    for repeat in range(_repeats(layer)):
        for views in _VIEWS.values():
            if tallies.keys().isdisjoint(views.shows):
                continue
            rows, first = views.sums(layer)
            owned = np.arange(rows) + repeat * rows
            q = np.array(exponents)[owned % len(exponents)]
            places = _places(generator, rows, first, views.terms(layer), owned // len(exponents) % _KINDS)
            if places is None:
                continue
            code = views.operands(layer, plain, _filled(rows, views.terms(layer), places, np.array(_CODES)))
            complete = {shown: found == sum(_CODES) for shown, found in _run(layer, None, code.wide(), views).items()}
            below = np.maximum(q - _LARGE, 0) if np.isfinite(DTYPES[layer.dtype].largest) else np.zeros_like(q)
            unit, large = 2.0**-below, 2.0 ** (q - below)
            for way in range(_WAYS):
                values = np.stack([large, unit, -large], axis=1)[:, np.roll([0, 1, 2], way)]
                at = views.operands(layer, plain, _filled(rows, views.terms(layer), places, values))
                for shown, given in _run(layer, target, at, views).items():
                    if shown in tallies:
                        _count(tallies[shown], views, shown, q, given, unit, complete[shown], layer)
    return tallies


def _rounded(
    generator: np.random.Generator, layer: Layer, target: Target, wanted: Collection[str], value: float
) -> Iterator[str]:
    """Yield the arrays in which a product of 1 and a value of too many bits comes back as another."""
    plain = _constant(layer)
    longer = replace(
        plain, x=plain.x * plain.x.dtype.type(value), grad_output=plain.grad_output * plain.x.dtype.type(value)
    )
    for views in _VIEWS.values():
        rows, _ = views.sums(layer)
        places = generator.integers(0, views.terms(layer), rows)[:, None]
        for of, term in ((longer, 1.0), (plain, value)):
            at = views.operands(layer, of, _filled(rows, views.terms(layer), places, np.array([term])))
            right = _run(layer, None, at.wide(), views)
            for name, given in _run(layer, target, at, views).items():
                if name in wanted and not np.array_equal(given, right[name]):
                    yield name


def _count(
    tally: _Tally, views: _View, shown: str, q: NDArray[np.int64], given: Array, unit: NDArray[np.float64],
    complete: NDArray[np.bool_], layer: Layer,
) -> None:  # fmt: skip
    by_owner = views.by_owner[shown]
    kept, sums = by_owner(layer, complete), by_owner(layer, given)
    wrong = kept & (sums != unit[:, None])
    for exponent in np.unique(q):
        rows = q == exponent
        tally.add(int(exponent), int(kept[rows].sum()), int(wrong[rows].sum()))


def _places(
    generator: np.random.Generator, rows: int, first: int, terms: int, kinds: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Return three places of every row, in their order; None where a sum has no three terms."""
    if terms < len(_CODES):
        return None
    inner = terms // first
    side = generator.integers(0, terms - 2, rows)[:, None] + np.arange(3)
    behind = side
    if first >= 3:
        behind = generator.integers(0, (first - 2) * inner, rows)[:, None] + np.arange(3) * inner
    apart = side.copy()
    apart[:, 2] = (side[:, 1] + generator.integers(1, terms - 1, rows)) % terms
    found: NDArray[np.int64] = np.select([kinds[:, None] == 0, kinds[:, None] == 1], [side, behind], apart)
    return found


def _filled(rows: int, terms: int, places: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    array = np.zeros((rows, terms))
    np.put_along_axis(array, places, np.broadcast_to(values, places.shape), axis=1)
    return array


def _constant(layer: Layer) -> Operands:
    """Return ones, and no bias."""
    bias = np.zeros(layer.bias_shape, layer.dtype) if layer.bias else None
    x, weight, grad_output = (
        np.ones(shape, layer.dtype) for shape in (layer.input_shape, layer.weight_shape, layer.output_shape)
    )
    return Operands(x, weight, bias, grad_output)


def _run(layer: Layer, target: Target | None, at: Operands, views: _View) -> dict[str, Array]:
    """Return in the widest format what the target gives, or else what is right."""
    if target is None:
        built_in = formulation(FASTEST)
        if views.forward:
            return {"output": built_in.forward(layer, at.x, at.weight, at.bias)}
        found = built_in.backward(layer, at.x, at.weight, at.grad_output)._asdict()
    elif views.forward:
        return {"output": wide(np.asarray(target.forward(layer, at.x, at.weight, at.bias)))}
    else:
        given = target.run(layer, at).backward()
        found = dict(zip(("input", "weight", "bias"), given, strict=True))
    return {name: wide(np.asarray(found[name])) for name in views.shows if found.get(name) is not None}


@dataclass(frozen=True)
class _View:
    """A way to put terms into sums: which arrays show them, and how sums lie in what was given and what comes back.

    Attributes
    ----------
    sums : callable
        How many owners of sums a layer has, and how many terms lie along the first axis of a sum's terms.
    terms : callable
        How many terms a sum has.
    operands : callable
        Puts an array of terms, shape (owners, terms), into the operands.
    by_owner : mapping of str to callable
        Brings an array that shows them into the shape (owners, sums).
    """

    shows: tuple[str, ...]
    forward: bool
    sums: Callable[[Layer], tuple[int, int]]
    terms: Callable[[Layer], int]
    operands: Callable[[Layer, Operands, NDArray[np.float64]], Operands]
    by_owner: dict[str, Callable[[Layer, NDArray[Any]], NDArray[Any]]]


def _weight_by_filter(layer: Layer, plain: Operands, terms: NDArray[np.float64]) -> Operands:
    return replace(plain, weight=as_weight(layer, terms).astype(layer.dtype))


def _weight_by_channel(layer: Layer, plain: Operands, terms: NDArray[np.float64]) -> Operands:
    grouped = terms.reshape(layer.groups, layer.channels_per_group, layer.filters_per_group, -1)
    weight = as_weight(layer, grouped.swapaxes(1, 2)).astype(layer.dtype)
    return replace(plain, x=np.zeros_like(plain.x), weight=weight)


def _grad_output(layer: Layer, plain: Operands, terms: NDArray[np.float64]) -> Operands:
    by_filter = terms.reshape(layer.filters, layer.batch, *layer.output)
    grad_output = np.moveaxis(by_filter, 0, 1).astype(layer.dtype)
    return replace(plain, weight=np.zeros_like(plain.weight), grad_output=np.ascontiguousarray(grad_output))


def _second_axis_first(layer: Layer, array: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(array, 1, 0).reshape(array.shape[1], -1)


def _by_filter(layer: Layer, array: NDArray[Any]) -> NDArray[Any]:
    return (array if array.ndim == 1 else by_filter(layer, array)).reshape(layer.filters, -1)


_VIEWS = {
    "forward": _View(
        ("output",), True, lambda layer: (layer.filters, layer.channels_per_group),
        lambda layer: layer.channels_per_group * prod(layer.kernel), _weight_by_filter,
        {"output": _second_axis_first},
    ),
    "input": _View(
        ("input",), False, lambda layer: (layer.channels, layer.filters_per_group),
        lambda layer: layer.filters_per_group * prod(layer.kernel), _weight_by_channel,
        {"input": _second_axis_first},
    ),
    "weight": _View(
        ("weight", "bias"), False, lambda layer: (layer.filters, layer.batch),
        lambda layer: layer.batch * prod(layer.output), _grad_output,
        {"weight": _by_filter, "bias": _by_filter},
    ),
}  # fmt: skip
