"""How many windows read each input entry: how many terms an entry of dL/dX sums."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Index, Kind, Panel, Story, leading
from convcheck.explain.pictures.window import readers
from convcheck.gradients.unfold import fold
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.wording import counted

#: Counts are short, so more of them fit than of other values.
_LIMIT = 18


def story(layer: Layer) -> Story:
    """Tell where windows overlap: how many terms each entry of dL/dX adds up."""
    counts = window_counts(layer)
    least, most, unread = int(counts.min()), int(counts.max()), int((counts == 0).sum())
    everywhere = f"{most} {'window' if most == 1 else 'windows'} everywhere"
    lines = [f"{sizes.times(layer.input)}, " + (f"{least} to {most} windows" if least != most else everywhere)]
    if unread:
        lines.append(f"0: read by no window, so the gradient is 0 ({counted(unread, 'entry', 'entries')})")
    panel = Panel.of(
        "1", "Windows that read each entry of X", lines, counts, leading(counts.shape, _LIMIT),
        kinds=np.where(counts == 0, Kind.UNREAD, Kind.VALUE).astype(np.int8), scale=float(most) or 1.0,
    )  # fmt: skip
    entry: Index = tuple(int(i) for i in np.unravel_index(np.argmax(panel.values), panel.values.shape))
    name, outputs = sizes.at(entry), [output for output, _ in readers(layer, entry)]
    reads = np.zeros(layer.output)
    for output in outputs:
        reads[output] = 1
    read_by = Panel.of(
        "2", f"The entries of O whose windows hold X{name}", [f"O is {sizes.times(layer.output)}"], reads,
        scale=2.0, outlined=outputs,
    )  # fmt: skip
    dots = {place: "•" if read_by.values[place] else "" for place in np.ndindex(*read_by.values.shape)}
    terms = f"{counted(len(outputs), 'window')} × {counted(layer.filters_per_group, 'filter')}"
    total = counted(len(outputs) * layer.filters_per_group, "term")
    return Story(
        name="overlap",
        title="Overlap: how many terms each entry of dL/dX adds up",
        intro=(
            "An input entry gets gradient from every window that read it. Where windows overlap, contributions add up; "
            "to assign instead of add loses all but the last.",
        ),
        panels=(
            replace(panel, outlined=frozenset([entry]), counts=True),
            replace(read_by, texts=dots, counts=True),
        ),
        example=(f"Outlined: dL/dX{name} has {terms} = {total} per sample.",),
    )


def window_counts(layer: Layer) -> Array:
    """How many windows read each input entry, shape (*input): a column of ones per window, folded back."""
    ones = np.ones((1, layer.groups, layer.channels_per_group * prod(layer.kernel), prod(layer.output)))
    counts: Array = fold(layer, ones)[0, 0]
    return counts
