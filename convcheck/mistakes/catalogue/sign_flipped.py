"""Everything is times -1."""

from __future__ import annotations

from collections.abc import Iterator

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import WrongResult
from convcheck.mistakes.scene import Scene


class SignFlipped(WrongResult):
    """Everything times -1."""

    code = "CC122"
    name = "sign-flipped"
    title = "everything times -1"
    explanation = "The gradient has the wrong sign everywhere."
    why = "A gradient of the loss is confused with the step that descends along it."
    fix = "Return the gradient itself; the minus sign belongs to the optimizer."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")

    def results(self, scene: Scene, gradient: str, result: Array) -> Iterator[tuple[str, Array]]:
        """Negate."""
        yield "", -result
