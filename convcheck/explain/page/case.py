"""A layer with its numbers -> what the page knows of it, as plain data, no larger than it may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from convcheck.errors import Parameter, UsageError
from convcheck.explain import MOST_MEGABYTES
from convcheck.explain.judged import Judged
from convcheck.explain.page.packing import Kept, packed, size_of
from convcheck.explain.page.wrong import errors_of, mistakes_on
from convcheck.explain.pictures.selection import Selection
from convcheck.gradients import FASTEST, formulation
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.layer.words import forward_geometry

#: Bytes of a megabyte, and of what every page has besides its data.
_MEGABYTE, _PROGRAM = 1 << 20, 180_000


#: What kinds of numbers are called, by what asks for them.
NUMBERS = {
    "example": "small integers that are easily read",
    "integers": "the integers of verify",
    "real": "the real numbers of verify",
}


@dataclass(frozen=True, eq=False)
class Shown:
    """What a case is made of.

    Attributes
    ----------
    judged : Judged or None
        What a target gave; None without one.
    numbers : str
        Where the numbers are from, in words.
    command : str or None
        ``convcheck explain`` without the entry; None for a layer that no command can name.
    smallest : str or None
        What is wrong on it, where it is the smallest case that was found.
    entry : (str, tuple of int) or None
        The array and the entry with which it starts; by default the worst one, or one with many terms.
    """

    title: str
    layer: Layer
    operands: Operands
    chosen: Selection
    numbers: str
    judged: Judged | None = None
    command: str | None = None
    smallest: str | None = None
    entry: tuple[str, tuple[int, ...]] | None = None


def case_of(shown: Shown, limit: int, share: float) -> dict[str, Any]:
    """Return everything that the page knows of a layer.

    Parameters
    ----------
    limit : int
        Bytes that it may take.
    share : float
        Part of them that the known mistakes may take.

    Raises
    ------
    UsageError
        If not even one sample, channel and filter fit; says which option or size shrinks them.
    """
    layer, chosen = shown.layer, shown.chosen
    data: dict[str, Any] = {}
    for kept in _choices(layer, chosen, limit):
        data = {"arrays": _arrays(layer, shown.operands, kept), "totals": _totals(layer, shown.operands, kept)}
        data["errors"] = None if shown.judged is None else errors_of(shown.judged, kept)
        if size_of(data) <= limit:
            break
    else:
        needed = ceil((size_of(data) + _PROGRAM) / _MEGABYTE)
        more = Parameter("page_limit", needed) if needed <= MOST_MEGABYTES else "a smaller input"
        raise UsageError(
            f"layer {layer.name}: a page of one sample, channel and filter of it has {needed} MB, more than it may; "
            "give it ", more, ", or draw it with ", Parameter("format", "png"),
        )  # fmt: skip
    room = min(limit - size_of(data), int(limit * share))
    mistakes, left = mistakes_on(layer, shown.operands, kept, room)
    return {
        "title": shown.title,
        "name": layer.name,
        "smallest": shown.smallest,
        "words": forward_geometry(layer),
        "spec": layer.spec(),
        "numbers": shown.numbers,
        "kept": {name: [part.start, len(part)] for name, part in vars(kept).items()},
        "chosen": {"sample": chosen.sample, "channel": chosen.channel, "filter": chosen.filter},
        "start": [chosen.sample, chosen.channel, *chosen.place],
        "entry": shown.entry,
        **data,
        "mistakes": mistakes,
        "left_out": [*_left_out(layer, kept, limit), *left],
        "command": shown.command,
    }


def _choices(layer: Layer, chosen: Selection, limit: int) -> Iterator[Kept]:
    """Yield what the page could have, from all of it to the least."""
    samples, channels, filters = (range(size) for size in (layer.batch, layer.channels, layer.filters))
    one, channel = (range(at, at + 1) for at in (chosen.sample, chosen.channel))
    yield Kept(samples, channels, filters)
    yield Kept(one, channels, filters)
    count = layer.filters_per_group
    group = chosen.filter // count
    first = group * count
    while count:
        # Around the chosen filter, within its group.
        start = max(first, min(chosen.filter - count // 2, first + layer.filters_per_group - count))
        yield Kept(one, channel, range(start, start + count))
        count //= 2


def _arrays(layer: Layer, at: Operands, kept: Kept) -> dict[str, Any]:
    return {
        "x": packed(kept.x(at.x)),
        "weight": packed(kept.weight(layer, at.weight)),
        "bias": None if at.bias is None else packed(kept.bias(at.bias)),
        "grad_output": packed(kept.output(at.grad_output)),
    }


def _totals(layer: Layer, at: Operands, kept: Kept) -> dict[str, Any]:
    """Return the sums that the page cannot make, because not all of their terms are there."""
    filters = len(kept.filters) < layer.filters and len(kept.filters) < layer.filters_per_group
    samples = len(kept.samples) < layer.batch
    if not (filters or samples):
        return {}
    exactly = at.map(lambda array: array.astype(np.float64))
    right = formulation(FASTEST).backward(layer, exactly.x, exactly.weight, exactly.grad_output)
    totals = {}
    if filters:
        totals["input"] = packed(kept.x(right.input))
    if samples:
        totals["weight"] = packed(kept.weight(layer, right.weight))
        if right.bias is not None:
            totals["bias"] = packed(kept.bias(right.bias))
    return totals


def _left_out(layer: Layer, kept: Kept, limit: int) -> list[str]:
    """Say what the page has not, each with the option that brings it."""
    parts = []
    for name, there, size in (
        ("sample", kept.samples, layer.batch),
        ("channel", kept.channels, layer.channels),
        ("filter", kept.filters, layer.filters),
    ):
        if len(there) < size:
            own = f"{name} {there.start}" if len(there) == 1 else f"{name}s {there.start} to {there.stop - 1}"
            parts.append(f"Of {size:,} {name}s the page has {own}; --{name} N brings another.")
    if parts and limit < limit_of(MOST_MEGABYTES):
        parts.append(f"--page-limit {MOST_MEGABYTES} makes room for more of them.")
    return parts


def limit_of(megabytes: int) -> int:
    """Return how many bytes of data a page of so many megabytes has room for.

    Raises
    ------
    UsageError
        If that is more than a browser should be given.
    """
    if not 1 <= megabytes <= MOST_MEGABYTES:
        raise UsageError(
            Parameter("page_limit", megabytes), f" is not allowed; expected megabytes from 1 to {MOST_MEGABYTES}"
        )
    return megabytes * _MEGABYTE - _PROGRAM
