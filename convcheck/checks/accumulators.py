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

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import islice
from math import ceil, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed, explained, shape_of
from convcheck.checks.plan import TOO_MUCH, gradients_of
from convcheck.checks.sums import VIEWS, Meeting, View, constant, filled, given, right
from convcheck.checks.verdict import skipped
from convcheck.layer.arrays import wide
from convcheck.layer.data import Operands
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.reports.results import GradientResult
from convcheck.targets.target import Target

#: Shares of the three ways to put three terms into three places, and a little less.
_ONE_THIRD, _TWO_THIRDS = 0.33, 0.66


class _Format(NamedTuple):
    """What a sum that loses a unit beside a power of two is made in.

    Attributes
    ----------
    name : str
    precision : int
        In bits.
    share : float
        The least share of units that is lost there, wherever the terms are.
    compensated : bool
        Whether what is lost is kept aside, as by Kahan.
    """

    name: str
    precision: int
    share: float
    compensated: bool = False

    @property
    def words(self) -> str:
        return self.name + " with compensation" * self.compensated


#: By the exponent q of the power of two. Sums in p bits lose the unit beside 2**p if it is added to the positive term
#: first, and beside 2**(p + 1) to either; compensated ones (Kahan's) beside the latter alone.
_FORMATS = {
    8: _Format("bfloat16", 8, _ONE_THIRD),
    9: _Format("bfloat16", 8, _TWO_THIRDS, compensated=True),
    11: _Format("float16", 11, _ONE_THIRD),
    12: _Format("float16", 11, _TWO_THIRDS, compensated=True),
    24: _Format("float32", 24, _ONE_THIRD),
    25: _Format("float32", 24, _TWO_THIRDS, compensated=True),
    54: _Format("float64", 53, _TWO_THIRDS),
}

#: Of operands and results: a term of so many bits and one is rounded by them.
_ROUNDED_TO = {8: "bfloat16", 11: "TF32", 24: "float32"}

#: In float16 the large term is at most 2**12, so that padding may have it several times, and the unit at least 2**-14.
_LARGE, _SMALL = 12, 14

#: What stands for the three terms where it is looked which sums have all of them.
_CODES = (1.0, 64.0, 4096.0)

#: Where three terms lie: side by side, one behind the other along the first axis; else two of them apart from a third,
#: which is the last, the first or any: they must lie on both sides of a place where a partial sum is stored.
_KINDS = 6

#: So many times as many data are made, at most, where none of them met in sums of an array.
_MORE = 4

#: The ways to put three terms into three places, and the forward passes that it takes to try them in one array's sums.
_WAYS, _PASSES = 3, 8


@dataclass
class _Tally:
    """Of how many sums it is known whether they lost a unit beside 2**q, and how many did."""

    probed: dict[int, int] = field(default_factory=dict)
    lost: dict[int, int] = field(default_factory=dict)
    rounded: dict[int, str] = field(default_factory=dict)

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
        sizes = sorted(q for q, probed in self.probed.items() if probed)
        # Beside larger ones, two thirds are.
        return next((
            q for q in sizes
            if self.lost[q] and all(
                self.lost[other] >= (_FORMATS[q].share if other == q else _TWO_THIRDS) * self.probed[other]
                for other in sizes if other >= q
            )
        ), None)  # fmt: skip

    @property
    def in_parts(self) -> bool:
        """Whether a unit was lost between some places and not between others."""
        return self._ever != self._always

    @property
    def _sums(self) -> float:
        return np.inf if self._ever is None else _FORMATS[self._ever].precision

    def told(self, layer: Layer) -> bool:
        """Whether sums were seen in which every narrower format than the layer promises would have shown."""
        narrower = [q for q, made in _FORMATS.items() if made.precision < DTYPES[layer.sums].precision]
        return any(self.probed.values()) and self.has_seen(narrower)

    def has_seen(self, exponents: Iterable[int]) -> bool:
        """Whether three terms met in some sum for each of these."""
        return all(self.probed.get(q) for q in exponents)

    @property
    def narrowed(self) -> int | None:
        """Bits to which operands or results are rounded, where the sums are made in more; None if they are not."""
        return min((bits for bits in self.rounded if bits < self._sums), default=None)

    @property
    def precision(self) -> float:
        """Bits that nothing on the way falls short of."""
        return min(self._sums, self.narrowed or np.inf)

    @property
    def words(self) -> str:
        """In which format sums are made, and what else is rounded on the way."""
        ever = self._ever
        most = max((q for q, count in self.probed.items() if count), default=None)
        if most is None:
            text = "what too short sums do not show"
        elif ever is None:
            text = f"more than {_FORMATS[most].name}"
        elif self.in_parts:
            text = f"more than {_FORMATS[ever].name}, with partial sums stored in it"
        else:
            text = _FORMATS[ever].words
        bits = self.narrowed
        if bits is None:
            return text
        what = "operands, sums or results" if most is None else self.rounded[bits]
        return f"{text}, {what} rounded to {_ROUNDED_TO[bits]}"


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
    affordable = budget / (_PASSES * layer.multiply_adds)
    if affordable < len(VIEWS) * _repeats(layer):
        return [skipped(expected, target.name, name, "accumulate", TOO_MUCH.format("accumulate")) for name in wanted]
    try:
        tallies = _probed(layer, target, wanted, affordable - len(VIEWS) * _repeats(layer))
    except Exception as error:
        reason = f"sums with terms of very different size could not be probed: {explained(error)}"
        return [skipped(expected, target.name, name, "accumulate", reason) for name in wanted]
    found = []
    for name in wanted:
        tally = tallies[name]
        narrow = tally.precision < DTYPES[layer.sums].precision
        if not narrow and not tally.told(layer):
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
    most = _LARGE + _SMALL if np.isfinite(DTYPES[layer.dtype].largest) else max(_FORMATS)
    return [q for q in _FORMATS if q <= most]


