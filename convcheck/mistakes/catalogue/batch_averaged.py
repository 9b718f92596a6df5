"""A mean over the batch stands for the sum."""

from __future__ import annotations

from collections.abc import Iterator

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import WrongResult
from convcheck.mistakes.scene import Scene


class BatchAveraged(WrongResult):
    """Mean over the batch instead of the sum."""

    code = "CC120"
    name = "batch-averaged"
    title = "mean over the batch instead of the sum"
    explanation = "The gradient is divided by the number of samples; it must be their sum."
    why = "The loss averages over the batch, which grad_output already contains; dividing in the layer does it twice."
    fix = "Sum over the batch; leave the division to the loss."
    shows_on = "batches of more than one sample"
    gradients = ("input", "weight", "bias")

    def results(self, scene: Scene, gradient: str, result: Array) -> Iterator[tuple[str, Array]]:
        """Divide by the number of samples."""
        yield "", result / scene.layer.batch
