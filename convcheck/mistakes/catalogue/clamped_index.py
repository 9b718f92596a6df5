"""out-of-range indices are clamped instead of discarded"""

import numpy as np

from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.walks import Counts, Indices, ruled


class ClampedIndex(Mistake):
    code = "CC109"
    name = "clamped-index"
    explanation = (
        "Indices that point outside an array are moved to its edge, so the edge counts many times; they must be left "
        "out."
    )
    why = (
        "max(0, i) reads like a lower bound on a sum; used as the index itself it repeats entry 0 once for every "
        "index below it."
    )
    fix = "Skip every index outside 0..m-1, or read zeros there; never move it to the edge."
    shows_on = "grad_input with more than one tap, grad_weight with padding"
    gradients = ("input", "weight")
    transposed = True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        yield "clamped to the first", ruled(scene, gradient, _first)
        yield "clamped to both ends", ruled(scene, gradient, _both)


def _first(indices: Indices, size: int) -> tuple[Indices, Counts]:
    return indices.clip(0, size - 1), indices < size


def _both(indices: Indices, size: int) -> tuple[Indices, Counts]:
    return indices.clip(0, size - 1), np.ones(len(indices), bool)
