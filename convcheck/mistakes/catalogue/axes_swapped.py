"""height and width are exchanged"""

from math import prod

import numpy as np
from numpy.typing import NDArray

from convcheck.gradients import unfold
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.walks import walked


class AxesSwapped(Mistake):
    code = "CC113"
    name = "axes-swapped"
    explanation = "The last two spatial axes are exchanged in a part of the backward pass."
    why = "(h, w) against (w, h), or x and y, and test data that are square."
    fix = "Take sizes, strides, dilations and paddings in one order everywhere, and test on layers that are not square."
    shows_on = "layers whose last two axes differ in the part concerned, while their sizes let the exchange pass"
    gradients = ("input", "weight")
    transposed = repeated = True
    least_axes = 2

    def variants(self, scene: Scene, gradient: str) -> Forms:
        """Exchange one thing at a time; what does not fit then would be an error and no wrong gradient."""
        layer = scene.layer
        right = scene.answer(gradient)
        yield "result transposed", _transposed(right)
        yield "grad_output transposed", scene.with_arrays(grad_output=turned(scene.grad_output)).answer(gradient)
        if layer.output[-1] != layer.output[-2]:
            by_column = _transposed(scene.grad_output).reshape(scene.grad_output.shape)
            yield "grad_output read column by column", scene.with_arrays(grad_output=by_column).answer(gradient)
        if right.shape[-1] != right.shape[-2]:
            yield "result written column by column", _transposed(right).reshape(right.shape)
            yield "result with the sizes exchanged", turned(right)
        if gradient == "input":
            yield "kernel transposed", scene.with_arrays(weight=turned(scene.weight)).answer(gradient)
        else:
            yield "input transposed", scene.with_arrays(x=turned(scene.x)).answer(gradient)
        if not layer.transposed:
            yield "rows of the unfolded input numbered by the kernel's height", _misnumbered(scene, gradient)
        yield "strides exchanged", walked(scene, gradient, stride=_swapped(layer.stride))
        yield "dilations exchanged", walked(scene, gradient, dilation=_swapped(layer.dilation))
        befores = tuple(axis.before for axis in layer.axes)
        yield "paddings exchanged", walked(scene, gradient, before=_swapped(befores))


def _misnumbered(scene: Scene, gradient: str) -> Array | None:
    layer, rows = scene.layer, numbered_by_height(scene.layer)
    if rows is None:
        return None
    if gradient == "input":
        folded: Array = unfold.fold(layer, scene.grad_columns[:, :, rows])
        return folded
    columns = np.zeros_like(scene.columns)
    for row, number in enumerate(rows):
        columns[:, :, number] = scene.columns[:, :, row]
    made: Array = (scene.rows @ columns.swapaxes(2, 3)).sum(axis=0).reshape(layer.weight_shape)
    return made


def numbered_by_height(layer: Layer) -> NDArray[np.intp] | None:
    """Number the rows of the unfolded input, the tap (a, b) of a channel a*k_h + b for a*k_w + b.

    None where that is right, or leaves the rows that there are. Of two rows with one number, the later one stands.
    """
    *outer, high, wide = layer.kernel
    first = np.arange(layer.channels_per_group * prod(outer))[:, np.newaxis, np.newaxis] * (high * wide)
    rows = (first + np.arange(high)[:, np.newaxis] * high + np.arange(wide)).ravel()
    return None if high == wide or rows.max() >= len(rows) else rows


def turned(array: Array) -> Array:
    """Read an array as if its last two axes had each other's size, and exchange them."""
    *others, high, wide = array.shape
    return _transposed(array.reshape(*others, wide, high))


def _swapped(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return (*sizes[:-2], sizes[-1], sizes[-2])


def _transposed(array: Array) -> Array:
    return np.ascontiguousarray(array.swapaxes(-1, -2))
