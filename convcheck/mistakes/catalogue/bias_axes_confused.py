"""grad_bias is summed over the wrong axes"""

import numpy as np

from convcheck.mistakes.mistake import Forms, Mistake, Scene


class BiasAxesConfused(Mistake):
    code = "CC133"
    name = "bias-axes-confused"
    explanation = (
        "The bias gradient is not summed over the batch and all output positions, or is summed over the filters."
    )
    why = "grad_output.sum(axis=0) or sum(axis=(0, 1)), where the axes to keep and to sum are easily miscounted."
    fix = "Sum over every axis but that of the filters: grad_output.sum(axis=(0, 2, 3)) in two dimensions."
    shows_on = (
        "more than one sample and output position; filters summed need as many samples as filters to keep the shape"
    )
    gradients = ("bias",)

    def variants(self, scene: Scene, gradient: str) -> Forms:
        filters = scene.layer.filters
        for variant, made in (
            ("not summed over the batch", scene.grad_output.sum(axis=scene.sites)),
            ("not summed over the positions", scene.grad_output.sum(axis=0)),
            ("summed over the filters, not the batch", scene.grad_output.sum(axis=(1, *scene.sites))),
            ("summed to a single number", np.asarray(scene.grad_output.sum())),
        ):
            # One entry per filter is taken in any shape.
            yield variant, made if made.size != filters or made.shape == (filters,) else None
