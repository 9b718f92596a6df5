"""all zeros, or missing"""

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Forms, Scene, WrongResult


class ZeroGradient(WrongResult):
    code = "CC124"
    name = "zero-gradient"
    explanation = "The gradient is zero everywhere."
    why = "It was never computed, it was computed into another array, or the graph was cut by a detach."
    fix = "Compute it, and return the array into which it was computed."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    transposed = True
    combines = False

    def results(self, scene: Scene, gradient: str, result: Array) -> Forms:
        yield "", np.zeros_like(result)
