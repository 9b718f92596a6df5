"""the conjugate is taken of grad_output or of the result"""

from convcheck.mistakes.mistake import Forms, Mistake, Scene


class ConjugateMisplaced(Mistake):
    code = "CC148"
    name = "conjugate-misplaced"
    explanation = "A conjugate is taken of what must enter or leave as it is."
    why = "One conjugate has to be taken, and the product is long enough to take it of the wrong factor, or of all."
    fix = "Conjugate the weight in grad_input and the input in grad_weight, and nothing else."
    shows_on = "complex layers"
    gradients = ("input", "weight", "bias")
    transposed = True
    of_complex = True
    repeated = True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        yield "of grad_output", scene.with_arrays(grad_output=scene.grad_output.conj()).answer(gradient)
        if gradient != "bias":
            yield "of the whole gradient", scene.answer(gradient).conj()
