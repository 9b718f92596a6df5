"""overlapping windows are assigned (=) instead of added (+=)"""

from itertools import product

import numpy as np

from convcheck.layer.arrays import Array, at_sites
from convcheck.layer.axis import Axis
from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.parts import Axes, mixed, parts
from convcheck.mistakes.walks import grad_columns, unpadded
from convcheck.reports.where import axis_names


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
    transposed = repeated = True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        """Assign tap by tap, as a folding of columns does, or window by window, as nested loops do."""
        layer = scene.layer
        last_filters = scene.grad_output.copy()
        by_group = last_filters.reshape(layer.batch, layer.groups, layer.filters_per_group, *layer.output)
        by_group[:, :, :-1] = 0
        if layer.transposed:
            # There the input gradient is a sum over taps and filters, gathered for each sample.
            last_tap, tap = np.zeros_like(scene.weight), at_sites(slice(-1, None) for _ in layer.kernel)
            last_tap[tap] = scene.weight[tap]
            yield "the last tap wins", scene.with_arrays(weight=last_tap).answer(gradient)
            both = scene.with_arrays(weight=last_tap, grad_output=last_filters)
            yield "the last filter and tap win", both.answer(gradient)
            return
        columns = grad_columns(scene)
        alone = grad_columns(scene.with_arrays(grad_output=last_filters))
        yield "the last tap wins", _by_tap(scene, columns)
        yield "the last filter and tap win", _by_tap(scene, alone)
        names = axis_names("input", scene.x.ndim)[2:]
        for _, axes in parts(layer, lambda axis: axis.stride < axis.effective_kernel and axis.output_size > 1):
            winner = " and ".join(names[axis] for axis in axes) + " of windows"
            yield f"the last {'window' if len(axes) == len(names) else winner} wins", _by_window(scene, columns, axes)
        yield "the last filter and window win", _by_window(scene, alone, tuple(range(len(names))))


def _by_tap(scene: Scene, columns: Array) -> Array:
    axes = scene.layer.axes
    padded = np.zeros((*columns.shape[:2], *(axis.padded_size for axis in axes)), columns.dtype)
    for tap in np.ndindex(*scene.layer.kernel):
        window = at_sites(axis.tap_slice(a) for axis, a in zip(axes, tap, strict=True))
        padded[window] = columns[(slice(None), slice(None), *tap)]
    return unpadded(scene.layer, padded)


def _by_window(scene: Scene, columns: Array, assigned: Axes) -> Array:
    """Fold back with the windows along some axes assigned, each all that stands beside it along the others added up."""
    axes = scene.layer.axes
    padded = np.zeros((*columns.shape[:2], *(axis.padded_size for axis in axes)), columns.dtype)
    counted = [axis.output_size for axis in axes]
    for first in np.ndindex(*(m if number in assigned else 1 for number, m in enumerate(counted))):
        # One window along the axes that are assigned, all windows along the others.
        reach = [_span(axis, i) for axis, i in zip(axes, first, strict=True)]
        padded[at_sites(mixed(reach, [slice(None)] * len(axes), assigned))] = 0
        for i in product(*mixed([[i] for i in first], [list(range(m)) for m in counted], assigned)):
            padded[at_sites(_span(axis, at) for axis, at in zip(axes, i, strict=True))] += columns[at_sites(i)]
    return unpadded(scene.layer, padded)


def _span(axis: Axis, output: int) -> slice:
    window = axis.window(output)
    return slice(window.start, window.stop, window.step)
