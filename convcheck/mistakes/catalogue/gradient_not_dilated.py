"""The zeros between the samples of dL/dO are missing."""

from __future__ import annotations

from collections.abc import Iterator

from convcheck.gradients import dilate_flip
from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene
from convcheck.mistakes.walks import correlated_input, correlated_weight


class GradientNotDilated(Mistake):
    """Stride zeros are not inserted before convolving."""

    code = "CC104"
    name = "gradient-not-dilated"
    title = "stride zeros are not inserted before convolving"
    explanation = (
        "The backward pass correlates grad_output as it is; with a stride, s - 1 zeros belong between its samples."
    )
    why = "The rule for stride 1 (pad, flip, correlate) is applied to a layer with a stride."
    fix = "Insert s - 1 zeros between the samples of grad_output first: dilated[..., ::s] = grad_output."
    shows_on = "strides above 1 with more than one output"
    gradients = ("input", "weight")

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Correlate the undilated gradient, padded as if it were dilated, or up to the size of the input."""
        layer = scene.layer
        if max(layer.stride) == 1:
            return
        if gradient == "weight":
            taps = correlated_weight(scene, dilate_flip.padded_input(layer, scene.x), scene.grad_output)
            if taps is not None:
                yield Wrong("grad_weight as large as the undilated gradient leaves room for", taps)
            return
        usual = [axis.full_padding for axis in layer.axes]
        missing = [axis.dilated_size - axis.output_size for axis in layer.axes]
        centred = [
            (before + gap // 2, after + gap - gap // 2) for (before, after), gap in zip(usual, missing, strict=True)
        ]
        for variant, padding in (("grad_input too small", usual), ("zeros around instead of between", centred)):
            made = correlated_input(scene, scene.grad_output, padding)
            if made is not None:
                yield Wrong(variant, made)
