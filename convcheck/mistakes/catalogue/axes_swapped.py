"""Height and width are exchanged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convcheck.gradients import dilate_flip
from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene
from convcheck.mistakes.walks import gathered, scattered, windowed


class AxesSwapped(Mistake):
    """Height and width are exchanged."""

    code = "CC113"
    name = "axes-swapped"
    title = "height and width are exchanged"
    explanation = "The last two spatial axes are exchanged in a part of the backward pass."
    why = "(h, w) against (w, h), or x and y, and test data that are square."
    fix = "Take sizes, strides, dilations and paddings in one order everywhere, and test on layers that are not square."
    shows_on = "layers whose last two axes differ in the part concerned, while their sizes let the exchange pass"
    gradients = ("input", "weight")
    least_axes = 2

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Exchange one thing at a time; what does not fit then would be an error and no wrong gradient."""
        layer = scene.layer
        yield Wrong("result transposed", scene.answer(gradient).swapaxes(-1, -2))
        if layer.output[-1] == layer.output[-2]:
            yield Wrong(
                "grad_output transposed", scene.with_arrays(grad_output=_transposed(scene.grad_output)).answer(gradient)
            )
        if gradient == "input" and layer.kernel[-1] == layer.kernel[-2]:
            yield Wrong("kernel transposed", scene.with_arrays(weight=_transposed(scene.weight)).answer(gradient))
        if gradient == "weight" and layer.input[-1] == layer.input[-2]:
            yield Wrong("input transposed", scene.with_arrays(x=_transposed(scene.x)).answer(gradient))
        walks = {
            "strides": _walk(scene, gradient, stride=_swapped(layer.stride)),
            "dilations": _walk(scene, gradient, dilation=_swapped(layer.dilation)),
            "paddings": _walk(scene, gradient, before=_swapped(tuple(axis.before for axis in layer.axes))),
        }
        for what, made in walks.items():
            if made is not None:
                yield Wrong(f"{what} exchanged", made)


def _walk(
    scene: Scene,
    gradient: str,
    *,
    stride: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    before: tuple[int, ...] | None = None,
) -> Array | None:
    axes = scene.layer.axes
    if gradient == "input":
        return scattered(scene, stride=stride, dilation=dilation, before=before)
    image = dilate_flip.padded_input(scene.layer, scene.x)
    if before is not None:
        shift = [axis.before - first for axis, first in zip(axes, before, strict=True)]
        image = windowed(image, shift, [axis.padded_size for axis in axes])
    return gathered(scene, image, stride=stride, dilation=dilation)


def _swapped(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return (*sizes[:-2], sizes[-1], sizes[-2])


def _transposed(array: Array) -> Array:
    return np.ascontiguousarray(array.swapaxes(-1, -2))
