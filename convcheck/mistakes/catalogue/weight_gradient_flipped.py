"""grad_weight is rotated by 180 degrees"""

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Forms, Scene, WrongResult


class WeightGradientFlipped(WrongResult):
    code = "CC115"
    name = "weight-gradient-flipped"
    explanation = "The weight gradient is reversed along every spatial axis."
    why = (
        "A library's convolve flips one of its arguments; grad_weight is a correlation of the padded input with "
        "grad_output, without a flip."
    )
    fix = (
        "Flip neither the operands nor the result: correlate the padded input with the dilated grad_output, with "
        "scipy.signal.correlate and not with convolve."
    )
    shows_on = "kernels with more than one tap"
    gradients = ("weight",)
    transposed = True

    def results(self, scene: Scene, gradient: str, result: Array) -> Forms:
        yield "", np.flip(result, scene.sites)
