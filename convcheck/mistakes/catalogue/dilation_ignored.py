"""the kernel's dilation is missing in the backward pass"""

from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.parts import mixed, parts
from convcheck.mistakes.walks import walked


class DilationIgnored(Mistake):
    code = "CC111"
    name = "dilation-ignored"
    explanation = "The backward pass places the taps side by side; they are as far apart as the dilation says."
    why = (
        "Dilation is added to a forward pass later, and its backward pass is forgotten; gradients of the stride and "
        "of the dilation are easily confused."
    )
    fix = "Step by the dilation between the taps in the backward pass too: padded position i*s + a*d."
    shows_on = "dilations above 1 with more than one tap"
    gradients = ("input", "weight")
    transposed = repeated = True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        dilation = scene.layer.dilation
        for words, axes in parts(scene.layer, lambda axis: axis.dilation > 1 and axis.kernel > 1):
            yield words, walked(scene, gradient, dilation=mixed([1] * len(dilation), dilation, axes))
