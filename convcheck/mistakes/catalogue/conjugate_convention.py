"""complex gradients of the other convention of the conjugate"""

from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays


class ConjugateConvention(WrongArrays):
    code = "CC147"
    name = "conjugate-convention"
    explanation = (
        "The weight in grad_input, or the input in grad_weight, is not conjugated and must be, or is and must not be."
    )
    why = (
        "The transpose is taken for the adjoint; both are called the gradient: PyTorch's is the direction of steepest "
        "ascent, dL/dRe + i dL/dIm, JAX's vjp conjugates nothing."
    )
    fix = (
        "Conjugate the weight in grad_input and the input in grad_weight; of code that is to conjugate nothing, as "
        "jax.vjp does, say conjugate: false in the mapping."
    )
    shows_on = "complex layers"
    gradients = ("input", "weight")
    transposed = True
    of_complex = True

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        other = {"weight": scene.weight.conj()} if gradient == "input" else {"x": scene.x.conj()}
        yield "", scene.with_arrays(**other)
