"""grad_weight is left with one gradient per sample"""

from convcheck.mistakes.mistake import Forms, Mistake, Scene


class BatchNotSummed(Mistake):
    code = "CC136"
    name = "batch-not-summed"
    explanation = "The weight gradient has an axis of samples in front; it must be summed over the batch."
    why = "A batched matrix product keeps the batch, which the sum over all windows must include."
    fix = "Sum over the samples: (grad_output @ columns.T).sum(axis=0)."
    shows_on = "all layers"
    gradients = ("weight",)

    def variants(self, scene: Scene, gradient: str) -> Forms:
        per_sample = scene.rows @ scene.columns.swapaxes(2, 3)
        yield "", per_sample.reshape(scene.layer.batch, *scene.layer.weight_shape)
