"""everything times a constant"""

from collections.abc import Iterator

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Forms, Scene, WrongResult


class Scaled(WrongResult):
    code = "CC123"
    name = "scaled"
    explanation = "The gradient is a constant multiple of the right one."
    why = (
        "A factor of the loss, of a learning rate or of an average is applied in the layer, or a contribution is "
        "counted twice."
    )
    fix = "Remove the factor from the backward pass."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    combines = False

    def results(self, scene: Scene, gradient: str, result: Array) -> Forms:
        yield "times 2", 2 * result
        yield "times 0.5", result / 2

    def recognized(self, scene: Scene, gradient: str, observed: Array) -> Iterator[str]:
        right = scene.answer(gradient)
        if observed.shape != right.shape or not right.any() or not np.isfinite(observed).all():
            return
        place = np.unravel_index(np.argmax(np.abs(right)), right.shape)
        factor = float(observed[place]) / float(right[place])
        allowed = 8 * np.finfo(scene.layer.dtype).eps * np.abs(observed)
        close = np.abs(observed - factor * right) <= allowed
        if factor and close.all():
            yield f"times {factor:.6g}"
