"""How many windows read each input entry: how many terms an entry of dL/dX sums."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import prod

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.common import at, axis_names, no_kinds
from convcheck.explain.pictures.panel import Index, Kind, Panel, Story
from convcheck.explain.pictures.window import cut, leading
from convcheck.gradients.unfold import fold
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.wording import counted

#: Counts are short, so more of them fit than of other values.
_LIMIT = 18


def window_counts(layer: Layer) -> Array:
    """How many windows read each input entry, shape (*input): a column of ones per window, folded back."""
    ones = np.ones((1, layer.groups, layer.channels_per_group * prod(layer.kernel), prod(layer.output)))
    counts: Array = fold(layer, ones)[0, 0]
    return counts


def story(layer: Layer) -> Story:
    """Tell where windows overlap."""
    counts = window_counts(layer)
    panel = _count_panel(layer, counts)
    entry: Index = tuple(int(i) for i in np.unravel_index(np.argmax(panel.values), panel.values.shape))
    readers = [axis.readers(p + axis.before) for axis, p in zip(layer.axes, entry, strict=True)]
    outputs = frozenset(tuple(i for i, _ in pairs) for pairs in product(*readers))
    terms = f"{counted(len(outputs), 'window')} × {counted(layer.filters_per_group, 'filter')}"
    total = counted(len(outputs) * layer.filters_per_group, "term")
    return Story(
        name="overlap",
        title="Overlap: how many terms each entry of dL/dX adds up",
        intro=(
            "An input entry gets gradient from every window that read it. Where windows overlap, contributions add up; "
            "to assign instead of add loses all but the last.",
        ),
        panels=(replace(panel, outlined=frozenset([entry])), _output_panel(layer, outputs, at(entry))),
        example=(f"Outlined: dL/dX{at(entry)} has {terms} = {total} per sample.",),
    )


def _count_panel(layer: Layer, counts: Array) -> Panel:
    part = cut(counts, leading(counts.shape, _LIMIT))
    unread = int((counts == 0).sum())
    lines = [f"{sizes.times(layer.input)}, {_range(counts)}"]
    if unread:
        lines.append(f"0: read by no window, so the gradient is 0 ({counted(unread, 'entry', 'entries')})")
    return Panel(
        number="1",
        title="Windows that read each entry of X",
        lines=tuple(lines),
        values=part,
        kinds=np.where(part == 0, Kind.UNREAD, Kind.VALUE).astype(np.int8),
        names=axis_names(layer),
        start=(0,) * part.ndim,
        shape=counts.shape,
        scale=float(counts.max()) or 1.0,
        counts=True,
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
    part = cut(reads, leading(reads.shape))
    return Panel(
        number="2",
        title=f"The entries of O whose windows hold X{name}",
        lines=(f"O is {sizes.times(layer.output)}",),
        values=part,
        kinds=no_kinds(part),
        names=axis_names(layer),
        start=(0,) * part.ndim,
        shape=layer.output,
        scale=2.0,
        outlined=outputs,
        texts={place: "•" if part[place] else "" for place in np.ndindex(*part.shape)},
        counts=True,
    )
