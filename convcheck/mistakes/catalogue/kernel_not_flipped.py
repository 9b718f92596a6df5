"""grad_input uses the kernel the wrong way round"""

import numpy as np

from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays


class KernelNotFlipped(WrongArrays):
    code = "CC101"
    name = "kernel-not-flipped"
    explanation = "The input gradient is made with the kernel the wrong way round: turned by 180 degrees."
    why = (
        "The forward pass of every framework is a correlation; its adjoint is a convolution, and the flip is what "
        "tells the two apart."
    )
    fix = (
        "Correlating the padded grad_output needs the kernel reversed along every spatial axis, W[..., ::-1, ::-1] in "
        "two dimensions; adding W times grad_output to each window, or folding columns back, needs it as it is."
    )
    fix_transposed = "Use the kernel as it is in all of the backward pass: the flip is the forward pass's, here."
    shows_on = "kernels with more than one tap that are not symmetric"
    gradients = ("input",)
    transposed = True

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        """Flip the kernel, so that the flip of the right backward pass undoes it."""
        yield "", scene.with_arrays(weight=np.flip(scene.weight, scene.sites))