def _repeats(layer: Layer) -> int:
    """Return how many data it takes until every q has met places of every kind."""
    owners = min(layer.filters, layer.channels)
    return ceil(len(_exponents(layer)) * _KINDS / owners)


def _probed(layer: Layer, target: Target, wanted: Sequence[str], spare: float) -> dict[str, _Tally]:
    """Run the target on all data; sums of one array are told apart by their owner, a filter or a channel.

    Parameters
    ----------
    spare : float
        How often more than `_repeats` three terms may be tried in all ways.
    """
    tallies = {name: _Tally() for name in wanted}
    exponents = _exponents(layer)
    generator = np.random.default_rng([layer.seed, 10])
    for bits in (bits for bits in _ROUNDED_TO if bits < DTYPES[layer.dtype].precision):
        for name, what in _rounded(generator, layer, target, tallies.keys(), 2.0**-bits):
            tallies[name].rounded[bits] = what
    for views in VIEWS.values():
        here = [tallies[name] for name in views.shows if name in tallies]
        meeting = [met for met in views.meeting(layer) if met.size >= len(_CODES)]
        if not (here and meeting):
            continue
        rows, first = views.owners(layer), _repeats(layer)
        lost = [np.empty((0, len(_CODES)), np.int64)]
        trials = (_drawn(generator, meeting, exponents, rows, repeat) for repeat in range(_MORE * first))
        lost += _tried(layer, target, views, tallies, [*islice(trials, first)])
        for _ in range(first, _MORE * first):
            if spare < 1 or all(tally.has_seen(exponents) for tally in here):
                break
            spare -= 1
            lost += _tried(layer, target, views, tallies, [next(trials)])
        # Where a partial sum is stored in one format, narrower ones were perhaps not tried.
        again = np.concatenate(lost)
        if any(tally.in_parts for tally in here) and len(exponents) <= spare:
            spare -= len(exponents)
            places = again[np.arange(rows) % len(again)]
            _tried(layer, target, views, tallies, [_Trial(places, np.full(rows, exponent)) for exponent in exponents])
    return tallies


class _Trial(NamedTuple):
    """Three places of each owner's terms, and the exponent q of the large ones that are put there."""

    places: NDArray[np.int64]
    q: NDArray[np.int64]


