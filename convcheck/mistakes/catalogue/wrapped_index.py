"""Indices out of range wrap round to the far end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene
from convcheck.mistakes.walks import gathered, padded_by, read_back


class WrappedIndex(Mistake):
    """Negative indices wrap round to the far end."""

    code = "CC110"
    name = "wrapped-index"
    title = "negative indices wrap round to the far end"
    explanation = "Indices that point outside an array are read from its far end; they must be left out."
    why = "In Python, a[-1] is the last entry and not an error, and np.roll moves what falls off one end to the other."
    fix = "Skip every index outside 0..m-1; in Python check for i >= 0 explicitly, and pad instead of rolling."
    shows_on = "grad_input with more than one tap, grad_weight with padding"
    gradients = ("input", "weight")

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Wrap the negative indices, as Python does, or those at both ends, as rolling does."""
        axes = scene.layer.axes
        if gradient == "input":
            # Python refuses an index below -m.
            if all((axis.before - axis.effective_kernel + 1) // axis.stride >= -axis.output_size for axis in axes):
                yield Wrong("negative indices", read_back(scene, _negative))
            yield Wrong("both ends", read_back(scene, _circular))
            return
        rules = [("both ends", _circular)]
        if all(axis.before <= axis.size for axis in axes):
            rules.insert(0, ("negative indices", _negative))
        for variant, rule in rules:
            made = gathered(scene, padded_by(scene, rule))
            if made is not None:
                yield Wrong(variant, made)


def _negative(indices: NDArray[np.intp], size: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    return indices % size, indices < size


def _circular(indices: NDArray[np.intp], size: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    return indices % size, np.ones(len(indices), bool)
