"""The gradient of the kernel is made from the input without its padding."""

from __future__ import annotations

from collections.abc import Iterator

from convcheck.gradients import dilate_flip
from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene
from convcheck.mistakes.walks import correlated_weight, gathered


class InputNotPadded(Mistake):
    """Grad_weight is computed from the unpadded input."""

    code = "CC116"
    name = "input-not-padded"
    title = "grad_weight is computed from the unpadded input"
    explanation = "The weight gradient reads the input as it came; the windows lie on the padded input."
    why = "The forward pass pads a copy and keeps the original for the backward pass."
    fix = "Keep the padded input for the backward pass, or pad it again."
    shows_on = "layers with padding in front"
    gradients = ("weight",)

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Correlate the bare input, with all taps where they fit and else with as many as fit."""
        if not any(axis.before or axis.after for axis in scene.layer.axes):
            return
        made = gathered(scene, scene.x)
        if made is not None:
            yield Wrong("all taps fit", made)
            return
        fewer = correlated_weight(scene, scene.x, dilate_flip.dilated_gradient(scene.layer, scene.grad_output))
        if fewer is not None:
            yield Wrong("grad_weight too small", fewer)
