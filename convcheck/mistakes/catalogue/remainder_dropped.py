"""The samples behind the last window are forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from convcheck.gradients import dilate_flip
from convcheck.layer.arrays import at_sites
from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene
from convcheck.mistakes.walks import correlated_input, correlated_weight, windowed


class RemainderDropped(Mistake):
    """The trailing r samples are missing or misplaced."""

    code = "CC106"
    name = "remainder-dropped"
    title = "the trailing r samples are missing or misplaced"
    explanation = (
        "The r trailing samples that the last window does not reach are missing from the backward pass, or stand on "
        "the wrong side."
    )
    why = (
        "(P - e) / s is rarely a whole number; formulas for the backward pass are mostly written for the case in "
        "which it is."
    )
    fix = (
        "Add r = (P - e) % s zeros behind the dilated grad_output, and leave the last r padded samples of the input "
        "out of grad_weight."
    )
    shows_on = "layers in which (P - e) % s is not 0; two of the forms need padding behind as well"
    gradients = ("input", "weight")

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Leave the remainder out, or put it in front."""
        if any(axis.remainder for axis in scene.layer.axes):
            yield from self._weight(scene) if gradient == "weight" else self._input(scene)

    def _input(self, scene: Scene) -> Iterator[Wrong]:
        axes = scene.layer.axes
        dilated = dilate_flip.dilated_gradient(scene.layer, scene.grad_output)
        short = [(axis.full_padding[0], axis.full_padding[1] - axis.remainder) for axis in axes]
        in_front = [(before + axis.remainder, after) for axis, (before, after) in zip(axes, short, strict=True)]
        missing = correlated_input(scene, dilated, short)
        if missing is not None:
            yield Wrong("grad_input too small", missing)
            yield Wrong(
                "zeros appended to a finished grad_input", windowed(missing, [0] * len(axes), scene.layer.input)
            )
        misplaced = correlated_input(scene, dilated, in_front)
        if misplaced is not None:
            yield Wrong("zeros in front instead of behind", misplaced)

    def _weight(self, scene: Scene) -> Iterator[Wrong]:
        axes = scene.layer.axes
        padded = dilate_flip.padded_input(scene.layer, scene.x)
        dilated = dilate_flip.dilated_gradient(scene.layer, scene.grad_output)
        too_large = correlated_weight(scene, padded, dilated)
        if too_large is not None:
            yield Wrong("grad_weight with taps that the kernel does not have", too_large)
        cut = correlated_weight(scene, padded[at_sites(slice(axis.remainder, None) for axis in axes)], dilated)
        if cut is not None:
            yield Wrong("input cut in front instead of behind", cut)
