"""The gradient is all zeros."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import WrongResult
from convcheck.mistakes.scene import Scene


class ZeroGradient(WrongResult):
    """All zeros, or missing."""

    code = "CC124"
    name = "zero-gradient"
    title = "all zeros, or missing"
    explanation = "The gradient is zero everywhere."
    why = "It was never computed, it was computed into another array, or the graph was cut by a detach."
    fix = "Compute it, and return the array into which it was computed."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    combines = False

    def results(self, scene: Scene, gradient: str, result: Array) -> Iterator[tuple[str, Array]]:
        """Return nothing but zeros."""
        yield "", np.zeros_like(result)
