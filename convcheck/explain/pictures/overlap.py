"""How many windows read each input entry: how many terms an entry of dL/dX sums."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import LIMITS, Panel, Story, near
from convcheck.explain.pictures.selection import Selection, readers
from convcheck.explain.pictures.window import input_kinds
from convcheck.gradients.unfold import fold
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.wording import counted

#: Counts are short, so more of them fit than of other values.
_LIMIT = 18


def story(layer: Layer, chosen: Selection) -> Story:
    """Tell where windows overlap: how many terms each entry of dL/dX adds up."""
    counts, entry = window_counts(layer), chosen.place
    least, most, unread = int(counts.min()), int(counts.max()), int((counts == 0).sum())
    everywhere = f"{most} {'window' if most == 1 else 'windows'} everywhere"
    lines = [f"{sizes.times(layer.input)}, " + (f"{least} to {most} windows" if least != most else everywhere)]
    if unread:
        lines.append(f"0: read by no window, so the gradient is 0 ({counted(unread, 'entry', 'entries')})")
    limits = [most if most == LIMITS[3][0] else max(most, _LIMIT) for most in LIMITS[counts.ndim]]
    panel = Panel.of(
        "1", "Windows that read each entry of X", lines, counts, near(counts.shape, entry, limits),
        kinds=input_kinds(layer), scale=float(most) or 1.0, outlined=[entry],
    )  # fmt: skip
    name, outputs = sizes.at(entry), [output for output, _ in readers(layer, entry)]
    reads = np.zeros(layer.output)
    for output in outputs:
        reads[output] = 1
    read_by = Panel.of(
        "2", f"The entries of O whose windows hold X{name}", [f"O is {sizes.times(layer.output)}"], reads,
        near(layer.output, chosen.output), scale=2.0, outlined=outputs,
    )  # fmt: skip
    dots = {place: "•" if reads[place] else "" for place in np.ndindex(*reads.shape)}
    terms = f"{counted(len(outputs), 'window')} × {counted(layer.filters_per_group, 'filter')}"
    total = counted(len(outputs) * layer.filters_per_group, "term")
    return Story(
        name="overlap",
        title="Overlap: how many terms each entry of dL/dX adds up",
        intro=(
            "An input entry gets gradient from every window that read it. Where windows overlap, contributions add up; "
            "to assign instead of add loses all but the last.",
        ),
        panels=(replace(panel, counts=True), replace(read_by, texts=dots, counts=True)),
        example=(f"Outlined: dL/dX{name} has {terms} = {total} per sample.",),
    )


def window_counts(layer: Layer) -> Array:
    """How many windows read each input entry, shape (*input): a column of ones per window, folded back."""
    ones = np.ones((1, layer.groups, layer.channels_per_group * prod(layer.kernel), prod(layer.output)))
    counts: Array = fold(layer, ones)[0, 0]
    return counts
