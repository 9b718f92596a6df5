"""a second call adds to the first"""

from convcheck.mistakes.mistake import Forms, Mistake, Scene


class StaleAccumulation(Mistake):
    code = "CC126"
    name = "stale-accumulation"
    explanation = "The second backward pass returns the sum of both: an array is added to and never set to zero."
    why = "Gradients are kept in an attribute and added to with +=, and nobody resets it between calls."
    fix = (
        "Start every backward pass with new arrays of zeros, or reset the accumulated gradients before it. Where a "
        "layer object adds them up by design, name the method that resets them in the target's mapping: attributes: "
        "{zero_grad: NAME}."
    )
    shows_on = "all layers"
    gradients = ("input", "weight", "bias")
    behaviour = "the backward pass is called twice with equal arguments, and the results are compared"

    def variants(self, scene: Scene, gradient: str) -> Forms:
        """What an equal second call returns: twice the gradient."""
        yield "second call", 2 * scene.answer(gradient)
