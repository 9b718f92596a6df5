"""The channels: F filters of depth C going forward are C filters of depth F going back."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Blocks, Index, Kind, Panel, Story, near, scale_of
from convcheck.explain.pictures.roles import PLAIN, TWIN, Roles
from convcheck.explain.pictures.selection import Selection
from convcheck.gradients.dilate_flip import rotated_kernel
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.wording import counted

#: Cells per direction, and in all, up to which slices are shown; channels and filters of which it is shown who reads
#: whom.
_WIDE, _HIGH, _CELLS, _CONNECTED = 60, 16, 540, 24


def story(layer: Layer, weight: Array, chosen: Selection) -> Story:
    """Tell which slice of which filter goes where: the F filters of depth C, and the same as C filters of depth F.

    Parameters
    ----------
    weight : array, shape (F, C/groups, *kernel), or of a transposed layer (C, F/groups, *kernel)
    chosen : Selection
        Its group is shown; of a depthwise layer, several.
    """
    roles = PLAIN
    if layer.transposed:
        layer, chosen, roles = layer.twin, chosen.of_twin, TWIN
    depth, count, shape = layer.channels_per_group, layer.filters_per_group, sizes.times(layer.kernel)
    group, alone = chosen.channel // depth, depth == 1 and layer.groups > 1
    # Size of a slice in cells: the planes of a volume stand side by side.
    high = layer.kernel[-2] if len(layer.kernel) > 1 else 1
    wide = prod(layer.kernel) // high
    if alone:
        # One row of slices: those of all groups, of which each holds one channel.
        first, of, channels = 0, layer.filters, range(1)
        own, turned = (array.reshape(1, -1, *layer.kernel) for array in (weight, rotated_kernel(layer, weight)))
    else:
        first, of = group * count, count
        channels = _around(chosen.channel - group * depth, depth, max(2, min(6, _HIGH // high)))
        own = weight.reshape(layer.groups, count, depth, *layer.kernel)[group].swapaxes(0, 1)
        turned = rotated_kernel(layer, weight).reshape(layer.groups, depth, count, *layer.kernel)[group]
    most = max(2, min(20, _WIDE // wide, _CELLS // (len(channels) * high * wide)))
    filters = _around(chosen.filter - first, of, max(most // count * count, 1) if alone else most)
    if alone:
        filters = range(filters.start // count * count, filters.stop)
    many, one, letters = f"{roles.filter}s", roles.channel, (roles.filter[0], roles.channel[0])
    ranges = ((channels, depth, f"{one}s"), (filters, of, many))
    parts = [f"{len(shown)} of {total} {name}" for shown, total, name in ranges if len(shown) < total]

    def panel(number: str, title: str, line: str, slices: Array, framed: tuple[int, int], tap: Index) -> Panel:
        """Slices (C, F, *kernel) as one map, C down and F across; the tap at ``tap`` is outlined in each of them."""
        part = slices[channels.start : channels.stop, filters.start : filters.stop]
        part = part.reshape(len(channels), len(filters), -1, high, layer.kernel[-1]).transpose(0, 3, 1, 2, 4)
        values = part.reshape(len(channels) * high, len(filters) * wide)
        marked = [place for place in np.ndindex(*values.shape) if (place[0] % high, place[1] % wide) == tap]
        lines = [line, *(["shown: " + ", ".join(parts)] if parts else [])]
        whole = tuple(map(range, values.shape))
        owners = [f" · {letters[1]}{(f + first) // count}" if alone else "" for f in filters]
        across = [f"{letters[0]}{f + first}{owner}" for f, owner in zip(filters, owners, strict=True)]
        down = [f"own {one}"] if alone else [f"{one} {c + group * depth}" for c in channels]
        made = Panel.of(number, title, lines, values, whole, scale=scale_of(slices), outlined=marked)
        return replace(made.labelled((tuple(down), tuple(across))), blocks=Blocks(high, wide, framed))

    ways = counted(count, "filter"), counted(depth, "filter")
    forward, backward = f"{ways[0]} of {depth}×{shape}", f"{ways[1]} of {count}×{shape}"
    per_group = " in each group" if layer.groups > 1 else ""
    frame = (1, count) if alone else (1, len(filters))
    flipped = "its slice flipped" if frame[1] == 1 else "its slices flipped"
    titles = "Forward: each frame is one filter", "Backward: each frame is the filter of one channel"
    if roles is TWIN:
        titles = "Backward: each frame makes one channel of dL/dX", "Forward: each frame makes one map of O"
    panels = [
        # Tap 0 of every slice: at its beginning, and at its end once it is turned.
        panel("1", titles[0], forward + per_group, own, (len(channels), 1), (0, 0)),
        panel("2", f"{titles[1]}, {flipped}", backward + per_group, turned, frame, (high - 1, wide - 1)),
    ]  # fmt: skip
    if layer.groups > 1:
        panels.append(_connections(layer, chosen, roles))
    way, intro = ("forward", "backward"), (
        "Forward, a filter has one slice per input channel and makes one map. Backward, a channel needs one filter "
        f"made of the slices that all forward filters hold for it, each {sizes.turned(layer)}."
    )  # fmt: skip
    if roles is TWIN:
        way, intro = ("backward", "forward"), (
            "W has a slice for every channel of X and every filter. Backward, the slices of a channel, as they are, "
            "make its dL/dX. Forward, a map of O is made of the slices that all channels hold for its filter, each "
            f"{sizes.turned(layer)}."
        )  # fmt: skip
    channel = chosen.channel if alone else group * depth + channels.start
    return Story(
        name="channels",
        title=f"The channels: {ways[0]} of depth {depth} {way[0]}, {ways[1]} of depth {count} {way[1]}",
        intro=(intro, *([_grouping(layer, group, roles)] if layer.groups > 1 else [])),
        panels=tuple(panels),
        example=(
            "Outlined: the same tap of every slice, before and after the turn.",
            f"Every slice keeps its place and is {sizes.turned(layer)}; what changes is which slices belong together. "
            f"{roles.grad_input} of {one} {channel} is the sum over "
            + (f"the frame of {letters[1]}{channel} in 2" if alone else "the top frame in 2")
            + f": slice {letters[0]} slides over {roles.grad_output} of {roles.filter} {letters[0]}.",
        ),
        trivial=layer.channels == layer.filters == 1,
    )


def _grouping(layer: Layer, group: int, roles: Roles) -> str:
    if layer.channels_per_group > 1 or roles is TWIN:
        return f"Group {group} of {layer.groups}; the groups do not mix."
    return (
        "Depthwise: every channel is a group of its own, so dL/dX of a channel comes from its own "
        f"{'filter' if layer.filters_per_group == 1 else f'{layer.filters_per_group} filters'} alone."
    )


def _connections(layer: Layer, chosen: Selection, roles: Roles) -> Panel:
    """Show which filter reads which channel."""
    filter_, channel = roles.filter, roles.channel
    filters, channels = (np.arange(n) for n in (layer.filters, layer.channels))
    reads = (filters // layer.filters_per_group)[:, np.newaxis] == channels // layer.channels_per_group
    around = near(reads.shape, (chosen.filter, chosen.channel), (_CONNECTED, _CONNECTED))
    title = f"Which {filter_} (row) has to do with which {channel} (column)"
    made = Panel.of(
        "3", title, [f"{layer.groups} groups"], reads.astype(np.float64), around,
        kinds=np.where(reads, Kind.VALUE, Kind.APART).astype(np.int8), scale=2.0,
        outlined=[(chosen.filter, chosen.channel)],
    )  # fmt: skip
    texts = {place: "•" if reads[place] else "" for place in np.ndindex(*reads.shape)}
    sides = zip((filter_[0], channel[0]), around, strict=True)
    labels = tuple(tuple(f"{letter}{i}" for i in shown) for letter, shown in sides)
    return replace(made.labelled((labels[0], labels[1])), counts=True, texts=texts)


def _around(chosen: int, count: int, limit: int) -> range:
    """Return at most ``limit`` numbers below ``count`` with the chosen one among them."""
    start = max(0, chosen - limit + 1)
    return range(start, min(count, start + limit))
