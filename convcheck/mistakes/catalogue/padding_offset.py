"""padding is not cropped, cropped on the wrong side, or off by one"""

from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.walks import scattered_padded, walked


class PaddingOffset(Mistake):
    code = "CC107"
    name = "padding-offset"
    explanation = "The padding is taken off (or put on) at the wrong place in the backward pass."
    why = (
        "The gradient of the padded input is easily taken for that of the input, and with equal padding on both sides "
        "the sides cannot be told apart."
    )
    fix = (
        "Crop exactly what the forward pass added: grad_padded[..., before : before + n], each axis with its own "
        "before."
    )
    shows_on = "padded layers; the wrong side needs padding that differs between the sides"
    gradients = ("input", "weight")

    def variants(self, scene: Scene, gradient: str) -> Forms:
        """Start the input at another padded position than ``before``."""
        axes = scene.layer.axes
        if not any(axis.before or axis.after for axis in axes):
            return
        if gradient == "input":
            yield "not cropped", scattered_padded(scene)
        done = "cropped" if gradient == "input" else "padded"
        yield f"{done} on the wrong side", walked(scene, gradient, before=[axis.after for axis in axes])
        yield f"{done} one sample too early", walked(scene, gradient, before=[axis.before - 1 for axis in axes])
        yield f"{done} one sample too late", walked(scene, gradient, before=[axis.before + 1 for axis in axes])
