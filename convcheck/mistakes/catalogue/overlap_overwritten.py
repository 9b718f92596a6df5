"""overlapping windows are assigned (=) instead of added (+=)"""

import numpy as np

from convcheck.layer.arrays import Array, at_sites
from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.walks import grad_columns, windowed


class OverlapOverwritten(Mistake):
    code = "CC108"
    name = "overlap-overwritten"
    explanation = (
        "Where windows overlap, their contributions to the input gradient overwrite each other; they must add up."
    )
    why = "grad[window] = ... for grad[window] += ..., or a NumPy fancy-indexed +=, which counts repeated indices once."
    fix = "Add every window's contribution with +=, or np.add.at for repeated indices."
    shows_on = "strides smaller than the span of the kernel"
    gradients = ("input",)

    def variants(self, scene: Scene, gradient: str) -> Forms:
        """Assign tap by tap, as a folding of columns does, or window by window, as nested loops do."""
        layer = scene.layer
        columns = grad_columns(scene)
        last_filters = scene.grad_output.copy()
        by_group = last_filters.reshape(layer.batch, layer.groups, layer.filters_per_group, *layer.output)
        by_group[:, :, :-1] = 0
        alone = grad_columns(scene.with_arrays(grad_output=last_filters))
        yield "the last tap wins", _by_tap(scene, columns)
        yield "the last window wins", _by_window(scene, columns)
        yield "the last filter and window win", _by_window(scene, alone)


def _by_tap(scene: Scene, columns: Array) -> Array:
    axes = scene.layer.axes
    padded = np.zeros((*columns.shape[:2], *(axis.padded_size for axis in axes)), columns.dtype)
    for tap in np.ndindex(*scene.layer.kernel):
        window = at_sites(axis.tap_slice(a) for axis, a in zip(axes, tap, strict=True))
        padded[window] = columns[(slice(None), slice(None), *tap)]
    return windowed(padded, [axis.before for axis in axes], scene.layer.input)


def _by_window(scene: Scene, columns: Array) -> Array:
    axes = scene.layer.axes
    padded = np.zeros((*columns.shape[:2], *(axis.padded_size for axis in axes)), columns.dtype)
    for output in np.ndindex(*scene.layer.output):
        windows = (axis.window(i) for axis, i in zip(axes, output, strict=True))
        window = at_sites(slice(window.start, window.stop, window.step) for window in windows)
        padded[window] = columns[at_sites(output)]
    return windowed(padded, [axis.before for axis in axes], scene.layer.input)
