"""The turned kernel slides over the dilated, padded dL/dO and fills dL/dX entry by entry."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from PIL import Image, features

from convcheck.errors import UsageError
from convcheck.explain.pictures import input_gradient as maps
from convcheck.explain.pictures.common import at, sum_text
from convcheck.explain.pictures.drawing import style
from convcheck.explain.pictures.drawing.page import Picture, draw, layer_line
from convcheck.explain.pictures.drawing.sheet import Place
from convcheck.explain.pictures.panel import Index, Kind, Story
from convcheck.explain.pictures.sizes import number
from convcheck.explain.pictures.window import Selection, full_kinds, window_of
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer

#: Format -> what Pillow calls it.
FORMATS = {"gif": "GIF", "webp": "WEBP", "apng": "PNG"}

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
    if format not in FORMATS:
        raise UsageError(f'format "{format}" is not one of {", ".join(FORMATS)}')
    if format == "webp" and not features.check("webp"):
        raise UsageError(
            "format webp cannot be written: this Pillow was built without libwebp; use gif or apng instead"
        )


@dataclass(frozen=True)
class Animation:
    """Frames, one per entry of dL/dX.

    Attributes
    ----------
    title, description : str
    frames : tuple of PIL.Image.Image
    """

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
        frames[0].save(
            buffer, FORMATS[format], save_all=True, append_images=frames[1:], duration=times, loop=0, **_OPTIONS[format]
        )  # fmt: skip
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        """Show the animation in a notebook; browsers play APNG."""
        return self.encode("apng")


_OPTIONS: dict[str, dict[str, bool]] = {"gif": {"optimize": True}, "webp": {"lossless": True}, "apng": {}}


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
    layer : Layer
    weight : array, shape (F, C/groups, *kernel)
    grad_output : array, shape (N, F, *output)
    sample, channel, filter : int, optional
        Which slice is shown; by default the first.

    Returns
    -------
    Animation

    Raises
    ------
    UsageError
        If the slice does not exist.
    """
    chosen = Selection.of(layer, sample, channel, filter)
    arrays = maps.InputGradient.of(layer, weight, grad_output, chosen)
    window = window_of(layer, _LIMIT)
    entries = list(product(*window.input))
    story = _story(maps.story(layer, weight, grad_output, chosen, _LIMIT), entries)
    sums = {entry: _sum(arrays, entry) for entry in entries}
    longest = max(sums.values(), key=lambda text: style.text_width(text, style.FOOT))
    # The longest sum holds the room for all of them.
    base = draw(replace(story, example=(longest,)), layer_line(layer))
    frames = tuple(_frames(base, arrays, story.panels[-1].scale, sums))
    return Animation(story.title, story.description, frames)


def _story(told: Story, entries: list[Index]) -> Story:
    """The panels that move: the full map, the turned kernel, and dL/dX, still empty."""
    full, kernel, result = (next(p for p in told.panels if p.number == number) for number in ("3", "4b", "5"))
    return replace(
        told,
        title="The turned kernel slides over the padded dL/dO and fills dL/dX",
        intro=("Each place of the kernel gives one entry: the outlined cells times the taps on them, added up.",),
        panels=(
            replace(full, number="1", title="dL/dO, zeros inserted, padded", outlined=frozenset()),
            replace(
                kernel, number="2", title="W, rotated by 180°", lines=kernel.lines[1:], corners={},
                outlined=frozenset(),
            ),
            replace(
                result, number="3", title=result.lines[-1] if len(told.panels) > 6 else "dL/dX",
                texts=dict.fromkeys(entries, ""), values=np.zeros_like(result.values), outlined=frozenset(),
            ),
        ),
    )  # fmt: skip


def _sum(arrays: maps.InputGradient, entry: Index) -> str:
    terms = arrays.terms(entry)
    products = sum_text(terms) if terms else "0 (only zeros under the kernel)"
    return f"dL/dX{at(entry)} = {products}" + (f" = {number(float(arrays.part[entry]))}" if terms else "")


def _frames(base: Picture, arrays: maps.InputGradient, scale: float, sums: dict[Index, str]) -> Iterator[Image.Image]:
    canvas = FigureCanvasAgg(base)
    base.set_dpi(_DPI)
    axes = base.axes[0]
    axes.add_patch(Rectangle(base.foot[:2], base.foot[2], base.foot[3], facecolor="white", zorder=5))
    canvas.draw()  # type: ignore[no-untyped-call]
    # What does not move is drawn once.
    filled = canvas.copy_from_bbox(base.bbox)  # type: ignore[no-untyped-call]
    for entry, text in sums.items():
        canvas.restore_region(filled)  # type: ignore[no-untyped-call]
        _show(axes, lambda entry=entry: _fill(axes, base.places["3"][entry], float(arrays.part[entry]), scale))  # type: ignore[misc]
        filled = canvas.copy_from_bbox(base.bbox)  # type: ignore[no-untyped-call]
        _show(axes, lambda entry=entry, text=text: _mark(axes, base, arrays, entry, text))  # type: ignore[misc]
        shown = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        yield Image.fromarray(shown[..., :3].copy())


def _show(axes: Axes, add: Callable[[], None]) -> None:
    """Draw what ``add`` adds to the axes onto what is there, and take it away again."""
    before = set(axes.get_children())
    add()
    for artist in [artist for artist in axes.get_children() if artist not in before]:
        axes.draw_artist(artist)
        artist.remove()


def _fill(axes: Axes, place: Place, value: float, scale: float) -> None:
    x, y, edge = place
    size = min(9.5, 10 * 0.86 * edge / style.text_width(f"−{number(scale)}", 10))
    style.draw_cell(axes, x, y, edge, style.cell_color(value, scale), Kind.VALUE, number(value), size)


def _mark(axes: Axes, base: Picture, arrays: maps.InputGradient, entry: Index, text: str) -> None:
    """Outline the window and the entry, and in the kernel the taps that meet a value; write the sum."""
    kinds = full_kinds(arrays.layer, padded=True)
    pairs = arrays.window_of_entry(entry)
    places = [base.places["1"][cell] for cell, _ in pairs if cell in base.places["1"]]
    for (x, y, edge), tap in zip(places, (tap for cell, tap in pairs if cell in base.places["1"]), strict=True):
        # The tap that lies on the cell, below the cell's own number.
        words = f"×{number(float(arrays.rotated[tap]))}"
        style.write(
            axes,
            x + 0.92 * edge,
            y + 0.84 * edge,
            words,
            15 * edge,
            _ON_TOP,
            bold=True,
            align="right",
            middle=True,
            boxed=(1, 1, 1),
        )
    places += [base.places["2"][tap] for cell, tap in pairs if kinds[cell] == Kind.VALUE and tap in base.places["2"]]
    for x, y, edge in [*places, base.places["3"][entry]]:
        axes.add_patch(Rectangle((x, y), edge, edge, fill=False, edgecolor=style.OUTLINE, linewidth=2.2))
    left, top, width, _ = base.foot
    for line, words in enumerate(style.wrap(text, width, style.FOOT)):
        style.write(axes, left, top + line * style.FOOT * style.LEADING / 72, words, style.FOOT)
