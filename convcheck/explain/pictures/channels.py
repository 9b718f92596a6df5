"""The channels: F filters of depth C going forward are C filters of depth F going back."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Blocks, Index, Panel, Story, scale_of
from convcheck.explain.pictures.window import Selection
from convcheck.gradients.dilate_flip import rotated_kernel
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer

#: Cells per direction up to which slices are shown.
_WIDE, _HIGH = 60, 16


def story(layer: Layer, weight: Array, chosen: Selection) -> Story:
    """Tell which slice of which filter goes where: the F filters of depth C, and the same as C filters of depth F.

    Parameters
    ----------
    weight : array, shape (F, C/groups, *kernel)
    chosen : Selection
        Its group is shown.
    """
    depth, count, shape = layer.channels_per_group, layer.filters_per_group, sizes.times(layer.kernel)
    group = chosen.channel // depth
    # Size of a slice in cells: the planes of a volume stand side by side.
    high = layer.kernel[-2] if len(layer.kernel) > 1 else 1
    wide = prod(layer.kernel) // high
    channels = _around(chosen.channel - group * depth, depth, max(2, min(6, _HIGH // high)))
    filters = _around(chosen.filter - group * count, count, max(2, min(20, _WIDE // wide)))
    ranges = ((channels, depth, "channels"), (filters, count, "filters"))
    parts = [f"{len(shown)} of {total} {name}" for shown, total, name in ranges if len(shown) < total]

    def panel(number: str, title: str, line: str, slices: Array, framed: str, tap: Index) -> Panel:
        """Slices (C, F, *kernel) as one map, C down and F across; the tap at ``tap`` is outlined in each of them."""
        part = slices[channels.start : channels.stop, filters.start : filters.stop]
        part = part.reshape(len(channels), len(filters), -1, high, layer.kernel[-1]).transpose(0, 3, 1, 2, 4)
        values = part.reshape(len(channels) * high, len(filters) * wide)
        marked = [place for place in np.ndindex(*values.shape) if (place[0] % high, place[1] % wide) == tap]
        lines = [line, *(["shown: " + ", ".join(parts)] if parts else [])]
        whole = tuple(map(range, values.shape))
        return replace(
            Panel.of(number, title, lines, values, whole, scale=scale_of(slices), outlined=marked),
            labels=(
                tuple(f"channel {c + group * depth}" for c in channels),
                tuple(f"f{f + group * count}" for f in filters),
            ),
            blocks=Blocks(high, wide, framed),
        )

    own = weight.reshape(layer.groups, count, depth, *layer.kernel)[group].swapaxes(0, 1)
    turned = rotated_kernel(layer, weight).reshape(layer.groups, depth, count, *layer.kernel)[group]
    forward, backward = f"{count} filters of {depth}×{shape}", f"{depth} filters of {count}×{shape}"
    return Story(
        name="channels",
        title=f"The channels: {count} filters of depth {depth} forward, {depth} filters of depth {count} backward",
        intro=(
            "Forward, a filter has one slice per input channel and makes one map. Backward, a channel needs one filter "
            "made of the slices that all forward filters hold for it, each rotated by 180°.",
            *([f"Group {group} of {layer.groups}; the groups do not mix."] if layer.groups > 1 else []),
        ),
        # Tap 0 of every slice: at its beginning, and at its end once it is turned.
        panels=(
            panel("1", "Forward: each frame (a column) is one filter", forward, own, "columns", (0, 0)),
            panel(
                "2", "Backward: each frame (a row) is one filter, its slices rotated", backward, turned, "rows",
                (high - 1, wide - 1),
            ),
        ),
        example=(
            "Outlined: the same tap of every slice, before and after the turn.",
            "Every slice keeps its place and is rotated; what changes is which slices belong together. dL/dX of "
            f"channel {group * depth + channels.start} is the sum over the top frame in 2: slice f slides "
            "over dL/dO of filter f.",
        ),
        trivial=depth == count == 1,
    )  # fmt: skip


def _around(chosen: int, count: int, limit: int) -> range:
    """Return at most ``limit`` numbers below ``count`` with the chosen one among them."""
    start = max(0, chosen - limit + 1)
    return range(start, min(count, start + limit))
