"""The arguments are written to."""

from __future__ import annotations

from collections.abc import Iterator

from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene


class InputsModified(Mistake):
    """Forward or backward writes into its arguments."""

    code = "CC127"
    name = "inputs-modified"
    title = "forward or backward writes into its arguments"
    explanation = "An argument has other values after the call than before."
    why = "In-place operators (x += b, out=x) on an array that belongs to the caller."
    fix = "Copy an argument before changing it, or write the result into a new array."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    behaviour = "the arguments are compared with copies taken before the call"

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Nothing: no particular array betrays it."""
        yield from ()
