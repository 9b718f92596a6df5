"""Everything is times a constant."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import WrongResult
from convcheck.mistakes.scene import Scene


class Scaled(WrongResult):
    """Everything times a constant."""

    code = "CC123"
    name = "scaled"
    title = "everything times a constant"
    explanation = "The gradient is a constant multiple of the right one."
    why = (
        "A factor of the loss, of a learning rate or of an average is applied in the layer, or a contribution is "
        "counted twice."
    )
    fix = "Remove the factor from the backward pass."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    combines = False

    def results(self, scene: Scene, gradient: str, result: Array) -> Iterator[tuple[str, Array]]:
        """Double and halve."""
        yield "times 2", 2 * result
        yield "times 0.5", result / 2

    def recognizes(self, scene: Scene, gradient: str, observed: Array) -> str | None:
        """Find any other factor."""
        right = scene.answer(gradient)
        if observed.shape != right.shape or not right.any() or not np.isfinite(observed).all():
            return None
        place = np.unravel_index(np.argmax(np.abs(right)), right.shape)
        factor = float(observed[place]) / float(right[place])
        allowed = 8 * np.finfo(scene.layer.dtype).eps * np.abs(observed)
        close = np.abs(observed - factor * right) <= allowed
        return f"times {factor:.6g}" if factor and close.all() else None
