"""the forward pass flips the kernel: a true convolution"""

import numpy as np

from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays


class ForwardIsConvolution(WrongArrays):
    code = "CC130"
    name = "forward-is-convolution"
    explanation = (
        "The forward pass is a convolution in the mathematician's sense: it reverses the kernel, which frameworks do "
        "not."
    )
    why = "scipy.signal.convolve and np.convolve flip the kernel; every framework's convolution is a correlation."
    fix = (
        "Correlate with the kernel as it is: take out what reverses it, or call scipy.signal.correlate in place of "
        "convolve."
    )
    shows_on = "kernels with more than one tap that are not symmetric"
    gradients = ("output",)

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        yield "", scene.with_arrays(weight=np.flip(scene.weight, scene.sites))
