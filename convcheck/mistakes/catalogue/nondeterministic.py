"""Two equal calls differ."""

from __future__ import annotations

from collections.abc import Iterator

from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene


class Nondeterministic(Mistake):
    """Two equal calls differ."""

    code = "CC128"
    name = "nondeterministic"
    title = "two equal calls differ"
    explanation = "Two calls with equal arguments return different values."
    why = (
        "Uninitialized memory (np.empty), a random generator, a race between threads, or state kept from an earlier "
        "call."
    )
    fix = "Initialize every array, and let the result depend on the arguments alone."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    behaviour = "forward and backward are called twice with equal arguments, and the results are compared"

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Nothing: no particular array betrays it."""
        yield from ()
