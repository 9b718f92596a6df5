"""The channels: F filters of depth C going forward are C filters of depth F going back."""

from __future__ import annotations

from math import prod

from convcheck.arrays import Array
from convcheck.formulations.dilate_flip import rotated_kernel
from convcheck.layer import Layer
from convcheck.maps import sizes
from convcheck.maps.common import no_kinds, scale_of
from convcheck.maps.panel import Blocks, Panel, Story
from convcheck.maps.window import Selection

__all__ = ["story"]

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
    depth, count = layer.channels_per_group, layer.filters_per_group
    group = chosen.channel // depth
    high, wide = (
        (1, prod(layer.kernel))
        if len(layer.kernel) == 1
        else (layer.kernel[-2], prod(layer.kernel) // layer.kernel[-2])
    )
    channels = _around(chosen.channel - group * depth, depth, max(2, min(6, _HIGH // high)))
    filters = _around(chosen.filter - group * count, count, max(2, min(20, _WIDE // wide)))
    own = weight.reshape(layer.groups, count, depth, *layer.kernel)[group].swapaxes(0, 1)
    turned = rotated_kernel(layer, weight).reshape(layer.groups, depth, count, *layer.kernel)[group]
    labels = (
        tuple(f"channel {c + group * depth}" for c in channels),
        tuple(f"f{f + group * count}" for f in filters),
    )
    note = _note(channels, depth, filters, count)
    scale = scale_of(weight)

    def panel(number: str, title: str, line: str, slices: Array, boxed: str) -> Panel:
        shown = slices[channels.start : channels.stop, filters.start : filters.stop]
        values = _side_by_side(shown)
        return Panel(
            number, title, (line, *note), values, no_kinds(values), ("row", "column"), (0, 0), values.shape, scale,
            labels=labels, blocks=Blocks(high, wide, boxed),
        )  # fmt: skip

    shape = sizes.times(layer.kernel)
    return Story(
        name="channels",
        title=f"The channels: {count} filters of depth {depth} forward, {depth} filters of depth {count} backward",
        intro=(
            "Forward, a filter has one slice per input channel and makes one map. Backward, a channel needs one filter "
            "made of the slices that all forward filters hold for it, each rotated by 180°.",
            *([f"Group {group} of {layer.groups}; the groups do not mix."] if layer.groups > 1 else []),
        ),
        panels=(
            panel("1", "Forward: each frame (a column) is one filter", f"{count} filters of {depth}×{shape}", own, "columns"),
            panel("2", "Backward: each frame (a row) is one filter, its slices rotated", f"{depth} filters of {count}×{shape}", turned, "rows"),
        ),
        example=(
            f"Every slice keeps its place and is rotated; what changes is which slices belong together: dL/dX of channel "
            f"{channels.start + group * depth} is the sum over the top row's frame in 2, slice f sliding over dL/dO of filter f.",
        ),
    )  # fmt: skip


def _around(chosen: int, count: int, limit: int) -> range:
    """Return at most ``limit`` numbers below ``count`` with the chosen one among them."""
    start = max(0, min(chosen - limit + 1, count - limit)) if chosen >= limit else 0
    return range(start, min(count, start + limit))


def _note(channels: range, depth: int, filters: range, count: int) -> list[str]:
    parts = [
        f"{len(shown)} of {total} {name}"
        for shown, total, name in ((channels, depth, "channels"), (filters, count, "filters"))
        if len(shown) < total
    ]
    return ["shown: " + ", ".join(parts)] if parts else []


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
