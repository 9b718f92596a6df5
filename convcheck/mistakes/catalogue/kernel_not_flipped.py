"""The kernel is used as it is where it must be rotated."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convcheck.mistakes.mistake import WrongArrays
from convcheck.mistakes.scene import Scene


class KernelNotFlipped(WrongArrays):
    """Grad_input uses the kernel unrotated."""

    code = "CC101"
    name = "kernel-not-flipped"
    title = "grad_input uses the kernel unrotated"
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

    def scenes(self, scene: Scene, gradient: str) -> Iterator[tuple[str, Scene]]:
        """Flip the kernel, so that the flip of the right backward pass undoes it."""
        yield "", scene.with_arrays(weight=np.flip(scene.weight, scene.sites))
