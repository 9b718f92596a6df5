"""the weight of a transposed layer has its axes as that of a plain one"""

import numpy as np

from convcheck.layer.data import as_weight, by_filter
from convcheck.mistakes.mistake import Forms, Mistake, Scene


class WeightAxesNotExchanged(Mistake):
    code = "CC146"
    name = "weight-axes-not-exchanged"
    explanation = (
        "The backward pass takes the weight for that of a plain layer, filters first; of a transposed layer, channels "
        "come first."
    )
    why = (
        "A transposed layer is the backward pass of a plain one, whose filters are its channels: (C, F/groups, "
        "*kernel). The number of entries is the same either way, so that a reshape hides it."
    )
    fix = "Take the weight as (C, F/groups, *kernel), and give grad_weight in this order."
    shows_on = "transposed layers with more than one channel or filter in a group"
    gradients = ("input", "weight")
    plain, transposed = False, True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        layer = scene.layer
        plain = (layer.filters, layer.channels_per_group, *layer.kernel)
        if gradient == "weight":
            filters_first = np.ascontiguousarray(by_filter(layer, scene.answer("weight")))
            yield "filters first", filters_first.reshape(plain)
            if plain != layer.weight_shape:
                yield "filters first, in the shape of the weight", filters_first.reshape(layer.weight_shape)
        else:
            # What is read in the order of filters, channels, taps.
            yield "", scene.with_arrays(weight=as_weight(layer, scene.weight)).answer(gradient)
