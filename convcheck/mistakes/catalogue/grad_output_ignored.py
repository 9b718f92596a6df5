"""The upstream gradient is not multiplied in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convcheck.mistakes.mistake import WrongArrays
from convcheck.mistakes.scene import Scene


class GradOutputIgnored(WrongArrays):
    """The upstream gradient is not multiplied in."""

    code = "CC125"
    name = "grad-output-ignored"
    title = "the upstream gradient is not multiplied in"
    explanation = "The gradient is that of the sum of the outputs: grad_output is taken to be all ones."
    why = "The backward pass was derived for a layer that is the last one, and tested with a loss that is a sum."
    fix = "Multiply by grad_output (the chain rule) before summing."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")

    def scenes(self, scene: Scene, gradient: str) -> Iterator[tuple[str, Scene]]:
        """Set dL/dO to one."""
        yield "", scene.with_arrays(grad_output=np.ones_like(scene.grad_output))
