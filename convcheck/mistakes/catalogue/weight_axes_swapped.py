"""The gradient of the kernel has filters and channels exchanged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import WrongResult
from convcheck.mistakes.scene import Scene


class WeightAxesSwapped(WrongResult):
    """Grad_weight has filters and channels exchanged."""

    code = "CC117"
    name = "weight-axes-swapped"
    title = "grad_weight has filters and channels exchanged"
    explanation = "The first two axes of the weight gradient are exchanged: channels stand where filters belong."
    why = "The matrix product that makes grad_weight is written the other way round, X dL/dO^T for dL/dO X^T."
    fix = "Exchange the first two axes of grad_weight, so that its shape is that of the weight."
    shows_on = "more than one filter or channel; the shapes hide it where there are as many filters as channels"
    gradients = ("weight",)

    def results(self, scene: Scene, gradient: str, result: Array) -> Iterator[tuple[str, Array]]:
        """Exchange filters and channels; the shape is wrong where their numbers differ."""
        if result.ndim > 1:
            yield "", np.ascontiguousarray(result.swapaxes(0, 1))
