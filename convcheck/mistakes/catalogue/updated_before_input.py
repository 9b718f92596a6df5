"""grad_input is made with weights that backward has just updated"""

from collections.abc import Iterator

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.fields import DTYPES
from convcheck.mistakes.mistake import Forms, Mistake, Scene

#: Learning rates that stand in code; any other is found by a rule.
_RATES = (1.0, 0.5, 0.1, 0.01, 0.001)


class UpdatedBeforeInput(Mistake):
    code = "CC140"
    name = "updated-before-input"
    explanation = "The input gradient is made with the weight after its update; the forward pass used the one before."
    why = "self.weight -= lr * grad_weight stands above the line that makes grad_input."
    fix = "Compute grad_input first and update the weight last, or leave the update to an optimizer."
    shows_on = "all layers on which a weight gradient is not zero"
    gradients = ("input",)
    transposed = repeated = True
    combines = False

    def variants(self, scene: Scene, gradient: str) -> Forms:
        right, change = scene.answer("input"), _per_rate(scene)
        for rate in _RATES:
            yield f"learning rate {rate:g}", right - rate * change

    def recognized(self, scene: Scene, gradient: str, observed: Array) -> Iterator[str]:
        """The gradient is linear in the weight, so that any rate can be read off."""
        right, change = scene.answer("input"), _per_rate(scene)
        if observed.shape != right.shape or not change.any() or not np.isfinite(observed).all():
            return
        place = np.unravel_index(np.argmax(np.abs(change)), change.shape)
        rate = float(np.real((right[place] - observed[place]) / change[place]))
        # As many additions as a sum over filters and taps has, of the weight and of its update.
        terms = 2 * (scene.weight.size + scene.grad_output.size)
        size = float(np.abs(right).max() + abs(rate) * np.abs(change).max())
        allowed = terms * DTYPES[scene.layer.dtype].roundoff * size
        if rate and (np.abs(observed - (right - rate * change)) <= allowed).all():
            yield f"learning rate {rate:.3g}"


def _per_rate(scene: Scene) -> Array:
    """What an update with a learning rate of 1 takes from the input gradient."""
    return scene.with_arrays(weight=scene.answer("weight").conj()).answer("input")
