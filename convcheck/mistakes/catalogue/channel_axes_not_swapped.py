"""grad_input uses W[c, f] for W[f, c]"""

import numpy as np

from convcheck.mistakes.mistake import Scene, Scenes, WrongArrays


class ChannelAxesNotSwapped(WrongArrays):
    code = "CC103"
    name = "channel-axes-not-swapped"
    explanation = (
        "The input gradient takes the kernel's filters for its channels: W[c, f] stands where W[f, c] belongs."
    )
    why = (
        "Going back, every channel has one filter of depth F; with as many channels as filters the shapes hide that "
        "the axes were never exchanged."
    )
    fix = (
        "Exchange the first two axes of the kernel before correlating it with grad_output: w.swapaxes(0, 1), within "
        "each group."
    )
    shows_on = "as many channels as filters (per group), more than one of them"
    gradients = ("input",)

    def scenes(self, scene: Scene, gradient: str) -> Scenes:
        """Exchange the axes, so that the exchange of the right backward pass undoes it."""
        layer = scene.layer
        if layer.channels_per_group == layer.filters_per_group:
            grouped = scene.weight.reshape(layer.groups, layer.filters_per_group, *scene.weight.shape[1:])
            swapped = np.ascontiguousarray(grouped.swapaxes(1, 2)).reshape(scene.weight.shape)
            yield "", scene.with_arrays(weight=swapped)
