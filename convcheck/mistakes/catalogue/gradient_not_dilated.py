"""stride zeros are not inserted before convolving"""

from convcheck.gradients import dilate_flip
from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.walks import correlated_input, correlated_weight


class GradientNotDilated(Mistake):
    code = "CC104"
    name = "gradient-not-dilated"
    explanation = (
        "The backward pass correlates grad_output as it is; with a stride, s - 1 zeros belong between its samples."
    )
    why = "The rule for stride 1 (pad, flip, correlate) is applied to a layer with a stride."
    fix = "Insert s - 1 zeros between the samples of grad_output first: dilated[..., ::s] = grad_output."
    shows_on = "strides above 1 with more than one output"
    gradients = ("input", "weight")

    def variants(self, scene: Scene, gradient: str) -> Forms:
        """Correlate the undilated gradient, padded as if it were dilated, or up to the size of the input."""
        layer = scene.layer
        if max(layer.stride) == 1:
            return
        if gradient == "weight":
            taps = correlated_weight(scene, dilate_flip.padded_input(layer, scene.x), scene.grad_output)
            yield "grad_weight as large as the undilated gradient leaves room for", taps
            return
        usual = [axis.full_padding for axis in layer.axes]
        yield "grad_input too small", correlated_input(scene, scene.grad_output, usual)
        missing = [axis.dilated_size - axis.output_size for axis in layer.axes]
        centred = [(b + gap // 2, a + gap - gap // 2) for (b, a), gap in zip(usual, missing, strict=True)]
        yield "zeros around instead of between", correlated_input(scene, scene.grad_output, centred)
