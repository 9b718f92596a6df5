"""grad_input of one filter instead of the sum over all filters"""

import numpy as np

from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays


class LastFilterOnly(WrongArrays):
    code = "CC131"
    name = "last-filter-only"
    explanation = (
        "The input gradient is what a single filter passes back; every input sample feeds all filters, so they must "
        "add up."
    )
    why = "An assignment in the loop over the filters, where each must add to the sum."
    fix = "Add up what all filters pass back: grad_input += ... inside the loop over the filters."
    shows_on = "more than one filter (per group)"
    gradients = ("input",)
    transposed = True

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        layer = scene.layer
        for variant, kept in (("the last filter", -1), ("the first filter", 0)):
            alone = np.zeros_like(scene.grad_output)
            split = (layer.batch, layer.groups, layer.filters_per_group, *layer.output)
            alone.reshape(split)[:, :, kept] = scene.grad_output.reshape(split)[:, :, kept]
            yield variant, scene.with_arrays(grad_output=alone)
