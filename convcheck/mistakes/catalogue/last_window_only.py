"""the gradient of one window, or one row of windows, instead of the sum over all"""

from itertools import combinations

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays
from convcheck.reports.where import axis_names


class LastWindowOnly(WrongArrays):
    code = "CC134"
    name = "last-window-only"
    explanation = "The gradient is what a part of the windows gives; what all windows give must add up."
    why = "An assignment in the loop over the windows, dw[f] = ..., where each must add to the sum."
    fix = "Add up what all windows give: dw[f] += ... inside the loops over samples, rows and columns."
    shows_on = "more than one output position"
    gradients = ("input", "weight", "bias")
    transposed = True
    combines = False

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        """Let one index of some axes count, and of the samples or filters as well, over which the sum runs too.

        Of a transposed layer, windows are where its inputs are, and only grad_weight is a sum over them.
        """
        if scene.layer.transposed and gradient != "bias":
            if gradient == "weight":
                sites = list(scene.sites)
                yield "the last window", scene.with_arrays(x=_last(scene.x, sites))
                yield "the last window of the last sample", scene.with_arrays(x=_last(scene.x, [0, *sites]))
            return
        names = axis_names("output", scene.x.ndim)[2:]
        for count in range(len(names), 0, -1):
            for axes in combinations(range(len(names)), count):
                # In the words of the loops: what the innermost index that is assigned at stands for.
                kept = "window" if count == len(names) else " and ".join(names[axis] for axis in axes)
                some = _last(scene.grad_output, [2 + axis for axis in axes])
                yield f"the last {kept}", scene.with_arrays(grad_output=some)
                if gradient == "input":
                    layer = scene.layer
                    split = some.reshape(layer.batch, layer.groups, layer.filters_per_group, *layer.output)
                    also, alone = "filter", _last(split, [2]).reshape(some.shape)
                else:
                    also, alone = "sample", _last(some, [0])
                yield f"the last {kept} of the last {also}", scene.with_arrays(grad_output=alone)


def _last(array: Array, axes: list[int]) -> Array:
    """Return zeros but for the last index along some axes."""
    kept = tuple(slice(-1, None) if axis in axes else slice(None) for axis in range(array.ndim))
    alone = np.zeros_like(array)
    alone[kept] = array[kept]
    return alone
