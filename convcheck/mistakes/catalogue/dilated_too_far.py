"""grad_output is dilated a step too far"""

from collections.abc import Sequence

import numpy as np

from convcheck.gradients import dilate_flip
from convcheck.layer.arrays import Array, at_sites
from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.walks import correlated_input, correlated_weight, windowed


class DilatedTooFar(Mistake):
    code = "CC137"
    name = "dilated-too-far"
    explanation = (
        "There are more zeros in the dilated grad_output than the s - 1 between two samples, so the gradient is a size "
        "off."
    )
    why = "m samples have m - 1 gaps, of s - 1 zeros each: (m - 1)s + 1 in all, where m*s comes to mind first."
    fix = "Dilate to (m - 1)s + 1 samples on each axis, dilated[..., ::s] = grad_output, with none behind the last one."
    shows_on = "more than one output; zeros behind the last sample need a stride above 1"
    gradients = ("input", "weight")

    def variants(self, scene: Scene, gradient: str) -> Forms:
        layer = scene.layer
        usual = [axis.full_padding for axis in layer.axes]
        short = [(front, behind - axis.remainder) for axis, (front, behind) in zip(layer.axes, usual, strict=True)]
        wide = _spread(scene, [axis.stride + 1 for axis in layer.axes])
        long = windowed(
            dilate_flip.dilated_gradient(layer, scene.grad_output),
            [0] * len(usual),
            [axis.output_size * axis.stride for axis in layer.axes],
        )
        between, behind = "s zeros between the samples", "s - 1 zeros behind the last sample too"
        if gradient == "input":
            yield between, correlated_input(scene, wide, usual)
            yield behind, correlated_input(scene, long, usual)
            yield f"{behind}, none for the remainder", correlated_input(scene, long, short)
        else:
            padded = dilate_flip.padded_input(layer, scene.x)
            reached = padded[at_sites(slice(axis.padded_size - axis.remainder) for axis in layer.axes)]
            yield between, correlated_weight(scene, reached, wide)
            yield behind, correlated_weight(scene, reached, long)
            yield f"{behind}, the remainder not cut off", correlated_weight(scene, padded, long)


def _spread(scene: Scene, steps: Sequence[int]) -> Array:
    """dL/dO with its samples so many steps apart."""
    sizes = [(m - 1) * step + 1 for m, step in zip(scene.layer.output, steps, strict=True)]
    spread = np.zeros((*scene.grad_output.shape[:2], *sizes), scene.grad_output.dtype)
    spread[at_sites(slice(None, None, step) for step in steps)] = scene.grad_output
    return spread
