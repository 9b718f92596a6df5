"""Samples of dL/dO are repeated where zeros belong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convcheck.gradients import dilate_flip
from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene
from convcheck.mistakes.walks import correlated_input, correlated_weight, windowed


class GradientRepeated(Mistake):
    """Entries are repeated s times instead of zeros inserted."""

    code = "CC105"
    name = "gradient-repeated"
    title = "entries are repeated s times instead of zeros inserted"
    explanation = (
        "Going back through the stride, every sample of grad_output is repeated s times; it must stand once, with s - "
        "1 zeros behind it."
    )
    why = (
        "np.repeat, np.kron with ones and nearest-neighbour upsampling give the right size; they undo a mean or a "
        "copy, not a stride."
    )
    fix = "Write grad_output into an array of zeros in steps of the stride: dilated[..., ::s] = grad_output."
    shows_on = "strides above 1"
    gradients = ("input", "weight")

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Correlate the repeated gradient, cut to the size that the dilated one may have at most."""
        layer = scene.layer
        if max(layer.stride) == 1:
            return
        reach = [axis.dilated_size + axis.remainder for axis in layer.axes]
        repeated = windowed(_repeated(scene), [0] * len(reach), reach)
        if gradient == "weight":
            made = correlated_weight(scene, dilate_flip.padded_input(layer, scene.x), repeated)
        else:
            padding = [(axis.full_padding[0], axis.full_padding[1] - axis.remainder) for axis in layer.axes]
            made = correlated_input(scene, repeated, padding)
        if made is not None:
            yield Wrong("", made)


def _repeated(scene: Scene) -> Array:
    repeated = scene.grad_output
    for axis, stride in zip(scene.sites, scene.layer.stride, strict=True):
        repeated = np.repeat(repeated, stride, axis=axis)
    return repeated
