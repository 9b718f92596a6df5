"""Which part of a large map is shown, and what the cells of a map are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import COPIES, LIMITS, PLANES, Index, Kind, Kinds, Panel, near
from convcheck.explain.pictures.roles import PLAIN, Roles
from convcheck.explain.pictures.selection import Selection
from convcheck.layer.arrays import Array
from convcheck.layer.axis import Axis
from convcheck.layer.fields import ZEROS
from convcheck.layer.layer import Layer

#: Samples of dL/dX that are shown at least, and cells of the full map up to which more are, where dL/dX is large.
_LEAST, _LENS = 3, 8

#: By how many cells the full map may be larger than others and is still shown whole.
_MARGIN = 6

#: Cells per axis that are never exceeded: a kernel may span thousands of samples.
_MOST = 48


@dataclass(frozen=True)
class Window:
    """The shown part of each map, as one range per axis: an area of dL/dX and all that it is computed from.

    `slid` is the part of what the kernel's slide gives: of dL/dX, or of that of the padded input.
    """

    input: tuple[range, ...]
    slid: tuple[range, ...]
    full: tuple[range, ...]
    dilated: tuple[range, ...]
    output: tuple[range, ...]


def on_padded(layer: Layer) -> Layer:
    """Return the layer without padding that reads what another one has padded."""
    size = tuple(axis.padded_size for axis in layer.axes)
    return replace(layer, input=size, padding=((0, 0),) * len(size), padding_mode=ZEROS)


def window_of(layer: Layer, chosen: Selection) -> Window:
    """Return the part of each map that is shown: all of it where it is small, else what is near the entry worked out.

    Planes of a volume have a limit of their own.
    """
    limits, slid, place = LIMITS[len(layer.axes)], layer, chosen.place
    if layer.repeats_samples:
        slid, place = on_padded(layer), own_position(layer, chosen.place)
    per_axis = [_axis_window(*each) for each in zip(slid.axes, limits, place, strict=True)]
    shown, *others = (tuple(ranges) for ranges in zip(*per_axis, strict=True))
    return Window(shown if slid is layer else near(layer.input, chosen.place), shown, *others)


def own_position(layer: Layer, place: Index) -> Index:
    """Return where an entry of X stands in the padded input."""
    return tuple(p + axis.before for p, axis in zip(place, layer.axes, strict=True))


def folded_back(layer: Layer, padded: Array) -> Array:
    """Add the gradient of every copy to that of its sample, shape (*padded) to (*input); no copies, nothing to do."""
    if not layer.repeats_samples:
        return padded
    folded = np.zeros(layer.input, padded.dtype)
    np.add.at(folded, np.ix_(*(axis.origin for axis in layer.axes)), padded)
    return folded


def _axis_window(axis: Axis, limit: int, place: int) -> tuple[range, range, range, range]:
    reach, front = axis.effective_kernel - 1, axis.full_padding[0]
    planes = limit == PLANES
    whole = axis.size <= limit and axis.size + reach <= limit + (0 if planes else _MARGIN)
    least = 1 if planes else _LEAST
    lens = limit if planes or axis.size <= limit else _LENS
    count = axis.size if whole else min(axis.size, max(least, lens - reach))
    # At the origin where the entry is there and little padding stands in front of it; else around the entry.
    start = 0 if place < count and (whole or front <= lens // 2) else max(0, min(place - count // 2, axis.size - count))
    full = range(start, start + min(count + reach, _MOST))
    last = min(axis.dilated_size, full.stop - front)
    first = min(max(0, full.start - front), axis.dilated_size - 1)
    dilated = range(axis.dilated_size) if whole else range(first, max(first + 1, last))
    outputs = range(-(-dilated.start // axis.stride), (dilated.stop - 1) // axis.stride + 1)
    if not outputs:
        nearest = dilated.start // axis.stride
        outputs = range(nearest, nearest + 1)
    return range(start, start + count), full, dilated, outputs


def full_kinds(layer: Layer, *, padded: bool) -> Kinds:
    """What each cell of the dilated dL/dO is, or, if ``padded``, of the full one."""
    per_axis = []
    for axis in layer.axes:
        front, behind = axis.full_padding if padded else (0, 0)
        place = np.arange(-front, axis.dilated_size + behind)
        kinds = np.where(place % axis.stride == 0, Kind.VALUE, Kind.INSERTED)
        kinds = np.where(place >= axis.dilated_size, Kind.REMAINDER, kinds)
        # Behind the remainder, and in front, is what the kernel reaches beyond the image.
        beyond = (place < 0) | (place >= axis.dilated_size + axis.remainder)
        per_axis.append(np.where(beyond, Kind.BORDER, kinds).astype(np.int8))
    return _larger(per_axis)


def padded_kinds(layer: Layer) -> Kinds:
    """What each cell of the padded input is; what no window reads, be it behind the last or between two, is said so."""
    per_axis = []
    for axis in layer.axes:
        place = np.arange(axis.padded_size)
        inside = (place >= axis.before) & (place < axis.before + axis.size)
        kinds = np.where(inside, Kind.VALUE, COPIES.get(axis.mode, Kind.BORDER))
        per_axis.append(np.where(read_positions(axis), kinds, Kind.UNREAD).astype(np.int8))
    return _larger(per_axis)


def read_positions(axis: Axis) -> NDArray[np.bool_]:
    """Whether any window reads a padded position, shape (*padded); not behind the last, nor between two."""
    found = np.zeros(axis.padded_size, bool)
    for tap in range(axis.kernel):
        found[axis.tap_slice(tap)] = True
    return found


def input_kinds(layer: Layer) -> Kinds:
    """What each cell of X and of dL/dX is: a value, or in no window."""
    return _larger([
        np.where(np.isin(np.arange(axis.size), axis.source), Kind.VALUE, Kind.UNREAD).astype(np.int8)
        for axis in layer.axes
    ])  # fmt: skip


def input_panel(layer: Layer, padded: Array, chosen: Selection, roles: Roles = PLAIN) -> Panel:
    """Show the chosen channel of the padded input, shape (*padded), around the entry that is worked out."""
    place, name = own_position(layer, chosen.place), roles.input
    title = f"{name} with its padding" if any(map(any, layer.padding)) else f"{name}: {roles.reads}"
    panel = Panel.of(
        "1", title, [*sizes.input_lines(layer), f"sample {chosen.sample}, {roles.channel} {chosen.channel}"],
        padded, near(padded.shape, place), kinds=padded_kinds(layer),
    )  # fmt: skip
    return with_copies(layer, panel) if layer.repeats_samples else panel


def with_copies(layer: Layer, panel: Panel, places: Sequence[Index] = ()) -> Panel:
    """Say at the edges of a padded map which samples its copies hold, with arrows from the copies of one to itself."""
    ticks, lines = [], list(panel.lines)
    for axis, first, count in zip(layer.axes, panel.start, panel.values.shape, strict=True):
        own = range(axis.before, axis.before + axis.size)
        shown = range(first, first + count)
        ticks.append(tuple(str(q) if q in own else f"{q}={axis.origin[q]}" for q in shown))
    examples = [text for texts in ticks for text in texts if "=" in text]
    if examples:
        position, sample = examples[0].split("=")
        lines.append(f"{examples[0]} at the edge: position {position} holds sample {sample}")
    arrows = tuple((copy, places[0]) for copy in places[1:])
    return replace(panel, ticks=tuple(ticks), lines=tuple(lines), arrows=arrows)


def _larger(per_axis: list[Kinds]) -> Kinds:
    """Return the larger kind of all axes, for every cell."""
    kinds: Kinds = reduce(np.maximum.outer, per_axis)
    return kinds
