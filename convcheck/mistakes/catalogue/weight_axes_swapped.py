"""grad_weight has filters and channels exchanged"""

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Forms, Scene, WrongResult


class WeightAxesSwapped(WrongResult):
    code = "CC117"
    name = "weight-axes-swapped"
    explanation = "The first two axes of the weight gradient are exchanged: channels stand where filters belong."
    why = "The matrix product that makes grad_weight is written the other way round, X dL/dO^T for dL/dO X^T."
    fix = "Exchange the first two axes of grad_weight, so that its shape is that of the weight."
    shows_on = "more than one filter or channel; the shapes hide it where there are as many filters as channels"
    gradients = ("weight",)

    def results(self, scene: Scene, gradient: str, result: Array) -> Forms:
        """Exchange filters and channels; the shape is wrong where their numbers differ."""
        if result.ndim > 1:
            yield "", np.ascontiguousarray(result.swapaxes(0, 1))
