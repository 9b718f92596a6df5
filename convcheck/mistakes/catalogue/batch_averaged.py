"""mean over the batch instead of the sum"""

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Forms, Scene, WrongResult


class BatchAveraged(WrongResult):
    code = "CC120"
    name = "batch-averaged"
    explanation = "The gradient is divided by the number of samples; it must be their sum."
    why = "The loss averages over the batch, which grad_output already contains; dividing in the layer does it twice."
    fix = (
        "Sum over the batch; leave the division to the loss. Where the mean is meant, say so in the target's mapping: "
        "mean_over_batch: [weight, bias]."
    )
    shows_on = "batches of more than one sample"
    gradients = ("input", "weight", "bias")
    transposed = True

    def results(self, scene: Scene, gradient: str, result: Array) -> Forms:
        yield "", result / scene.layer.batch
