"""everything times -1"""

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Forms, Scene, WrongResult


class SignFlipped(WrongResult):
    code = "CC122"
    name = "sign-flipped"
    explanation = "The gradient has the wrong sign everywhere."
    why = "A gradient of the loss is confused with the step that descends along it."
    fix = "Return the gradient itself; the minus sign belongs to the optimizer."
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    transposed = True

    def results(self, scene: Scene, gradient: str, result: Array) -> Forms:
        yield "", -result
