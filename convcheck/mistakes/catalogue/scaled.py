"""everything times a constant"""

from collections.abc import Iterator

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.fields import DTYPES
from convcheck.mistakes.mistake import Forms, Scene, WrongResult
from convcheck.wording import compact


class Scaled(WrongResult):
    code = "CC123"
    name = "scaled"
    explanation = "Every entry is the right one times a constant."
    why = (
        "A factor of the loss, of a learning rate or of an average is applied in the layer, or a contribution is "
        "counted twice."
    )
    fix = "Remove the factor, or what is counted more than once."
    shows_on = "all layers"
    gradients = ("output", "input", "weight", "bias")
    transposed = True
    combines = False

    def results(self, scene: Scene, gradient: str, result: Array) -> Forms:
        yield "times 2", 2 * result
        yield "times 0.5", result / 2

    def recognized(self, scene: Scene, gradient: str, observed: Array) -> Iterator[str]:
        right = scene.answer(gradient)
        if observed.shape != right.shape or not right.any() or not np.isfinite(observed).all():
            return
        place = np.unravel_index(np.argmax(np.abs(right)), right.shape)
        factor = (observed[place] / right[place]).item()
        allowed = 16 * DTYPES[scene.layer.dtype].roundoff * np.abs(observed)
        close = np.abs(observed - factor * right) <= allowed
        # Times -1 is a mistake of its own.
        if factor not in (0, -1) and close.all():
            yield f"times {compact(factor, digits=6)}"
