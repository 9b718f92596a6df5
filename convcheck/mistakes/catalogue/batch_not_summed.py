"""grad_weight is left with one gradient per sample"""

import numpy as np

from convcheck.mistakes.mistake import Forms, Mistake, Scene


class BatchNotSummed(Mistake):
    code = "CC136"
    name = "batch-not-summed"
    explanation = "The weight gradient has an axis of samples in front; it must be summed over the batch."
    why = "A batched matrix product keeps the batch, which the sum over all windows must include."
    fix = "Sum over the samples: (grad_output @ columns.T).sum(axis=0)."
    shows_on = "all layers"
    gradients = ("weight",)
    transposed = repeated = True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        if scene.layer.transposed:
            alone = [np.zeros_like(scene.grad_output) for _ in range(scene.layer.batch)]
            for sample, kept in enumerate(alone):
                kept[sample] = scene.grad_output[sample]
            yield "", np.stack([scene.with_arrays(grad_output=kept).answer("weight") for kept in alone])
            return
        per_sample = scene.rows @ scene.columns.swapaxes(2, 3)
        yield "", per_sample.reshape(scene.layer.batch, *scene.layer.weight_shape)
