"""How many windows read each input entry: how many terms an entry of dL/dX sums."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import LIMITS, Panel, Story, near
from convcheck.explain.pictures.roles import PLAIN, TWIN
from convcheck.explain.pictures.selection import Selection, readers
from convcheck.explain.pictures.window import input_kinds
from convcheck.gradients.unfold import fold
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.wording import counted

#: Counts are short, so more of them fit than of other values.
_LIMIT = 18


def story(layer: Layer, chosen: Selection) -> Story:
    """Tell where windows overlap: how many terms each entry of dL/dX adds up; of a transposed layer, of O."""
    roles = PLAIN
    if layer.transposed:
        layer, chosen, roles = layer.twin, chosen.of_twin, TWIN
    counts, entry = window_counts(layer), chosen.place
    # Where samples are repeated, a window may read one more than once.
    unit = "reading" if layer.repeats_samples else "window" if roles is PLAIN else "entry"
    units = "entries" if unit == "entry" else f"{unit}s"
    least, most, unread = int(counts.min()), int(counts.max()), int((counts == 0).sum())
    everywhere = f"{counted(most, unit, units)} everywhere"
    lines = [f"{sizes.times(layer.input)}, " + (f"{least} to {most} {units}" if least != most else everywhere)]
    if unread:
        zero = (
            "read by no window, so the gradient is 0" if roles is PLAIN else "reached by none, so it is the bias alone"
        )
        lines.append(f"0: {zero} ({counted(unread, 'entry', 'entries')})")
    limits = [most if most == LIMITS[3][0] else max(most, _LIMIT) for most in LIMITS[counts.ndim]]
    title = "Windows that read each entry of X" if roles is PLAIN else "Entries of X that reach each entry of O"
    panel = Panel.of(
        "1", title, lines, counts, near(counts.shape, entry, limits),
        kinds=input_kinds(layer), scale=float(most) or 1.0, outlined=[entry],
    )  # fmt: skip
    name, outputs = sizes.at(entry), [output for output, _ in readers(layer, entry)]
    reads = np.zeros(layer.output)
    for output in outputs:
        reads[output] += 1
    holds = f"The entries of O whose windows hold X{name}" if roles is PLAIN else f"The entries of X that reach O{name}"
    read_by = Panel.of(
        "2", holds, [f"{'O' if roles is PLAIN else 'X'} is {sizes.times(layer.output)}"], reads,
        near(layer.output, chosen.output), scale=2.0 * reads.max(initial=1), outlined=outputs,
    )  # fmt: skip
    dots = {place: "•" * int(reads[place]) for place in np.ndindex(*reads.shape)}
    terms = f"{counted(len(outputs), unit, units)} × {counted(layer.filters_per_group, roles.filter)}"
    total = counted(len(outputs) * layer.filters_per_group, "term")
    intro = (
        "An input entry gets gradient from every window that read it. Where windows overlap, contributions add up; "
        "to assign instead of add loses all but the last."
    )
    if roles is TWIN:
        intro = (
            "An entry of O gets a part from every entry of X that reaches it. Where kernel and stride do not fit, some "
            "get more than others, in a pattern like a checkerboard."
        )
    return Story(
        name="overlap",
        title=f"Overlap: how many terms each entry of {roles.grad_input} adds up",
        intro=(intro,),
        panels=(replace(panel, counts=True), replace(read_by, texts=dots, counts=True)),
        example=(f"Outlined: {roles.grad_input}{name} has {terms} = {total} per sample.",),
    )


def window_counts(layer: Layer) -> Array:
    """How many windows read each input entry, shape (*input): a column of ones per window, folded back."""
    ones = np.ones((1, layer.groups, layer.channels_per_group * prod(layer.kernel), prod(layer.output)))
    counts: Array = fold(layer, ones)[0, 0]
    return counts
