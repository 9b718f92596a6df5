"""mean over output positions instead of the sum"""

from math import prod

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Forms, Scene, WrongResult


class SpatiallyAveraged(WrongResult):
    code = "CC121"
    name = "spatially-averaged"
    explanation = "The gradient is divided by the number of output positions; it must be their sum."
    why = "np.mean over the spatial axes for np.sum."
    fix = "Sum over the output positions: grad_output.sum(axis=(0, 2, 3)) in two dimensions."
    shows_on = "more than one output position"
    gradients = ("weight", "bias")
    transposed = True

    def results(self, scene: Scene, gradient: str, result: Array) -> Forms:
        yield "", result / prod(scene.layer.output)
