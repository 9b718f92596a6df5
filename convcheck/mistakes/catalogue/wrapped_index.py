"""negative indices wrap round to the far end"""

import numpy as np

from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.walks import Counts, Indices, ruled


class WrappedIndex(Mistake):
    code = "CC110"
    name = "wrapped-index"
    explanation = "Indices that point outside an array are read from its far end; they must be left out."
    why = "In Python, a[-1] is the last entry and not an error, and np.roll moves what falls off one end to the other."
    fix = "Skip every index outside 0..m-1; in Python check for i >= 0 explicitly, and pad instead of rolling."
    shows_on = "grad_input with more than one tap, grad_weight with padding"
    gradients = ("input", "weight")
    transposed = True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        """Wrap the negative indices, as Python does, or those at both ends, as rolling does."""
        # Python refuses an index below -m: of the outputs going back, of the input for the weight.
        if scene.layer.transposed:
            lowest = [(-axis.before, axis.output_size) for axis in scene.layer.axes]
        elif gradient == "input":
            lowest = [
                ((axis.before - axis.effective_kernel + 1) // axis.stride, axis.output_size)
                for axis in scene.layer.axes
            ]
        else:
            lowest = [(-axis.before, axis.size) for axis in scene.layer.axes]
        if all(index >= -size for index, size in lowest):
            yield "negative indices", ruled(scene, gradient, _negative)
        yield "both ends", ruled(scene, gradient, _circular)


def _negative(indices: Indices, size: int) -> tuple[Indices, Counts]:
    return indices % size, indices < size


def _circular(indices: Indices, size: int) -> tuple[Indices, Counts]:
    return indices % size, np.ones(len(indices), bool)
