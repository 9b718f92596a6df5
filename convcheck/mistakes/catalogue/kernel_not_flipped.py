"""grad_input uses the kernel unrotated"""

import numpy as np

from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays


class KernelNotFlipped(WrongArrays):
    code = "CC101"
    name = "kernel-not-flipped"
    explanation = "The input gradient is made with the kernel as it is; it must be rotated by 180 degrees."
    why = (
        "The forward pass of every framework is a correlation; its adjoint is a convolution, and the flip is what "
        "tells the two apart."
    )
    fix = (
        "Reverse the kernel along every spatial axis before correlating it with the padded grad_output: W[..., ::-1, "
        "::-1] in two dimensions."
    )
    shows_on = "kernels with more than one tap that are not symmetric"
    gradients = ("input",)

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        """Flip the kernel, so that the flip of the right backward pass undoes it."""
        yield "", scene.with_arrays(weight=np.flip(scene.weight, scene.sites))
