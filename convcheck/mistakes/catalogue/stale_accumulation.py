"""A second call adds to the first."""

from __future__ import annotations

from collections.abc import Iterator

from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene


class StaleAccumulation(Mistake):
    """A second call adds to the first."""

    code = "CC126"
    name = "stale-accumulation"
    title = "a second call adds to the first"
    explanation = "The second backward pass returns the sum of both: an array is added to and never set to zero."
    why = "Gradients are kept in an attribute and added to with +=, and nobody resets it between calls."
    fix = "Start every backward pass with new arrays of zeros, or reset the accumulated gradients before it."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    behaviour = "the backward pass is called twice with equal arguments, and the results are compared"

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """What an equal second call returns: twice the gradient."""
        yield Wrong("second call", 2 * scene.answer(gradient))
