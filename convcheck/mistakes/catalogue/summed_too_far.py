"""one axis too many is summed, so that everything along it is alike"""

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.mistakes.mistake import Forms, Scene, WrongResult


class SummedTooFar(WrongResult):
    code = "CC135"
    name = "summed-too-far"
    explanation = "The gradient is summed over an axis that it must keep, so that every entry along it is the same."
    why = "An index is missing on the left of an einsum or on the sum's target, and broadcasting restores the shape."
    fix = (
        "Keep every axis of the operand whose gradient it is: grad_input has samples, channels and positions, "
        "grad_weight filters, channels and taps."
    )
    shows_on = "more than one index along the axis that is summed"
    gradients = ("input", "weight", "bias")
    transposed = True
    combines = False

    def results(self, scene: Scene, gradient: str, result: Array) -> Forms:
        """Sum within each group, as code does that treats the groups one by one."""
        layer = scene.layer
        if result.shape != scene.answer(gradient).shape:
            return
        if gradient == "input":
            split = result.reshape(layer.batch, layer.groups, layer.channels_per_group, *layer.input)
            summed: dict[str, tuple[int, ...]] = {"over the channels": (2,), "over the samples": (0,)}
        else:
            split = result.reshape(layer.groups, -1, *result.shape[1:])
            summed = {"over the filters": (1,)}
            if gradient == "weight":
                # Of a transposed layer, channels come first.
                first, second = ("channels", "filters") if layer.transposed else ("filters", "channels")
                summed = {f"over the {first}": (1,), f"over the {second}": (2,)}
                summed["over the taps"] = tuple(range(3, split.ndim))
        for variant, axes in summed.items():
            alike = np.broadcast_to(split.sum(axis=axes, keepdims=True), split.shape)
            yield variant, alike.reshape(result.shape)