def _tried(
    layer: Layer, target: Target, views: View, tallies: dict[str, _Tally], trials: Sequence[_Trial]
) -> list[NDArray[np.int64]]:
    """Put three terms into places of each owner, in all ways, and count; return the places whose sums lost a unit."""
    plain, terms = constant(layer), views.terms(layer)

    def units(q: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        below = np.maximum(q - _LARGE, 0) if np.isfinite(DTYPES[layer.dtype].largest) else np.zeros_like(q)
        return 2.0**-below, 2.0 ** (q - below)

    def data() -> Iterator[Operands]:
        for places, q in trials:
            unit, large = units(q)
            for way in range(_WAYS):
                values = np.stack([large, unit, -large], axis=1)[:, np.roll([0, 1, 2], way)]
                yield views.operands(layer, plain, filled(len(places), terms, places, values))

    found, lost = given(layer, target, data(), views), []
    for places, q in trials:
        code = views.operands(layer, plain, filled(len(places), terms, places, np.array(_CODES)))
        complete = {shown: array == sum(_CODES) for shown, array in right(layer, code.wide(), views).items()}
        unit, _ = units(q)
        wrong_ones = np.zeros(len(places), np.bool_)
        for arrays in islice(found, _WAYS):
            for shown in tallies.keys() & arrays.keys():
                by_owner = views.by_owner[shown]
                kept, sums = by_owner(layer, complete[shown]), by_owner(layer, arrays[shown])
                wrong = kept & (sums != unit[:, None])
                wrong_ones |= wrong.any(axis=1)
                for exponent in np.unique(q):
                    of_it = q == exponent
                    tallies[shown].add(int(exponent), int(kept[of_it].sum()), int(wrong[of_it].sum()))
        lost.append(places[wrong_ones])
    return lost


def _rounded(
    generator: np.random.Generator, layer: Layer, target: Target, wanted: Set[str], least: float
) -> Iterator[tuple[str, str]]:
    """Yield the arrays in which a product of 1 and 1 + least comes back as another, and what is rounded there.

    Results are, if with a further term -least it comes back as 1: then it was there before it was stored.
    """
    plain, value = constant(layer), 1 + least
    longer = replace(
        plain, x=plain.x * plain.x.dtype.type(value), grad_output=plain.grad_output * plain.x.dtype.type(value)
    )
    for views in VIEWS.values():
        rows, terms = views.owners(layer), views.terms(layer)
        if wanted.isdisjoint(views.shows):
            continue
        places = generator.integers(0, terms, rows)[:, None]
        data = [
            views.operands(layer, of, filled(rows, terms, places, np.array([term])))
            for of, term in ((longer, 1.0), (plain, value))
        ]
        changed = []
        for at, found in zip(data, given(layer, target, data, views), strict=True):
            exact = right(layer, at.wide(), views)
            # Padding lets some sums have a term several times.
            changed.append({n for n in found if (found[n] != exact[n])[exact[n] == value].any()})
        # As there is one operand alone in the bias.
        both = changed[0] & changed[1] | changed[1] & {"bias"}
        stored = _stored(generator, layer, target, views, least) if both & wanted else {}
        for name in (changed[0] | changed[1]) & wanted:
            yield name, stored.get(name, "operands or results") if name in both else "operands"


def _stored(generator: np.random.Generator, layer: Layer, target: Target, views: View, least: float) -> dict[str, str]:
    """Tell, of arrays in which 1 + least is rounded, whether that happens to operands or when results are stored."""
    pairs = [met for met in views.meeting(layer) if met.size > 1]
    if not pairs:
        return {}
    rows, terms, plain = views.owners(layer), views.terms(layer), constant(layer)
    chosen = [pairs[number] for number in generator.integers(0, len(pairs), rows)]
    places = np.array([met.numbers(generator.integers(0, met.size - 1) + np.arange(2)) for met in chosen])
    code = views.operands(layer, plain, filled(rows, terms, places, np.array(_CODES[:2])))
    met = {name: found == sum(_CODES[:2]) for name, found in right(layer, code.wide(), views).items()}
    at = views.operands(layer, plain, filled(rows, terms, places, np.array([1 + least, -least])))
    (found,) = given(layer, target, [at], views)
    return {
        name: "results" if (found[name] == 1)[where].all() else "operands" for name, where in met.items() if where.any()
    }


def _drawn(
    generator: np.random.Generator, meeting: Sequence[Meeting], exponents: Sequence[int], rows: int, repeat: int
) -> _Trial:
    """Return places of the next kind for each owner, and the next exponent."""
    owned = np.arange(rows) + repeat * rows
    places = _places(generator, meeting, owned // len(exponents) % _KINDS)
    return _Trial(places, np.array(exponents)[owned % len(exponents)])


def _places(generator: np.random.Generator, meeting: Sequence[Meeting], kinds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return three places for every row, in their order, among terms that meet in one sum."""
    found = np.empty((len(kinds), len(_CODES)), np.int64)
    sizes = np.array([met.size for met in meeting])
    chosen = generator.choice(len(meeting), len(kinds), p=sizes / sizes.sum())
    for number in np.unique(chosen):
        rows, met = chosen == number, meeting[number]
        count, kind, inner = int(rows.sum()), kinds[rows], met.size // met.first
        side = generator.integers(0, met.size - 2, count)[:, None] + np.arange(3)
        behind = side
        if met.first >= 3:
            behind = generator.integers(0, (met.first - 2) * inner, count)[:, None] + np.arange(3) * inner
        apart = side.copy()
        apart[:, 2] = (side[:, 1] + generator.integers(1, met.size - 1, count)) % met.size
        apart[kind == 2, 2] = met.size - 1
        apart[kind == 3] = np.roll(side[kind == 3] + 1, 1, axis=1)
        apart[kind == 3, 0] = 0
        where = np.select([kind[:, None] == 0, kind[:, None] == 1], [side, behind], apart)
        found[rows] = met.numbers(where)
    return found
