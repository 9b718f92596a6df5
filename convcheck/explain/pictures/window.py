"""Which slice of the arrays, and which part of a large map, is shown; and what the cells of a map are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np

from convcheck.errors import Parameter, UsageError
from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import LIMIT, PLANES, Index, Kind, Kinds, Panel
from convcheck.layer.arrays import Array
from convcheck.layer.axis import Axis
from convcheck.layer.layer import Layer

#: Samples of dL/dX that are shown at least, however large the kernel is.
_LEAST = 3

#: Cells of padding in front up to which a window of a large map starts at the origin.
_FRONT = 3

#: Cells per axis that are never exceeded: a kernel may span thousands of samples.
_MOST = 48


@dataclass(frozen=True)
class Selection:
    """Which sample of the batch, input channel and filter are shown.

    Attributes
    ----------
    sample, channel, filter : int
        The filter counts from 0 over all groups. By default the first one that reads the channel.
    """

    sample: int
    channel: int
    filter: int

    @classmethod
    def of(cls, layer: Layer, sample: int = 0, channel: int | None = None, filter: int | None = None) -> Selection:  # noqa: A002
        """Check what was chosen, and fill in what was not.

        Raises
        ------
        UsageError
            If a number is out of range, or the filter does not read the channel.
        """
        given = (
            ("sample", sample, layer.batch),
            ("channel", channel, layer.channels),
            ("filter", filter, layer.filters),
        )
        for name, value, count in given:
            if value is not None and not 0 <= value < count:
                raise UsageError(
                    Parameter(name, value), f" is out of range; layer {layer.name} has {name}s 0..{count - 1}"
                )
        if channel is None:
            group = 0 if filter is None else filter // layer.filters_per_group
            channel = group * layer.channels_per_group
        group = channel // layer.channels_per_group
        first = group * layer.filters_per_group
        if filter is None:
            filter = first  # noqa: A001 - the option's name
        if not first <= filter < first + layer.filters_per_group:
            raise UsageError(
                Parameter("filter", filter),
                f" does not read channel {channel}, which is in group {group}; "
                f"expected a filter of {first}..{first + layer.filters_per_group - 1}",
            )
        return cls(sample, channel, filter)


@dataclass(frozen=True)
class Window:
    """The shown part of each map, as one range per axis: an area of dL/dX and all that it is computed from."""

    input: tuple[range, ...]
    full: tuple[range, ...]
    dilated: tuple[range, ...]
    output: tuple[range, ...]


def window_of(layer: Layer, limit: int = LIMIT) -> Window:
    """Return the part of each map that is shown: all of it where it is small, or else what is near the origin.

    Parameters
    ----------
    limit : int
        Cells per axis up to which a map is shown whole; planes of a volume have a limit of their own.
    """
    limits = [limit] * len(layer.axes) if len(layer.axes) < 3 else [PLANES, limit, limit]
    per_axis = [_axis_window(axis, most) for axis, most in zip(layer.axes, limits, strict=True)]
    return Window(*(tuple(ranges) for ranges in zip(*per_axis, strict=True)))


def _axis_window(axis: Axis, limit: int) -> tuple[range, range, range, range]:
    reach, front = axis.effective_kernel - 1, axis.full_padding[0]
    least = 1 if limit == PLANES else _LEAST
    whole = axis.size + reach <= limit
    count = axis.size if whole else min(axis.size, max(least, limit - reach))
    # Much padding in front would fill the picture: a little of it tells as much.
    start = 0 if whole or front <= _FRONT else min(front - _FRONT + 1, axis.size - count)
    if count == 1 and not whole:
        # A single plane: one that as many windows read as any.
        start = max(range(axis.size), key=lambda p: len(axis.readers(p + axis.before)))
    full = range(start, start + min(count + reach, _MOST))
    last = min(axis.dilated_size, full.stop - front)
    first = min(max(0, full.start - front), axis.dilated_size - 1)
    dilated = range(axis.dilated_size) if whole else range(first, max(first + 1, last))
    outputs = range(-(-dilated.start // axis.stride), (dilated.stop - 1) // axis.stride + 1)
    if not outputs:
        nearest = dilated.start // axis.stride
        outputs = range(nearest, nearest + 1)
    return range(start, start + count), full, dilated, outputs


def readers(layer: Layer, entry: Index) -> list[tuple[Index, Index]]:
    """Pairs (output, tap) that read an input entry, both as one index per axis."""
    per_axis = (axis.readers(p + axis.before) for axis, p in zip(layer.axes, entry, strict=True))
    return [(tuple(i for i, _ in pairs), tuple(a for _, a in pairs)) for pairs in product(*per_axis)]


def most_read(layer: Layer, window: Window) -> Index:
    """Return the entry of dL/dX in the window with the most terms; of several, the one nearest to the middle."""
    best: list[int] = []
    for axis, shown in zip(layer.axes, window.input, strict=True):
        middle = (shown.start + shown.stop - 1) / 2
        best.append(min(shown, key=lambda p: (-len(axis.readers(p + axis.before)), abs(p - middle), p)))
    return tuple(best)


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
    """What each cell of the padded input is."""
    per_axis = []
    for axis in layer.axes:
        place = np.arange(axis.padded_size)
        kinds = np.where((place >= axis.before) & (place < axis.before + axis.size), Kind.VALUE, Kind.BORDER)
        unread = place >= axis.padded_size - axis.remainder
        per_axis.append(np.where(unread, Kind.UNREAD, kinds).astype(np.int8))
    return _larger(per_axis)


def input_panel(layer: Layer, padded: Array, chosen: Selection) -> Panel:
    """Show the chosen channel of the padded input, shape (*padded)."""
    return Panel.of(
        "1", "X with its padding" if any(map(any, layer.padding)) else "X: the input",
        [*sizes.input_lines(layer), f"sample {chosen.sample}, channel {chosen.channel}"],
        padded, kinds=padded_kinds(layer),
    )  # fmt: skip


def _larger(per_axis: list[Kinds]) -> Kinds:
    """Return the larger kind of all axes, for every cell."""
    kinds: Kinds = reduce(np.maximum.outer, per_axis)
    return kinds
