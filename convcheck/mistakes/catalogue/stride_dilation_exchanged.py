"""stride and dilation are exchanged in the backward pass of a transposed layer"""

from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.walks import met


class StrideDilationExchanged(Mistake):
    code = "CC144"
    name = "stride-dilation-exchanged"
    explanation = "The backward pass steps by the dilation where it must step by the stride, and the other way round."
    why = (
        "Forward, a transposed layer spreads its input by the stride; each of the three passes is a correlation in "
        "which stride and dilation have another place."
    )
    fix = "Input p meets output p*s + a*d - before through tap a, in all three passes."
    shows_on = "transposed layers whose stride is not their dilation, with more than one sample or tap"
    gradients = ("input", "weight")
    plain, transposed = False, True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        yield "", met(scene, gradient, stride=scene.layer.dilation, dilation=scene.layer.stride)
