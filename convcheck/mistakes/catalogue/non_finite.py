"""NaN or infinity"""

from collections.abc import Iterator

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Forms, Scene, WrongResult


class NonFinite(WrongResult):
    code = "CC129"
    name = "non-finite"
    explanation = "The gradient has entries that are NaN or infinite."
    why = "Uninitialized memory, a division by zero, or an overflow in a narrow type."
    fix = "Find the first operation that gives a value that is not finite; on small integers no right one does."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    transposed = True
    combines = False

    def results(self, scene: Scene, gradient: str, result: Array) -> Forms:
        for variant, value in (("NaN", np.nan), ("infinity", np.inf)):
            spoiled = result.copy()
            spoiled.flat[-1] = value
            yield variant, spoiled

    def recognized(self, scene: Scene, gradient: str, observed: Array) -> Iterator[str]:
        if not np.isfinite(observed).all():
            yield "NaN" if np.isnan(observed).any() else "infinity"
