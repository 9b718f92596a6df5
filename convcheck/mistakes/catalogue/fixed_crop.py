"""the padding is cropped by a number that stands in the code"""

from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.parts import mixed, parts, together
from convcheck.mistakes.walks import scattered_padded, windowed


class FixedCrop(Mistake):
    code = "CC138"
    name = "fixed-crop"
    explanation = "The gradient of the padded input is cropped by 1 at an end, whatever the padding there is."
    why = "grad_padded[..., 1:-1] is right for a padding of 1, with which most code is tried first."
    fix = "Crop by the padding of the layer, each axis with its own: grad_padded[..., before : before + n]."
    shows_on = "padding other than 1, or none"
    gradients = ("input",)

    def variants(self, scene: Scene, gradient: str) -> Forms:
        axes = scene.layer.axes
        padded = scattered_padded(scene)
        assert padded is not None
        right, both = [(axis.before, axis.after) for axis in axes], [(1, 1)] * len(axes)
        forms = [
            (together("1:-1", words), mixed(both, right, some))
            for words, some in parts(scene.layer, lambda axis: (axis.before, axis.after) != (1, 1))
        ]
        forms.append(("1 in front", [(1, after) for _, after in right]))
        forms.append(("1 behind", [(before, 1) for before, _ in right]))
        for variant, ends in forms:
            size = [axis.padded_size - sum(pair) for axis, pair in zip(axes, ends, strict=True)]
            if min(size) > 0:
                yield variant, windowed(padded, [front for front, _ in ends], size)
