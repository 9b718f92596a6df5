"""the gradient of the padding is dropped, which belongs to the samples that the padding repeats"""

from convcheck.layer.fields import ZEROS
from convcheck.mistakes.mistake import Forms, Mistake, Scene


class BorderDropped(Mistake):
    code = "CC142"
    name = "border-dropped"
    explanation = "The backward pass takes the padding for zeros: what the padding repeats of the input is left out."
    why = (
        "The padding is cropped away, as is right for zeros; a sample that stands in the padding once more changes the "
        "output from there too."
    )
    fix = (
        "Add the gradient of every padded position to that of the sample that stands there, then crop; make "
        "grad_weight from the input as the forward pass padded it."
    )
    shows_on = "circular, reflect and replicate padding"
    gradients = ("input", "weight")
    plain, repeated = False, True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        as_zeros = scene.on(padding_mode=ZEROS)
        yield "", None if as_zeros is None else as_zeros.answer(gradient)
