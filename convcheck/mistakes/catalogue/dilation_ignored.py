"""the kernel's dilation is missing in the backward pass"""

from convcheck.mistakes.mistake import Forms, Mistake, Scene
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

    def variants(self, scene: Scene, gradient: str) -> Forms:
        yield "", walked(scene, gradient, dilation=[1] * len(scene.layer.input))
