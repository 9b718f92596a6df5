"""The turned kernel slides over the dilated, padded dL/dO and fills dL/dX entry by entry."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from PIL import Image, features

from convcheck.errors import UsageError
from convcheck.explain.pictures import input_gradient as maps
from convcheck.explain.pictures.drawing import ANIMATIONS, style
from convcheck.explain.pictures.drawing.page import Picture, draw
from convcheck.explain.pictures.panel import Index, Kind, Story
from convcheck.explain.pictures.sizes import at, number, sum_text
from convcheck.explain.pictures.window import Selection, most_read, window_of
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer

#: Time to read a sum, and to look at the result, in milliseconds.
_FRAME, _LAST = 1300, 5000

#: Cells per axis of the map that the kernel slides over: at most some 80 frames.
_LIMIT = 9

_DPI = 100

#: Darker than the outline, so that small type is legible.
_ON_TOP = "#9a4a00"


def require(format: str) -> None:  # noqa: A002
    """Complain if a format cannot be written here.

    Raises
    ------
    UsageError
        Saying what is missing.
    """
    if format not in ANIMATIONS:
        raise UsageError(f'format "{format}" is not one of {", ".join(ANIMATIONS)}')
    if format == "webp" and not features.check("webp"):
        raise UsageError(
            "format webp cannot be written: this Pillow was built without libwebp; use gif or apng instead"
        )


@dataclass(frozen=True)
class Animation:
    """Frames, one per entry of dL/dX."""

    title: str
    description: str
    frames: tuple[Image.Image, ...]

    def encode(self, format: str) -> bytes:  # noqa: A002
        """Return the bytes of a file: "gif", "webp" or "apng".

        Raises
        ------
        UsageError
            If the format cannot be written here.
        """
        require(format)
        buffer = io.BytesIO()
        # All frames share the colours of the last, which has all of them; a palette per frame would flicker.
        palette = self.frames[-1].quantize(255, dither=Image.Dither.NONE)
        frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self.frames]
        times = [_FRAME] * (len(frames) - 1) + [_LAST]
        name, options = ANIMATIONS[format]
        frames[0].save(buffer, name, save_all=True, append_images=frames[1:], duration=times, loop=0, **options)
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        """Show the animation in a notebook; browsers play APNG."""
        return self.encode("apng")


def input_gradient_animation(
    layer: Layer,
    weight: Array,
    grad_output: Array,
    *,
    sample: int = 0,
    channel: int | None = None,
    filter: int | None = None,  # noqa: A002
) -> Animation:
    """Show how one filter's part of dL/dX is filled entry by entry.

    Parameters
    ----------
    weight : array, shape (F, C/groups, *kernel)
    grad_output : array, shape (N, F, *output)
    sample, channel, filter : int, optional
        Which slice is shown; by default the first.

    Raises
    ------
    UsageError
        If the slice does not exist.
    """
    chosen = Selection.of(layer, sample, channel, filter)
    arrays, window = maps.InputGradient.of(layer, weight, grad_output, chosen), window_of(layer, _LIMIT)
    panels = maps.panels_of(arrays, window, most_read(layer, window))
    sums = {entry: _sum(arrays, entry) for entry in product(*window.input)}
    whose = panels.part.lines[-1] if panels.total else "dL/dX"
    result = replace(
        panels.part, number="3", title=whose, texts=dict.fromkeys(sums, ""),
        values=np.zeros_like(panels.part.values), outlined=frozenset(),
    )  # fmt: skip
    turned = replace(
        panels.rotated, number="2", title="W, rotated by 180°", lines=panels.rotated.lines[1:], corners={},
        outlined=frozenset(),
    )  # fmt: skip
    story = Story(
        name="input-gradient",
        title="The turned kernel slides over the padded dL/dO and fills dL/dX",
        intro=("Each place of the kernel gives one entry: the outlined cells times the taps on them, added up.",),
        panels=(
            replace(panels.full, number="1", title="dL/dO, zeros inserted, padded", outlined=frozenset()),
            turned,
            result,
        ),
        # The longest sum holds the room for all of them.
        example=(max(sums.values(), key=lambda text: style.text_width(text, style.FOOT)),),
    )
    frames = tuple(_frames(draw(story, layer), arrays, result.scale, sums))
    return Animation(story.title, story.description, frames)


def _sum(arrays: maps.InputGradient, entry: Index) -> str:
    terms = arrays.terms(entry)
    products = sum_text(terms) if terms else "0 (only zeros under the kernel)"
    return f"dL/dX{at(entry)} = {products}" + (f" = {number(float(arrays.part[entry]))}" if terms else "")


def _frames(base: Picture, arrays: maps.InputGradient, scale: float, sums: dict[Index, str]) -> Iterator[Image.Image]:
    """Draw what does not move once, then one frame per entry: the entry filled in, and what it comes from outlined."""
    canvas: Any = FigureCanvasAgg(base)
    base.set_dpi(_DPI)
    axes = base.axes[0]
    left, top, width, height = base.foot
    axes.add_patch(Rectangle((left, top), width, height, facecolor="white", zorder=5))
    canvas.draw()
    filled = canvas.copy_from_bbox(base.bbox)
    full, kernel, result = base.places
    for entry, text in sums.items():
        canvas.restore_region(filled)
        with _drawn_and_gone(axes):
            x, y, edge = result[entry]
            value = float(arrays.part[entry])
            size = min(9.5, 10 * 0.86 * edge / style.text_width(f"−{number(scale)}", 10))
            style.draw_cell(axes, x, y, edge, style.cell_color(value, scale), Kind.VALUE, number(value), size)
        filled = canvas.copy_from_bbox(base.bbox)
        with _drawn_and_gone(axes):
            window = [(full[cell], tap) for cell, tap in arrays.window_of_entry(entry) if cell in full]
            for (x, y, edge), tap in window:
                # The tap that lies on the cell, below the cell's own number.
                words = f"×{number(float(arrays.rotated[tap]))}"
                style.write(
                    axes, x + 0.92 * edge, y + 0.84 * edge, words, 15 * edge, _ON_TOP,
                    bold=True, align="right", middle=True, boxed=(1, 1, 1),
                )  # fmt: skip
            taps = [kernel[tap] for _, tap in arrays.meeting(entry) if tap in kernel]
            for x, y, edge in [*(place for place, _ in window), *taps, result[entry]]:
                axes.add_patch(Rectangle((x, y), edge, edge, fill=False, edgecolor=style.OUTLINE, linewidth=2.2))
            for line, words in enumerate(style.wrap(text, width, style.FOOT)):
                style.write(axes, left, top + line * style.FOOT * style.LEADING / 72, words, style.FOOT)
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


@contextmanager
def _drawn_and_gone(axes: Axes) -> Iterator[None]:
    """Draw what is added to the axes meanwhile onto what is there, and take it away again."""
    before = set(axes.get_children())
    yield
    for artist in [artist for artist in axes.get_children() if artist not in before]:
        axes.draw_artist(artist)
        artist.remove()
