"""NaN or infinity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import WrongResult
from convcheck.mistakes.scene import Scene


class NonFinite(WrongResult):
    """NaN or infinity."""

    code = "CC129"
    name = "non-finite"
    title = "NaN or infinity"
    explanation = "The gradient has entries that are NaN or infinite."
    why = "Uninitialized memory, a division by zero, or an overflow in a narrow type."
    fix = "Find the first operation that gives a value that is not finite; on small integers no right one does."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    combines = False

    def results(self, scene: Scene, gradient: str, result: Array) -> Iterator[tuple[str, Array]]:
        """Spoil one entry."""
        for variant, value in (("NaN", np.nan), ("infinity", np.inf)):
            spoiled = result.copy()
            spoiled.flat[-1] = value
            yield variant, spoiled

    def recognizes(self, scene: Scene, gradient: str, observed: Array) -> str | None:
        """Find any entry that is not finite."""
        if np.isfinite(observed).all():
            return None
        return "NaN" if np.isnan(observed).any() else "infinity"
