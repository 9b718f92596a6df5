"""The backward pass takes neighbouring samples for the windows."""

from __future__ import annotations

from collections.abc import Iterator

from convcheck.gradients import dilate_flip
from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene
from convcheck.mistakes.walks import gathered, scattered


class StrideIgnored(Mistake):
    """A backward pass that walks with stride 1."""

    code = "CC112"
    name = "stride-ignored"
    title = "a backward pass that walks with stride 1"
    explanation = "The backward pass places the windows side by side; they are as far apart as the stride says."
    why = "The stride is used in the forward loop, and the backward loop is written, or copied, without it."
    fix = "Start each window of the backward pass at i*s, as in the forward pass."
    shows_on = "strides above 1 with more than one output"
    gradients = ("input", "weight")

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Walk with stride 1."""
        ones = [1] * len(scene.layer.input)
        if gradient == "input":
            made = scattered(scene, stride=ones)
        else:
            made = gathered(scene, dilate_flip.padded_input(scene.layer, scene.x), stride=ones)
        if made is not None:
            yield Wrong("", made)
