"""How many windows read each input entry: how many terms an entry of dL/dX sums."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from convcheck.arrays import Array
from convcheck.formulations.unfold import fold
from convcheck.layer import Layer
from convcheck.maps import sizes
from convcheck.maps.common import at, axis_names, no_kinds
from convcheck.maps.panel import Index, Kind, Panel, Story
from convcheck.maps.window import cut, leading

__all__ = ["story", "window_counts"]

#: Counts are short, so more of them fit than of other values.
_LIMIT = 18


def window_counts(layer: Layer) -> Array:
    """How many windows read each input entry, shape (*input): a column of ones per window, folded back."""
    ones = np.ones((1, layer.groups, layer.channels_per_group * prod(layer.kernel), prod(layer.output)))
    return fold(layer, ones)[0, 0]


def story(layer: Layer) -> Story:
    """Tell where windows overlap."""
    counts = window_counts(layer)
    shown = leading(counts.shape, _LIMIT)
    part = cut(counts, shown)
    entry: Index = tuple(int(i) for i in np.unravel_index(np.argmax(part), part.shape))
    readers = [axis.readers(p + axis.before) for axis, p in zip(layer.axes, entry, strict=True)]
    outputs = frozenset(tuple(i for i, _ in pairs) for pairs in product(*readers))
    filters = layer.filters_per_group
    terms = f"{int(counts[entry])} {'window' if counts[entry] == 1 else 'windows'} × {filters} {'filter' if filters == 1 else 'filters'} = {int(counts[entry]) * filters}"
    unread = int((counts == 0).sum())
    note = [f"0: read by no window, so the gradient is 0 ({unread:,} entries)"] if unread else []
    origin = (0,) * part.ndim
    kinds = np.where(part == 0, Kind.UNREAD, Kind.VALUE).astype(np.int8)
    panel = Panel(
        "1", "Windows that read each entry of X", (f"{sizes.times(layer.input)}, {_range(counts)}", *note), part, kinds,
        axis_names(layer), origin, counts.shape, float(counts.max()) or 1.0, frozenset([entry]), counts=True,
    )  # fmt: skip
    return Story(
        name="overlap",
        title="Overlap: how many terms each entry of dL/dX adds up",
        intro=(
            "An input entry gets gradient from every window that read it. Where windows overlap, contributions add up; "
            "to assign instead of add loses all but the last.",
        ),
        panels=(panel, _output_panel(layer, outputs, at(entry))),
        example=(f"Outlined: dL/dX{at(entry)} has {terms} terms per sample.",),
    )


def _range(counts: Array) -> str:
    least, most = int(counts.min()), int(counts.max())
    return (
        f"{least} to {most} windows" if least != most else f"{most} {'window' if most == 1 else 'windows'} everywhere"
    )


def _output_panel(layer: Layer, outputs: frozenset[Index], name: str) -> Panel:
    reads = np.zeros(layer.output)
    for output in outputs:
        reads[output] = 1
    shown = leading(reads.shape)
    part = cut(reads, shown)
    texts = {place: "•" if part[place] else "" for place in np.ndindex(*part.shape)}
    return Panel(
        "2", f"The entries of O whose windows hold X{name}", (f"O is {sizes.times(layer.output)}",), part, no_kinds(part),
        axis_names(layer), (0,) * part.ndim, layer.output, 2.0, outputs, texts, counts=True,
    )  # fmt: skip
