"""grad_weight is computed from the unpadded input"""

from convcheck.gradients import dilate_flip
from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.walks import correlated_weight, gathered


class InputNotPadded(Mistake):
    code = "CC116"
    name = "input-not-padded"
    explanation = "The weight gradient reads the input as it came; the windows lie on the padded input."
    why = "The forward pass pads a copy and keeps the original for the backward pass."
    fix = "Keep the padded input for the backward pass, or pad it again."
    shows_on = "layers with padding in front"
    gradients = ("weight",)

    def variants(self, scene: Scene, gradient: str) -> Forms:
        """Correlate the bare input, with all taps where they fit and else with as many as fit."""
        if not any(axis.before or axis.after for axis in scene.layer.axes):
            return
        made = gathered(scene, scene.x)
        if made is not None:
            yield "all taps fit", made
        else:
            dilated = dilate_flip.dilated_gradient(scene.layer, scene.grad_output)
            yield "grad_weight too small", correlated_weight(scene, scene.x, dilated)
