"""padding is not cropped, cropped on the wrong side, or off by one"""

from collections.abc import Sequence

from convcheck.layer.arrays import Array
from convcheck.layer.axis import Axis
from convcheck.mistakes.mistake import Forms, Mistake, Scene
from convcheck.mistakes.parts import mixed, parts, together
from convcheck.mistakes.walks import scattered_padded, walked, windowed


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
        "before; and pad the input for grad_weight just as the forward pass does."
    )
    shows_on = "padded layers; the wrong side needs padding that differs between the sides"
    gradients = ("input", "weight")
    transposed = True

    def variants(self, scene: Scene, gradient: str) -> Forms:
        """Start the input at another padded position than ``before``, or leave padding on it."""
        layer, axes = scene.layer, scene.layer.axes
        if not any(map(_padded, axes)):
            return
        before = [axis.before for axis in axes]
        early, late = [start - 1 for start in before], [start + 1 for start in before]
        wrong_side, all_in_front = [axis.after for axis in axes], [axis.before + axis.after for axis in axes]
        # Of a transposed layer, grad_output is padded where that of a plain one is cropped.
        padded = scattered_padded(scene) if gradient == "input" and not layer.transposed else None

        def started(start: Sequence[int]) -> Array | None:
            if padded is None:
                return walked(scene, gradient, before=start)
            return windowed(padded, start, layer.input)

        done = "cropped" if gradient == "input" and not layer.transposed else "padded"
        for words, some in parts(layer, _padded):
            yield together(f"{done} on the wrong side", words), started(mixed(wrong_side, before, some))
            yield together(f"{done} one sample too early", words), started(mixed(early, before, some))
            yield together(f"{done} one sample too late", words), started(mixed(late, before, some))
        # With a padding of 1 these are the same as one sample too early or too late.
        if any(early):
            yield f"{done} behind only", started([0] * len(axes))
        if all_in_front != late:
            yield f"{done} in front only", started(all_in_front)
        if padded is None:
            return
        whole, right = [(0, axis.padded_size) for axis in axes], [(axis.before, axis.size) for axis in axes]
        for words, some in parts(layer, _padded):
            yield together("not cropped", words), _cut(padded, mixed(whole, right, some))
        if any(before) and any(wrong_side):
            yield "not cropped in front", _cut(padded, [(0, axis.before + axis.size) for axis in axes])
            yield "not cropped behind", _cut(padded, [(axis.before, axis.size + axis.after) for axis in axes])
        twice = [axis.size - axis.before - axis.after for axis in axes]
        if min(twice) > 0:
            yield "taken off twice behind", _cut(padded, list(zip(before, twice, strict=True)))


def _cut(padded: Array, cuts: Sequence[tuple[int, int]]) -> Array:
    """Cut from a start so many samples, on each axis."""
    return windowed(padded, [start for start, _ in cuts], [size for _, size in cuts])


def _padded(axis: Axis) -> bool:
    return bool(axis.before or axis.after)
