"""The gradient of the kernel comes out rotated."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import WrongResult
from convcheck.mistakes.scene import Scene


class WeightGradientFlipped(WrongResult):
    """Grad_weight is rotated by 180 degrees."""

    code = "CC115"
    name = "weight-gradient-flipped"
    title = "grad_weight is rotated by 180 degrees"
    explanation = "The weight gradient is reversed along every spatial axis."
    why = (
        "A library's convolve flips one of its arguments; grad_weight is a correlation of the padded input with "
        "grad_output, without a flip."
    )
    fix = "Do not flip anything for grad_weight: correlate the padded input with the dilated grad_output."
    shows_on = "kernels with more than one tap"
    gradients = ("weight",)

    def results(self, scene: Scene, gradient: str, result: Array) -> Iterator[tuple[str, Array]]:
        """Reverse every spatial axis."""
        yield "", np.flip(result, scene.sites)
