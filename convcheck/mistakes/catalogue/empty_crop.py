"""the padding is cropped with a slice that ends at -0, which is empty"""

from convcheck.layer.arrays import at_sites
from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.walks import scattered_padded


class EmptyCrop(Mistake):
    code = "CC139"
    name = "empty-crop"
    explanation = "The gradient of the padded input is cropped with pad:-pad, of which nothing is left without padding."
    why = "-0 is 0, so that a[0:-0] is a[0:0]; with any padding behind, a[pad:-pad] is right."
    fix = "Slice to where the input ends: grad_padded[..., before : before + n]."
    shows_on = "no padding behind, along an axis"
    gradients = ("input",)

    def variants(self, scene: Scene, gradient: str) -> Forms:
        padded = scattered_padded(scene)
        assert padded is not None
        yield "", padded[at_sites(slice(axis.before, -axis.after) for axis in scene.layer.axes)]
