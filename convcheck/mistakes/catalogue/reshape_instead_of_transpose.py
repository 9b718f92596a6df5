"""batch and filter axes are merged in the wrong order when flattening"""

import numpy as np

from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays


class ReshapeInsteadOfTranspose(WrongArrays):
    code = "CC118"
    name = "reshape-instead-of-transpose"
    explanation = (
        "grad_output is reshaped where its axes must be transposed first, so its entries belong to other samples, "
        "filters or positions."
    )
    why = "reshape(F, -1) gives the shape that the matrix product needs, whatever the order of the axes."
    fix = "Transpose before reshaping: grad_output.transpose(1, 0, 2, 3).reshape(F, -1) in two dimensions."
    shows_on = "more than one filter, and more than one sample or output"
    gradients = ("input", "weight", "bias")

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        """Read the entries of dL/dO in another order of axes than they stand in."""
        right = scene.grad_output
        samples, filters, *output = right.shape
        by_filter = right.reshape(filters, samples, *output).swapaxes(0, 1)
        yield "batch and filters", scene.with_arrays(grad_output=np.ascontiguousarray(by_filter))
        channels_last = np.moveaxis(right.reshape(samples, *output, filters), -1, 1)
        yield "filters and positions", scene.with_arrays(grad_output=np.ascontiguousarray(channels_last))
