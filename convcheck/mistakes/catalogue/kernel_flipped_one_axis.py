"""the kernel is rotated along one axis only"""

from itertools import combinations

import numpy as np

from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays


class KernelFlippedOneAxis(WrongArrays):
    code = "CC102"
    name = "kernel-flipped-one-axis"
    explanation = (
        "The input gradient is made with a kernel that is reversed along some spatial axes and not along all of them."
    )
    why = "np.flip(w, axis=-1), w[..., ::-1] and np.fliplr reverse one axis; a rotation by 180 degrees reverses all."
    fix = "Reverse the kernel along every spatial axis: np.flip(w, axis=(-2, -1)) in two dimensions."
    shows_on = "kernels with more than one tap along an axis that is not reversed"
    gradients = ("input",)
    least_axes = 2

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        """Flip back every proper part of the axes."""
        for count in range(1, len(scene.sites)):
            for kept in combinations(scene.sites, count):
                reversed_axes = " and ".join(str(axis - 2) for axis in scene.sites if axis not in kept)
                variant = f"reversed along spatial axis {reversed_axes} only"
                yield variant, scene.with_arrays(weight=np.flip(scene.weight, kept))
