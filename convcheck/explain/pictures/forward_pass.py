"""The forward pass: a window of the input times the kernel, for every output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Panel, Story, near, overview
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.pictures.window import input_panel
from convcheck.gradients.dilate_flip import correlate, padded_input
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer


def story(layer: Layer, x: Array, weight: Array, bias: Array | None, chosen: Selection) -> Story:
    """Tell how an output comes about: the window that it reads, the kernel, the sum.

    Parameters
    ----------
    x : array, shape (N, C, *input)
    weight : array, shape (F, C/groups, *kernel)
    bias : array, shape (F,), or None
    """
    n, f, output, depth = chosen.sample, chosen.filter, chosen.output, layer.channels_per_group
    first = f // layer.filters_per_group * depth
    padded = padded_input(layer, x[n : n + 1, first : first + depth])
    # Every channel for itself: each is a group with one channel and one filter.
    image, kernel = padded[:, :, np.newaxis], weight[f][:, np.newaxis, np.newaxis]
    parts: Array = correlate(image, kernel, layer.stride, layer.dilation)[0, :, 0]
    added = 0.0 if bias is None else float(bias[f])
    inside, values = chosen.channel - first, parts.sum(axis=0) + added

    window = list(np.ndindex(*layer.kernel))
    cells = {
        tap: tuple(axis.window(i)[a] for axis, i, a in zip(layer.axes, output, tap, strict=True)) for tap in window
    }
    under = input_panel(layer, padded[0, inside], chosen)
    under = replace(
        under, outlined=frozenset(cells.values() if max(layer.dilation) > 1 else ()),
        framed=((cells[window[0]], cells[window[-1]]),),
        lines=(*under.lines, f"the frame: the window of output {sizes.at(output)}"),
    )  # fmt: skip
    size = f"{sizes.times(layer.kernel)}, from channel {chosen.channel} to filter {f}"
    apart = [f"its taps are {sizes.times(layer.dilation)} apart (dilation)"] if max(layer.dilation) > 1 else []
    whole = f"O: sum over the {depth} channels" if depth > 1 else "O"
    whole += ", and the bias" if bias is not None else ""
    result = Panel.of(
        "3", whole, [sizes.times(layer.output), f"sample {n}, filter {f}"], values, near(layer.output, output),
        outlined=[output],
    )  # fmt: skip
    panels = [
        under, Panel.of("2", "W: the kernel", [size, *apart], weight[f, inside]), result
    ]  # fmt: skip
    if result.partial:
        panels.append(overview(result, values, "4", f"All of O, {sizes.times(layer.output)}"))
    factors = [(float(padded[(0, inside, *cells[tap])]), float(weight[(f, inside, *tap)])) for tap in window]
    name, part = f"O{sizes.at(output)}", sizes.number(float(parts[(inside, *output)]))
    products = f"{sizes.sum_text(factors)} = {part}"
    addends = [float(one[output]) for one in parts] + ([added] if bias is not None else [])
    example = [f"Outlined: channel {chosen.channel}'s part of {name} = {products}."]
    if len(addends) == 1:
        example = [f"Outlined: {name} = {products}."]
    else:
        which = f"channels {first} to {first + depth - 1}" if depth > 1 else f"channel {first}"
        which += " and the bias" if bias is not None else ""
        example.append(f"Added up over {which}: {name} = {sizes.parts_text(addends)}.")
    return Story(
        name="forward",
        title="The forward pass: each output is a window of X times the kernel",
        intro=(
            "The kernel is laid over the padded input as it is, not flipped; products of what lies on top of each "
            "other are added up. The next output's window begins one stride further on.",
        ),
        panels=tuple(panels),
        example=tuple(example),
    )
