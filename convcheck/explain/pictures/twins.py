"""A transposed layer beside the plain one of which it is the backward pass, and which is the backward pass of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Panel, Story, near, scale_of
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.pictures.window import on_padded, own_position
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.dilate_flip import padded_input
from convcheck.layer.arrays import Array
from convcheck.layer.fields import ZEROS
from convcheck.layer.layer import Layer


def story(layer: Layer, x: Array, weight: Array, grad_output: Array, chosen: Selection) -> Story:
    """Tell how a transposed layer and a plain one are each other's backward pass, each computed for itself.

    Parameters
    ----------
    x : array, shape (N, C, *input)
    weight : array, shape (F, C/groups, *kernel), or of a transposed layer (C, F/groups, *kernel)
    grad_output : array, shape (N, F, *output)
    """
    if layer.transposed:
        plain, turned = layer.twin, layer.alike(bias=False)
        small, large, chosen = x, grad_output, chosen.of_twin
    else:
        # What repeats samples is a layer of its own in front of a plain one.
        chosen = replace(chosen, place=own_position(layer, chosen.place)) if layer.repeats_samples else chosen
        small, large = grad_output, padded_input(layer, x) if layer.repeats_samples else x
        plain = on_padded(layer) if layer.repeats_samples else layer
        plain = plain.alike(bias=False)
        turned = transposed_twin(plain)
    run = formulation(FASTEST)
    results = (
        run.forward(turned, small, weight, None), run.backward(plain, large, weight, small).input,
        run.backward(turned, small, weight, large).input, run.forward(plain, large, weight, None),
    )  # fmt: skip
    n, c, f, output = chosen.sample, chosen.channel, chosen.filter, chosen.output
    # The window in the large map, as far as it is inside, and the entry of the small one.
    cells = [axis.source[i] for axis, i in zip(plain.axes, output, strict=True)]
    inside = [each[each >= 0] for each in cells]
    # A window may lie on padding alone.
    framed = all(each.size for each in inside)
    ends = [(int(each[0]), int(each[-1])) for each in inside] if framed else []
    frames = ((tuple(first for first, _ in ends), tuple(last for _, last in ends)),) if framed else ()

    def pair(number: str, titles: Sequence[str], first: Array, second: Array, *, grows: bool) -> list[Panel]:
        """Show what goes in and what comes out; the window is framed, and the entry outlined."""
        shown = near(plain.output, output), near(plain.input, chosen.place)
        maps = ((first, f, shown[0]), (second, c, shown[1])) if grows else ((first, c, shown[1]), (second, f, shown[0]))
        made = []
        for letter, title, (array, of, part) in zip("ab", titles, maps, strict=True):
            is_small = part is shown[0]
            word = "channel" if is_small == (number in "13") else "filter"
            panel = Panel.of(
                f"{number}{letter}", title, [f"{sizes.times(array.shape[2:])}, sample {n}, {word} {of}"],
                array[n, of], part, scale=scale_of(array[n, of]), outlined=[output] if is_small else [],
            )  # fmt: skip
            made.append(panel if is_small else replace(panel, framed=frames))
        return made

    small_size, large_size = sizes.times(plain.output), sizes.times(plain.input)
    value, back = (sizes.number(float(array[(n, f, *output)])) for array in results[2:])
    return Story(
        name="twins",
        title="Transposed and plain: each is the other's backward pass",
        intro=(
            f"Both have the same W. The plain layer takes {large_size} to {small_size}, the transposed one the other "
            "way. Above, what the transposed layer does forward is what the plain one does backward: an entry is "
            "handed out to a window. Below, the other way round: a window is read. Each of 1 to 4 is computed by a "
            "layer of its own, without a bias.",
        ),
        panels=(
            *pair("1", ("Transposed, forward: X", "Transposed, forward: O"), small, results[0], grows=True),
            *pair("2", ("Plain, backward: dL/dO", "Plain, backward: dL/dX"), small, results[1], grows=True),
            *pair("3", ("Transposed, backward: dL/dO", "Transposed, backward: dL/dX"), large, results[2], grows=False),
            *pair("4", ("Plain, forward: X", "Plain, forward: O"), large, results[3], grows=False),
        ),
        example=(
            f"Outlined: entry {sizes.at(output)} of the small map; framed: its window in the large one, without "
            "padding. Above it is handed out to the window. Below it is made of the window: "
            f"dL/dX{sizes.at(output)} of the transposed layer is {value}, and O{sizes.at(output)} of the plain one "
            f"{back}.",
        ),
        trivial=not layer.transposed,
    )  # fmt: skip


def transposed_twin(plain: Layer) -> Layer:
    """Return the transposed layer of which a plain one, whose padding repeats no samples, is the twin."""
    return replace(
        plain, channels=plain.filters, filters=plain.channels, input=plain.output, transposed=True, padding_mode=ZEROS,
        output_padding=tuple(axis.remainder for axis in plain.axes),
    )  # fmt: skip
