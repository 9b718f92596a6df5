"""the trailing r samples are missing or misplaced"""

import numpy as np

from convcheck.gradients import dilate_flip
from convcheck.layer.arrays import at_sites
from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.walks import correlated_input, correlated_weight, windowed


class RemainderDropped(Mistake):
    code = "CC106"
    name = "remainder-dropped"
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
    transposed = True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        axes = scene.layer.axes
        if not any(axis.remainder for axis in axes):
            return
        if scene.layer.transposed:
            # Those that output_padding adds are not all behind the last window where the padding removes some.
            kept = np.zeros_like(scene.grad_output)
            inside = at_sites(slice(max(0, axis.output_size - axis.remainder)) for axis in axes)
            kept[inside] = scene.grad_output[inside]
            yield "the outputs of output_padding are left out", scene.with_arrays(grad_output=kept).answer(gradient)
            return
        dilated = dilate_flip.dilated_gradient(scene.layer, scene.grad_output)
        if gradient == "input":
            short = [(axis.full_padding[0], axis.full_padding[1] - axis.remainder) for axis in axes]
            missing = correlated_input(scene, dilated, short)
            yield "grad_input too small", missing
            if missing is not None:
                appended = windowed(missing, [0] * len(axes), scene.layer.input)
                yield "zeros appended to a finished grad_input", appended
            in_front = [(before + axis.remainder, after) for axis, (before, after) in zip(axes, short, strict=True)]
            yield "zeros in front instead of behind", correlated_input(scene, dilated, in_front)
        else:
            padded = dilate_flip.padded_input(scene.layer, scene.x)
            too_large = correlated_weight(scene, padded, dilated)
            yield "grad_weight with taps that the kernel does not have", too_large
            cut = padded[at_sites(slice(axis.remainder, None) for axis in axes)]
            yield "input cut in front instead of behind", correlated_weight(scene, cut, dilated)
