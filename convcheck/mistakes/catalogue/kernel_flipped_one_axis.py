"""the kernel is reversed along some axes and not along the others"""

import numpy as np

from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays
from convcheck.mistakes.parts import parts


class KernelFlippedOneAxis(WrongArrays):
    code = "CC102"
    name = "kernel-flipped-one-axis"
    explanation = "The input gradient is made with a kernel that is the wrong way round along some spatial axes."
    why = "np.flip(w, axis=-1), w[..., ::-1] and np.fliplr reverse one axis; a rotation by 180 degrees reverses all."
    fix = (
        "Treat all spatial axes alike: for a correlation with the padded grad_output reverse the kernel along every "
        "one, np.flip(w, axis=(-2, -1)) in two dimensions; for adding W times grad_output to each window, along none."
    )
    fix_transposed = "Leave the kernel as it is along every spatial axis: here it is the forward pass that flips it."
    shows_on = "kernels with more than one tap along at least two axes"
    gradients = ("input",)
    transposed = True
    least_axes = 2

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        """Flip back every proper part of the axes."""
        for words, axes in parts(scene.layer, lambda axis: axis.kernel > 1):
            if words:
                flipped = np.flip(scene.weight, tuple(axis + 2 for axis in axes))
                yield f"the wrong way round {words}", scene.with_arrays(weight=flipped)
