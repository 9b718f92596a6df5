"""an array is reshaped where its axes must be transposed"""

from math import prod

from convcheck.layer.arrays import Array, reread
from convcheck.mistakes.mistake import Forms, Scene, Scenes, WrongArrays


class ReshapeInsteadOfTranspose(WrongArrays):
    code = "CC118"
    name = "reshape-instead-of-transpose"
    explanation = (
        "An array is reshaped where its axes must be transposed first, so its entries belong to other samples, "
        "filters, channels or positions."
    )
    why = "reshape(F, -1) gives the shape that the matrix product needs, whatever the order of the axes."
    fix = (
        "Reshape to the axes in the order in which they stand, and transpose: grad_output.transpose(1, 0, 2, "
        "3).reshape(F, -1) where the columns of the windows go sample by sample, transpose(1, 2, 3, 0) where they go "
        "position by position; (columns @ rows).T.reshape(weight.shape)."
    )
    shows_on = "at least two of these: several filters, several samples, several outputs"
    gradients = ("input", "weight", "bias")

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        """Read the entries of dL/dO, or of the weight, in another order of axes than they stand in."""
        for order, words in _GRAD_OUTPUT.items():
            if gradient == "bias" and order not in _WITHIN_BIAS:
                continue
            yield words, scene.with_arrays(grad_output=reread(scene.grad_output, read=order))
        for words, orders in _WITHIN_FILTERS.items() if gradient != "bias" else ():
            yield words, scene.with_arrays(grad_output=reread(scene.grad_output, *orders))
        if gradient == "input":
            flat = reread(scene.weight, read=(1, 2, 0))
            yield "the weight, read as channels, taps, filters", scene.with_arrays(weight=flat)

    def variants(self, scene: Scene, gradient: str) -> Forms:
        """Besides, write the product as it stands in the shape of the gradient."""
        yield from super().variants(scene, gradient)
        for order, names in _RESULT.items() if gradient != "bias" else ():
            listed = ", ".join(names[gradient])
            yield f"the result, which stands as {listed}", _written(scene.answer(gradient), order)


#: In which order the axes (samples, filters, positions) of dL/dO are taken to stand.
_GRAD_OUTPUT = {
    (1, 0, 2): "batch and filters",
    (0, 2, 1): "filters and positions",
    (1, 2, 0): "grad_output, read as filters, positions, samples",
    (2, 0, 1): "grad_output, read as positions, samples, filters",
    (2, 1, 0): "grad_output, read as positions, filters, samples",
}

#: Which of them the sum over samples and positions tells apart.
_WITHIN_BIAS = ((1, 0, 2), (0, 2, 1), (2, 1, 0))

#: In which order the axes of dL/dO are taken to stand where it is a row for each filter, right as far as that goes, and
#: in which order they stand: the columns of the windows may go sample by sample, or position by position.
_WITHIN_FILTERS = {
    "grad_output as filters, samples, positions, read as filters, positions, samples": ((1, 0, 2), (1, 2, 0)),
    "grad_output as filters, positions, samples, read as filters, samples, positions": ((1, 2, 0), (1, 0, 2)),
}

#: In which order the axes of a product stand; of the last two, and of the first two, an exchange is another mistake.
_RESULT = {
    order: {
        gradient: [names[axis] for axis in order]
        for gradient, names in (
            ("input", ("samples", "channels", "positions")),
            ("weight", ("filters", "channels", "taps")),
        )
    }
    for order in ((0, 2, 1), (1, 2, 0), (2, 0, 1), (2, 1, 0))
}


def _written(array: Array, order: tuple[int, ...]) -> Array:
    """Write the entries of an array in another order of axes, in its own shape."""
    blocks = (*array.shape[:2], prod(array.shape[2:]))
    return array.reshape(blocks).transpose(order).reshape(array.shape)
