"""dL/dX: dilate, pad, flip, slide; of a transposed layer, a window of dL/dO times the kernel."""

from __future__ import annotations

from convcheck.explain.pictures.panel import Story
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.pictures.sliding import InputGradient
from convcheck.explain.pictures.windowed import Windowed
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer


def story(layer: Layer, weight: Array, grad_output: Array, chosen: Selection) -> Story:
    """Tell how dL/dX comes about: dL/dO, dilated, padded, the flipped kernel, the result.

    Parameters
    ----------
    weight : array, shape (F, C/groups, *kernel), or of a transposed layer (C, F/groups, *kernel)
    grad_output : array, shape (N, F, *output)
    """
    if layer.transposed:
        made = Windowed.of(layer, grad_output, weight, chosen)
        first, *more = made.sums(chosen.place)
        return Story(
            name="input-gradient",
            title="The input gradient dL/dX: each entry is a window of dL/dO times the kernel",
            intro=(
                "Forward, an entry of X is handed out to a window of O, times each tap. Backward, it collects from the "
                "same window of dL/dO, through the same taps: the kernel is laid over dL/dO as it is, not flipped, and "
                "nothing is dilated. It is the forward pass of a plain layer.",
            ),
            panels=tuple(made.panels()),
            example=(f"Outlined: {first}.", *(f"{line}." for line in more)),
        )
    slid = InputGradient.of(layer, weight, grad_output, chosen)
    folded = (
        " That gives the gradient of the padded input. Its border holds copies of samples, so it is folded back: the "
        "gradient of each copy is added to that of its sample."
    )
    return Story(
        name="input-gradient",
        title="The input gradient dL/dX: dilate and pad dL/dO, flip the kernel, slide"
        + (", fold back" if layer.repeats_samples else ""),
        intro=(
            "Forward, each output is a window of the input times the kernel. Backward, each input entry collects from "
            "every output whose window it was in, each time through another tap: sliding the flipped kernel over the "
            f"dilated and padded dL/dO does just that.{folded if layer.repeats_samples else ''}",
        ),
        panels=slid.panels(),
        example=tuple(slid.example()),
    )
