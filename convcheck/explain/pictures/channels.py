"""The channels: F filters of depth C going forward are C filters of depth F going back."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.common import no_kinds, scale_of
from convcheck.explain.pictures.panel import Blocks, Index, Panel, Story
from convcheck.explain.pictures.window import Selection
from convcheck.gradients.dilate_flip import rotated_kernel
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer

#: Cells per direction up to which slices are shown.
_WIDE, _HIGH = 60, 16


def story(layer: Layer, weight: Array, chosen: Selection) -> Story:
    """Tell which slice of which filter goes where.

    Parameters
    ----------
    layer : Layer
    weight : array, shape (F, C/groups, *kernel)
    chosen : Selection
        Its group is shown.
    """
    shown = _Shown.of(layer, chosen)
    depth, count, shape = layer.channels_per_group, layer.filters_per_group, sizes.times(layer.kernel)
    own = weight.reshape(layer.groups, count, depth, *layer.kernel)[shown.group].swapaxes(0, 1)
    turned = rotated_kernel(layer, weight).reshape(layer.groups, depth, count, *layer.kernel)[shown.group]
    forward, backward = f"{count} filters of {depth}×{shape}", f"{depth} filters of {count}×{shape}"
    # Tap 0 of every slice: at its beginning, and at its end once it is turned.
    first, last = (0, 0), (shown.high - 1, shown.wide - 1)
    return Story(
        name="channels",
        title=f"The channels: {count} filters of depth {depth} forward, {depth} filters of depth {count} backward",
        intro=(
            "Forward, a filter has one slice per input channel and makes one map. Backward, a channel needs one filter "
            "made of the slices that all forward filters hold for it, each rotated by 180°.",
            *([f"Group {shown.group} of {layer.groups}; the groups do not mix."] if layer.groups > 1 else []),
        ),
        panels=(
            shown.panel("1", "Forward: each frame (a column) is one filter", forward, own, "columns", first),
            shown.panel(
                "2", "Backward: each frame (a row) is one filter, its slices rotated", backward, turned, "rows", last
            ),
        ),
        example=(
            "Outlined: the same tap of every slice, before and after the turn.",
            "Every slice keeps its place and is rotated; what changes is which slices belong together. dL/dX of "
            f"channel {shown.group * depth + shown.channels.start} is the sum over the top frame in 2: slice f slides "
            "over dL/dO of filter f.",
        ),
    )


@dataclass(frozen=True)
class _Shown:
    """Which slices are shown, and how large one is when its planes stand side by side."""

    layer: Layer
    group: int
    channels: range
    filters: range
    high: int
    wide: int

    @classmethod
    def of(cls, layer: Layer, chosen: Selection) -> _Shown:
        depth, count = layer.channels_per_group, layer.filters_per_group
        group = chosen.channel // depth
        high = layer.kernel[-2] if len(layer.kernel) > 1 else 1
        wide = prod(layer.kernel) // high
        channels = _around(chosen.channel - group * depth, depth, max(2, min(6, _HIGH // high)))
        filters = _around(chosen.filter - group * count, count, max(2, min(20, _WIDE // wide)))
        return cls(layer, group, channels, filters, high, wide)

    def panel(self, number: str, title: str, line: str, slices: Array, framed: str, marked: Index) -> Panel:
        """Slices (C, F, *kernel) as one map."""
        layer, channels, filters = self.layer, self.channels, self.filters
        values = _side_by_side(slices[channels.start : channels.stop, filters.start : filters.stop])
        first_channel, first_filter = self.group * layer.channels_per_group, self.group * layer.filters_per_group
        return Panel(
            number=number,
            title=title,
            lines=(line, *self._note()),
            values=values,
            kinds=no_kinds(values),
            names=("row", "column"),
            start=(0, 0),
            shape=values.shape,
            scale=scale_of(slices),
            labels=(
                tuple(f"channel {c + first_channel}" for c in channels),
                tuple(f"f{f + first_filter}" for f in filters),
            ),
            outlined=frozenset(
                (row, column)
                for row, column in np.ndindex(*values.shape)
                if (row % self.high, column % self.wide) == marked
            ),
            blocks=Blocks(self.high, self.wide, framed),
        )

    def _note(self) -> list[str]:
        ranges = (
            (self.channels, self.layer.channels_per_group, "channels"),
            (self.filters, self.layer.filters_per_group, "filters"),
        )
        parts = [f"{len(shown)} of {total} {name}" for shown, total, name in ranges if len(shown) < total]
        return ["shown: " + ", ".join(parts)] if parts else []


def _around(chosen: int, count: int, limit: int) -> range:
    """Return at most ``limit`` numbers below ``count`` with the chosen one among them."""
    start = max(0, min(chosen - limit + 1, count - limit)) if chosen >= limit else 0
    return range(start, min(count, start + limit))


def _side_by_side(slices: Array) -> Array:
    """Put slices (C, F, *kernel) into one map, C down and F across; the planes of a volume stand side by side."""
    rows, columns, *taps = slices.shape
    if len(taps) == 1:
        flat = slices[:, :, None, :]
    elif len(taps) == 3:
        flat = slices.swapaxes(2, 3).reshape(rows, columns, taps[1], taps[0] * taps[2])
    else:
        flat = slices
    high, wide = flat.shape[2:]
    return flat.swapaxes(1, 2).reshape(rows * high, columns * wide)
