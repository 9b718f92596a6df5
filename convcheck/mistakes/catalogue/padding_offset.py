"""The padding is cropped or added at the wrong place."""

from __future__ import annotations

from collections.abc import Iterator

from convcheck.gradients import dilate_flip
from convcheck.mistakes.mistake import Mistake, Wrong
from convcheck.mistakes.scene import Scene
from convcheck.mistakes.walks import gathered, scattered_padded, windowed


class PaddingOffset(Mistake):
    """Padding is not cropped, cropped on the wrong side, or off by one."""

    code = "CC107"
    name = "padding-offset"
    title = "padding is not cropped, cropped on the wrong side, or off by one"
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

    def variants(self, scene: Scene, gradient: str) -> Iterator[Wrong]:
        """Start the input at another padded position than ``before``."""
        axes = scene.layer.axes
        if not any(axis.before or axis.after for axis in axes):
            return
        starts = {
            "on the wrong side": [axis.after for axis in axes],
            "one sample too early": [axis.before - 1 for axis in axes],
            "one sample too late": [axis.before + 1 for axis in axes],
        }
        yield from _input(scene, starts) if gradient == "input" else _weight(scene, starts)


def _input(scene: Scene, starts: dict[str, list[int]]) -> Iterator[Wrong]:
    padded = scattered_padded(scene)
    assert padded is not None
    yield Wrong("not cropped", padded)
    for where, start in starts.items():
        yield Wrong(f"cropped {where}", windowed(padded, start, scene.layer.input))


def _weight(scene: Scene, starts: dict[str, list[int]]) -> Iterator[Wrong]:
    axes = scene.layer.axes
    for where, start in starts.items():
        shift = [axis.before - first for axis, first in zip(axes, start, strict=True)]
        image = windowed(dilate_flip.padded_input(scene.layer, scene.x), shift, [axis.padded_size for axis in axes])
        made = gathered(scene, image)
        if made is not None:
            yield Wrong(f"padded {where}", made)
