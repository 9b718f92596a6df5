"""entries are repeated s times instead of zeros inserted"""

import numpy as np

from convcheck.gradients import dilate_flip
from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.walks import correlated_input, correlated_weight, windowed


class GradientRepeated(Mistake):
    code = "CC105"
    name = "gradient-repeated"
    explanation = (
        "Going back through the stride, every sample of grad_output is repeated s times; it must stand once, with s - "
        "1 zeros behind it."
    )
    why = (
        "np.repeat, np.kron with ones and nearest-neighbour upsampling give the right size; they undo a mean or a "
        "copy, not a stride."
    )
    fix = "Write grad_output into an array of zeros in steps of the stride: dilated[..., ::s] = grad_output."
    shows_on = "strides above 1"
    gradients = ("input", "weight")

    def variants(self, scene: Scene, gradient: str) -> Forms:
        layer = scene.layer
        if max(layer.stride) == 1:
            return
        # Cut to the size that the dilated gradient may have at most.
        reach = [axis.dilated_size + axis.remainder for axis in layer.axes]
        repeated = scene.grad_output
        for axis, stride in zip(scene.sites, layer.stride, strict=True):
            repeated = np.repeat(repeated, stride, axis=axis)
        repeated = windowed(repeated, [0] * len(reach), reach)
        if gradient == "weight":
            yield "", correlated_weight(scene, dilate_flip.padded_input(layer, scene.x), repeated)
        else:
            padding = [(axis.full_padding[0], axis.full_padding[1] - axis.remainder) for axis in layer.axes]
            yield "", correlated_input(scene, repeated, padding)
