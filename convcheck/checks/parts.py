"""What the check of a layer is cut into, so that a large one keeps many workers busy: its numeric gradients.

A span is some directions of the differences of one check. What comes of the spans is put together, and the layer's
check then goes on as if it had computed that itself: a verdict is made in one place. A span that gave nothing, because
the code refuses the layer or is wrong about it, is left to that check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray

from convcheck.checks.again import Earlier
from convcheck.checks.check_layer import Demand, as_taken, check_layer, steps_of
from convcheck.checks.expected import Expected
from convcheck.gradients import FASTEST
from convcheck.gradients.numeric.differences import NumericGradient, packing_for
from convcheck.gradients.numeric.directions import direction_count
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.reports.results import GradientResult
from convcheck.targets import builtin
from convcheck.targets.target import Target

Results = tuple[GradientResult, ...]


@dataclass(frozen=True)
class Span:
    """Some directions of a numeric gradient, without ``last``."""

    check: str
    gradient: str
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Partial:
    """The entries of a numeric gradient that are not 0, of those that a span reaches.

    Attributes
    ----------
    shape : tuple of int
        Of the gradient.
    places : array of int
        Of the entries, in the flat gradient.
    values : array of float64 or complex128
    evaluations : int
        Forward passes that it took.
    """

    shape: tuple[int, ...]
    places: NDArray[np.int64]
    values: Array
    evaluations: int

    @classmethod
    def of(cls, numeric: NumericGradient) -> Partial:
        flat = numeric.values.ravel()
        places = np.flatnonzero(flat)
        return cls(numeric.values.shape, places, flat[places], numeric.evaluations)


@dataclass(frozen=True)
class Order:
    """What a worker is told to do: the differences of a span or, without one, the check of a layer.

    Attributes
    ----------
    known : mapping of Span to Partial
        What came of the spans of the layer.
    earlier : Earlier, optional
        What was found on a layer that is equal but for its name.
    """

    layer: Layer
    demand: Demand
    span: Span | None = None
    known: Mapping[Span, Partial | None] = field(default_factory=dict)
    earlier: Earlier | None = None


def spans_of(layer: Layer, targets: Sequence[Target], demand: Demand, grain: float) -> dict[Span, float]:
    """Cut the differences of a layer, and return the work of each span.

    Parameters
    ----------
    grain : float
        Work of a span, about; what takes less than twice as much is not cut.
    """
    target = targets[0]
    if not target.builtin and target.unsupported(layer):
        return {}
    layer = as_taken(layer, target)
    spans: dict[Span, float] = {}
    for step in steps_of(layer, demand, targets):
        work = float(step.evaluations * layer.multiply_adds)
        inexact = step.check == "exact" and not (target.builtin or target.exact)
        if step.check not in ("exact", "central") or work < 2 * grain or inexact or step.gradient in target.absent:
            continue
        count = direction_count(step.gradient, layer)
        # The directions of one evaluation stay together.
        digits = packing_for(layer, step.gradient).digits if step.check == "exact" else 1
        length = ceil(ceil(count / digits) / (work // grain)) * digits
        for first in range(0, count, length):
            last = min(first + length, count)
            spans[Span(step.check, step.gradient, first, last)] = work * (last - first) / count
    return spans


#: What comes of an order.
Outcome = Results | Partial | None


def carry_out(order: Order, targets: Sequence[Target], advance: Callable[[float], None]) -> Outcome:
    """Do what is ordered.

    Parameters
    ----------
    targets : sequence of Target
        What is checked.
    advance : callable
        Told the work as it is done.

    Returns
    -------
    Results, or of a span Partial; None where nothing came of it.
    """
    if order.span is None:
        return check_layer(order.layer, targets, order.demand, advance, _together(order.known), order.earlier)
    source = builtin(FASTEST) if targets[0].builtin else targets[0]
    layer = as_taken(order.layer, source)
    source.begin()
    expected = Expected(layer, source, None, lambda evaluations: advance(evaluations * layer.multiply_adds))
    span = order.span
    try:
        numeric = expected.portion(span.check, span.gradient, span.first, span.last)
    except Exception:
        # What the code raises is found and told by the check of the layer.
        if source.builtin:
            raise
        return None
    return None if numeric is None else Partial.of(numeric)


def _together(known: Mapping[Span, Partial | None]) -> dict[tuple[str, str], NumericGradient]:
    """Put together the gradients of which nothing is missing."""
    found: dict[tuple[str, str], list[Partial | None]] = {}
    for span, partial in known.items():
        found.setdefault((span.check, span.gradient), []).append(partial)
    together = {}
    for key, partials in found.items():
        there = [partial for partial in partials if partial is not None]
        if len(there) == len(partials):
            values = np.zeros(there[0].shape, there[0].values.dtype)
            for partial in there:
                values.flat[partial.places] += partial.values
            together[key] = NumericGradient(values, sum(partial.evaluations for partial in there))
    return together
