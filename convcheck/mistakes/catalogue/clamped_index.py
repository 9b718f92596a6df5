"""Indices out of range are moved to the edge."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene
from convcheck.mistakes.walks import gathered, padded_by, read_back


class ClampedIndex(Mistake):
    """Out-of-range indices are clamped instead of discarded."""

    code = "CC109"
    name = "clamped-index"
    title = "out-of-range indices are clamped instead of discarded"
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

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Clamp the indices below 0, or those on both sides."""
        for variant, rule in (("clamped to the first", _first), ("clamped to both ends", _both)):
            made = read_back(scene, rule) if gradient == "input" else gathered(scene, padded_by(scene, rule))
            if made is not None:
                yield Wrong(variant, made)


def _first(indices: NDArray[np.intp], size: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    return indices.clip(0, size - 1), indices < size


def _both(indices: NDArray[np.intp], size: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    return indices.clip(0, size - 1), np.ones(len(indices), bool)
