"""The forward pass: a window of the input times the kernel, for every output; transposed, the kernel handed out."""

from __future__ import annotations

from convcheck.explain.pictures.panel import Story
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.pictures.sliding import InputGradient
from convcheck.explain.pictures.windowed import Windowed
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer


def story(layer: Layer, x: Array, weight: Array, bias: Array | None, chosen: Selection) -> Story:
    """Tell how an output comes about: the window that it reads, the kernel, the sum.

    Parameters
    ----------
    x : array, shape (N, C, *input)
    weight : array, shape (F, C/groups, *kernel), or of a transposed layer (C, F/groups, *kernel)
    bias : array, shape (F,), or None
    """
    if layer.transposed:
        slid = InputGradient.of(layer, weight, x, chosen, bias)
        return Story(
            name="forward",
            title="The forward pass: dilate and pad X, flip the kernel, slide",
            intro=(
                "Each entry of X is handed out to a window of O, times each tap; where windows overlap, they add up. "
                "So each output collects from every entry of X that reaches it, each through another tap: sliding the "
                "flipped kernel over the dilated and padded X does just that, as a plain layer does backward.",
            ),
            panels=slid.panels(),
            example=tuple(slid.example()),
        )
    made = Windowed.of(layer, x, weight, chosen, bias)
    first, *more = made.sums(chosen.output)
    copied = " What stands on the padding are copies of samples." if layer.repeats_samples else ""
    return Story(
        name="forward",
        title="The forward pass: each output is a window of X times the kernel",
        intro=(
            "The kernel is laid over the padded input as it is, not flipped; products of what lies on top of each "
            f"other are added up. The next output's window begins one stride further on.{copied}",
        ),
        panels=tuple(made.panels()),
        example=(f"Outlined: {first}.", *(f"{line}." for line in more)),
    )
