"""the upstream gradient is not multiplied in"""

import numpy as np

from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays


class GradOutputIgnored(WrongArrays):
    code = "CC125"
    name = "grad-output-ignored"
    explanation = "The gradient is that of the sum of the outputs: grad_output is taken to be all ones."
    why = "The backward pass was derived for a layer that is the last one, and tested with a loss that is a sum."
    fix = "Multiply by grad_output (the chain rule) before summing."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    transposed = True

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        yield "", scene.with_arrays(grad_output=np.ones_like(scene.grad_output))
