"""the loop over the outputs ends one too early"""

import numpy as np

from convcheck.layer.arrays import at_sites
from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays
from convcheck.mistakes.parts import mixed, parts, together


class LastOutputSkipped(WrongArrays):
    code = "CC132"
    name = "last-output-skipped"
    explanation = "The last output position along an axis passes nothing back."
    why = "range(m - 1) for range(m), or the output size computed with the rounding of another framework."
    fix = (
        "Let the backward loop run over exactly the outputs that the forward pass computed: (P - e) // s + 1 on each "
        "axis."
    )
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    transposed = True

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        everything = [slice(None)] * len(scene.sites)
        for variant, kept in (("the last position", slice(None, -1)), ("the first position", slice(1, None))):
            for words, axes in parts(scene.layer, lambda axis: True):
                inside = at_sites(mixed([kept] * len(scene.sites), everything, axes))
                partial = np.zeros_like(scene.grad_output)
                partial[inside] = scene.grad_output[inside]
                yield together(variant, words), scene.with_arrays(grad_output=partial)
