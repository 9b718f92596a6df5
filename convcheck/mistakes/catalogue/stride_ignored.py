"""a backward pass that walks with stride 1"""

from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.parts import mixed, parts
from convcheck.mistakes.walks import walked


class StrideIgnored(Mistake):
    code = "CC112"
    name = "stride-ignored"
    explanation = "The backward pass places the windows side by side; they are as far apart as the stride says."
    why = "The stride is used in the forward loop, and the backward loop is written, or copied, without it."
    fix = "Start each window of the backward pass at i*s, as in the forward pass."
    shows_on = "strides above 1 with more than one output"
    gradients = ("input", "weight")
    transposed = repeated = True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        stride = scene.layer.stride
        for words, axes in parts(scene.layer, lambda axis: axis.stride > 1 and axis.windows > 1):
            yield words, walked(scene, gradient, stride=mixed([1] * len(stride), stride, axes))
