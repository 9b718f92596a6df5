"""The backward pass takes neighbouring samples for the taps."""

from __future__ import annotations

from collections.abc import Iterator

from convcheck.gradients import dilate_flip
from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene
from convcheck.mistakes.walks import gathered, scattered


class DilationIgnored(Mistake):
    """The kernel's dilation is missing in the backward pass."""

    code = "CC111"
    name = "dilation-ignored"
    title = "the kernel's dilation is missing in the backward pass"
    explanation = "The backward pass places the taps side by side; they are as far apart as the dilation says."
    why = (
        "Dilation is added to a forward pass later, and its backward pass is forgotten; gradients of the stride and "
        "of the dilation are easily confused."
    )
    fix = "Step by the dilation between the taps in the backward pass too: padded position i*s + a*d."
    shows_on = "dilations above 1 with more than one tap"
    gradients = ("input", "weight")

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Walk with dilation 1."""
        ones = [1] * len(scene.layer.input)
        if gradient == "input":
            made = scattered(scene, dilation=ones)
        else:
            made = gathered(scene, dilate_flip.padded_input(scene.layer, scene.x), dilation=ones)
        if made is not None:
            yield Wrong("", made)
