"""height and width are exchanged"""

import numpy as np

from convcheck.layer.arrays import Array
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
    least_axes = 2

    def variants(self, scene: Scene, gradient: str) -> Forms:
        """Exchange one thing at a time; what does not fit then would be an error and no wrong gradient."""
        layer = scene.layer
        yield "result transposed", _transposed(scene.answer(gradient))
        if layer.output[-1] == layer.output[-2]:
            turned = scene.with_arrays(grad_output=_transposed(scene.grad_output))
            yield "grad_output transposed", turned.answer(gradient)
        if gradient == "input" and layer.kernel[-1] == layer.kernel[-2]:
            yield "kernel transposed", scene.with_arrays(weight=_transposed(scene.weight)).answer(gradient)
        if gradient == "weight" and layer.input[-1] == layer.input[-2]:
            yield "input transposed", scene.with_arrays(x=_transposed(scene.x)).answer(gradient)
        yield "strides exchanged", walked(scene, gradient, stride=_swapped(layer.stride))
        yield "dilations exchanged", walked(scene, gradient, dilation=_swapped(layer.dilation))
        befores = tuple(axis.before for axis in layer.axes)
        yield "paddings exchanged", walked(scene, gradient, before=_swapped(befores))


def _swapped(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return (*sizes[:-2], sizes[-1], sizes[-2])


def _transposed(array: Array) -> Array:
    return np.ascontiguousarray(array.swapaxes(-1, -2))
