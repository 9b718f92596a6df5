"""output_padding is taken to stand in front of the output"""

from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.parts import mixed, parts
from convcheck.mistakes.walks import met


class OutputPaddingMisplaced(Mistake):
    code = "CC145"
    name = "output-padding-misplaced"
    explanation = "The backward pass takes the outputs that output_padding adds for the first ones; they are the last."
    why = (
        "output_padding sounds like padding, which is at both ends; it only says which of several output sizes is "
        "meant, and adds outputs behind the last window."
    )
    fix = "Read grad_output from its first entry on, p*s + a*d - before, and let the added outputs be the last."
    shows_on = "transposed layers with output_padding"
    gradients = ("input", "weight")
    plain, transposed = False, True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        layer = scene.layer
        if any(layer.output_padding):
            for words, axes in parts(layer, lambda axis: axis.output_padding > 0):
                skipped = mixed(layer.output_padding, [0] * len(layer.axes), axes)
                before = [axis.before - behind for axis, behind in zip(layer.axes, skipped, strict=True)]
                yield words, met(scene, gradient, before=before)
