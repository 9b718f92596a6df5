"""grad_weight or grad_bias of one sample instead of the batch's sum"""

import numpy as np

from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays


class LastSampleOnly(WrongArrays):
    code = "CC119"
    name = "last-sample-only"
    explanation = "The gradient is that of a single sample; it must be the sum over the batch."
    why = "An assignment in the loop over the samples, where each must add to the sum."
    fix = "Add up the gradients of all samples: grad_weight += ... inside the loop over the batch."
    shows_on = "batches of more than one sample"
    gradients = ("weight", "bias")
    transposed = True

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        for variant, kept in (("the last sample", -1), ("the first sample", 0)):
            alone = np.zeros_like(scene.grad_output)
            alone[kept] = scene.grad_output[kept]
            yield variant, scene.with_arrays(grad_output=alone)
