"""Which slice of the arrays, and which part of a large map, is shown; and what the cells of a map are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from convcheck.errors import Parameter, UsageError
from convcheck.explain.pictures.panel import Index, Kind
from convcheck.layer.axis import Axis
from convcheck.layer.layer import Layer

T = TypeVar("T", bound=np.generic)

#: Cells per axis up to which a map is shown whole.
LIMIT = 12

#: Planes of a volume up to which it is shown whole; they stand side by side.
_PLANES = 4

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
    layer : Layer
    limit : int
        Cells per axis up to which a map is shown whole.
    """
    limits = [limit] * len(layer.axes)
    if len(limits) == 3:
        limits[0] = _PLANES
    per_axis = [
        _axis_window(axis, limit, 1 if limit == _PLANES else _LEAST)
        for axis, limit in zip(layer.axes, limits, strict=True)
    ]
    return Window(*(tuple(ranges) for ranges in zip(*per_axis, strict=True)))


def _axis_window(axis: Axis, limit: int, least: int) -> tuple[range, range, range, range]:
    reach, front = axis.effective_kernel - 1, axis.full_padding[0]
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


def cut(array: NDArray[T], ranges: tuple[range, ...]) -> NDArray[T]:
    """Return the part of a map that the ranges name."""
    return array[tuple(slice(r.start, r.stop) for r in ranges)]


def full_kinds(layer: Layer, *, padded: bool) -> NDArray[np.int8]:
    """What each cell of the dilated dL/dO is, or, if ``padded``, of the full one."""
    return _combine([_full_axis(axis, padded) for axis in layer.axes])


def padded_kinds(layer: Layer) -> NDArray[np.int8]:
    """What each cell of the padded input is."""
    return _combine([_padded_axis(axis) for axis in layer.axes])


def most_read(layer: Layer, window: Window) -> Index:
    """Return the entry of dL/dX in the window with the most terms; of several, the one nearest to the middle."""
    best: list[int] = []
    for axis, shown in zip(layer.axes, window.input, strict=True):
        middle = (shown.start + shown.stop - 1) / 2
        best.append(min(shown, key=lambda p: (-len(axis.readers(p + axis.before)), abs(p - middle), p)))
    return tuple(best)


def _full_axis(axis: Axis, padded: bool) -> NDArray[np.int8]:
    front, behind = axis.full_padding if padded else (0, 0)
    place = np.arange(-front, axis.dilated_size + behind)
    kinds = np.where(place % axis.stride == 0, Kind.VALUE, Kind.INSERTED)
    kinds = np.where(place >= axis.dilated_size, Kind.REMAINDER, kinds)
    # Behind the remainder, and in front, is what the kernel reaches beyond the image.
    return np.where((place < 0) | (place >= axis.dilated_size + axis.remainder), Kind.BORDER, kinds).astype(np.int8)


def _padded_axis(axis: Axis) -> NDArray[np.int8]:
    place = np.arange(axis.padded_size)
    inside = (place >= axis.before) & (place < axis.before + axis.size)
    kinds = np.where(inside, Kind.VALUE, Kind.BORDER)
    return np.where(place >= axis.padded_size - axis.remainder, Kind.UNREAD, kinds).astype(np.int8)


def _combine(per_axis: list[NDArray[np.int8]]) -> NDArray[np.int8]:
    """Return the larger kind of all axes, for every cell."""
    combined: NDArray[np.int8] = reduce(np.maximum.outer, per_axis)
    return combined


def leading(shape: tuple[int, ...], limit: int = LIMIT) -> tuple[range, ...]:
    """Return the part at the origin that is shown of a map that stands by itself."""
    limits = [limit] * len(shape)
    if len(shape) == 3:
        limits[0] = _PLANES
    return tuple(range(min(size, most)) for size, most in zip(shape, limits, strict=True))
