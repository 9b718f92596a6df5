"""Which part of a large map is shown, and what the cells of a map are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import LIMITS, PLANES, Kind, Kinds, Panel, near
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
    """The shown part of each map, as one range per axis: an area of dL/dX and all that it is computed from."""

    input: tuple[range, ...]
    full: tuple[range, ...]
    dilated: tuple[range, ...]
    output: tuple[range, ...]


def on_padded(layer: Layer) -> Layer:
    """Return the layer without padding that reads what another one has padded."""
    return replace(layer, input=tuple(a.padded_size for a in layer.axes), padding=0, padding_mode=ZEROS)


def window_of(layer: Layer, chosen: Selection) -> Window:
    """Return the part of each map that is shown: all of it where it is small, else what is near the entry worked out.

    Planes of a volume have a limit of their own.
    """
    limits = LIMITS[len(layer.axes)]
    per_axis = [_axis_window(*each) for each in zip(layer.axes, limits, chosen.place, strict=True)]
    return Window(*(tuple(ranges) for ranges in zip(*per_axis, strict=True)))


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
        kinds = np.where((place >= axis.before) & (place < axis.before + axis.size), Kind.VALUE, Kind.BORDER)
        per_axis.append(np.where(read_positions(axis), kinds, Kind.UNREAD).astype(np.int8))
    return _larger(per_axis)


def read_positions(axis: Axis) -> NDArray[np.bool_]:
    """Whether any window reads a padded position, shape (*padded); not behind the last, nor between two."""
    found = np.zeros(axis.padded_size, bool)
    for tap in range(axis.kernel):
        found[axis.tap_slice(tap)] = True
    return found


def input_kinds(layer: Layer) -> Kinds:
    """What each cell of X and of dL/dX is: a value, or read by no window."""
    inside = tuple(slice(axis.before, axis.before + axis.size) for axis in layer.axes)
    return padded_kinds(layer)[inside]


def input_panel(layer: Layer, padded: Array, chosen: Selection) -> Panel:
    """Show the chosen channel of the padded input, shape (*padded), around the entry that is worked out."""
    place = tuple(p + axis.before for p, axis in zip(chosen.place, layer.axes, strict=True))
    return Panel.of(
        "1", "X with its padding" if any(map(any, layer.padding)) else "X: the input",
        [*sizes.input_lines(layer), f"sample {chosen.sample}, channel {chosen.channel}"],
        padded, near(padded.shape, place), kinds=padded_kinds(layer),
    )  # fmt: skip


def _larger(per_axis: list[Kinds]) -> Kinds:
    """Return the larger kind of all axes, for every cell."""
    kinds: Kinds = reduce(np.maximum.outer, per_axis)
    return kinds
