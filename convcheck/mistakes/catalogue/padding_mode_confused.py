"""the backward pass pads as another mode does"""

from convcheck.layer.fields import FIELDS, ZEROS
from convcheck.mistakes.mistake import Forms, Mistake, Scene


class PaddingModeConfused(Mistake):
    code = "CC143"
    name = "padding-mode-confused"
    explanation = "The backward pass takes the padding for samples of the input that do not stand there."
    why = (
        "Reflection leaves out the sample at the edge, symmetric padding repeats it; an index that is clipped or taken "
        "modulo the size is another mode than the forward pass has."
    )
    fix = "Fold the gradient back, and pad the input for grad_weight, by the same indices as the forward pass."
    shows_on = "circular, reflect and replicate padding, on inputs of several samples"
    gradients = ("input", "weight")
    plain, repeated = False, True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        for mode in FIELDS["padding_mode"].choices:
            if mode not in (ZEROS, scene.layer.padding_mode):
                other = scene.on(padding_mode=mode)
                yield f"as {mode} padding", None if other is None else other.answer(gradient)
