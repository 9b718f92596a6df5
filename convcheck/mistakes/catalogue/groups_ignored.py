"""first group only, or channels mixed across groups"""

import numpy as np

from convcheck.gradients import unfold
from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Forms, Mistake, Scene


class GroupsIgnored(Mistake):
    code = "CC114"
    name = "groups-ignored"
    explanation = "The backward pass does not keep the groups of channels and filters apart as the forward pass does."
    why = (
        "A loop over the groups that ends too early or reads the first group every time, or a reshape in which the "
        "groups come last instead of first."
    )
    fix = (
        "Split channels and filters into (groups, channels per group), in this order, and treat every group by itself."
    )
    shows_on = "more than one group; mixed channels need more than one channel or filter per group"
    gradients = ("input", "weight")
    transposed = repeated = True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        layer = scene.layer
        if layer.groups == 1:
            return
        result = scene.answer(gradient)
        channels_first = gradient == "input" or layer.transposed
        size = layer.channels_per_group if channels_first else layer.filters_per_group
        axis = 1 if gradient == "input" else 0
        first = result.copy()
        np.moveaxis(first, axis, 0)[size:] = 0
        yield "only the first group is computed", first
        if gradient == "input":
            weight = np.concatenate([scene.weight[: len(scene.weight) // layer.groups]] * layer.groups)
            yield "every group reads the first one", scene.with_arrays(weight=weight).answer(gradient)
        else:
            x = np.concatenate([scene.x[:, : layer.channels_per_group]] * layer.groups, axis=1)
            yield "every group reads the first one", scene.with_arrays(x=x).answer(gradient)
        yield "channels dealt out in turn", _dealt(scene, gradient)


def _dealt(scene: Scene, gradient: str) -> Array:
    """Channel c in group c % groups instead of c // (C/groups); filters likewise."""
    layer = scene.layer
    channels = np.arange(layer.channels).reshape(-1, layer.groups).T.ravel()
    filters = np.arange(layer.filters).reshape(-1, layer.groups).T.ravel()
    rows = channels if layer.transposed else filters
    made = unfold.backward(layer, scene.x[:, channels], scene.weight[rows], scene.grad_output[:, filters])
    order = channels if gradient == "input" else rows
    array = made.input.swapaxes(0, 1) if gradient == "input" else made.weight
    dealt = np.empty_like(array)
    dealt[order] = array
    return dealt.swapaxes(0, 1) if gradient == "input" else dealt
