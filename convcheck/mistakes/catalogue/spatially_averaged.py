"""A mean over the output positions stands for the sum."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import WrongResult
from convcheck.mistakes.scene import Scene


class SpatiallyAveraged(WrongResult):
    """Mean over output positions instead of the sum."""

    code = "CC121"
    name = "spatially-averaged"
    title = "mean over output positions instead of the sum"
    explanation = "The gradient is divided by the number of output positions; it must be their sum."
    why = "np.mean over the spatial axes for np.sum."
    fix = "Sum over the output positions: grad_output.sum(axis=(0, 2, 3)) in two dimensions."
    shows_on = "more than one output position"
    gradients = ("weight", "bias")

    def results(self, scene: Scene, gradient: str, result: Array) -> Iterator[tuple[str, Array]]:
        """Divide by the number of output positions."""
        yield "", result / prod(scene.layer.output)
