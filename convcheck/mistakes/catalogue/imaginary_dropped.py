"""imaginary parts are dropped"""

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Forms, Mistake, Scene


class ImaginaryDropped(Mistake):
    code = "CC149"
    name = "imaginary-dropped"
    explanation = "The imaginary parts of some numbers are left out."
    why = "An array is made in a real data type, or cast to one; NumPy then only warns."
    fix = "Make every array in the dtype of the input, and never take the real part."
    shows_on = "complex layers"
    gradients = ("input", "weight", "bias")
    transposed = True
    of_complex = True
    repeated = True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        yield "of the result", _real(scene.answer(gradient))
        if gradient == "bias":
            return
        name, words = ("weight", "weight") if gradient == "input" else ("x", "input")
        other = {name: _real(getattr(scene, name))}
        upstream = {"grad_output": _real(scene.grad_output)}
        yield f"of the {words}", scene.with_arrays(**other).answer(gradient)
        yield "of grad_output", scene.with_arrays(**upstream).answer(gradient)
        yield f"of grad_output and the {words}", scene.with_arrays(**upstream, **other).answer(gradient)


def _real(array: Array) -> Array:
    return array.real.astype(array.dtype)
