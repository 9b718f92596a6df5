"""The flipped kernel slides over the dilated, padded dL/dO and fills dL/dX; dL/dO slides over X and fills dL/dW."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
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
from convcheck.explain.pictures.drawing import ANIMATIONS, style
from convcheck.explain.pictures.drawing.page import Picture, draw
from convcheck.explain.pictures.panel import Index, Kind, Panel, Story
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.pictures.sizes import number, turned
from convcheck.explain.pictures.sliding import InputGradient
from convcheck.explain.pictures.sliding import panels_of as input_panels
from convcheck.explain.pictures.weight_gradient import WeightGradient
from convcheck.explain.pictures.window import window_of
from convcheck.explain.pictures.windowed import Windowed
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.wording import told_apart

#: Time to read a sum, and to look at the result, in milliseconds.
_FRAME, _LAST = 1300, 5000

_DPI = 100

#: Of what lies on a cell: told from the cell's own number by its colour, and by the sign in front.
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
class Step:
    """One frame: an entry of the result, and what it comes from.

    Attributes
    ----------
    entry : tuple of int
        In the last panel; ``value`` is what it is filled with.
    cells : mapping
        Cells of the first panel, and what is written into their corners; ``taps``, cells of the second panel.
    right : bool, optional
        Whether the code that is checked gives the same; None without any.
    """

    entry: Index
    value: float
    text: str
    cells: Mapping[Index, str]
    taps: Sequence[Index]
    right: bool | None = None


@dataclass(frozen=True)
class Animation:
    """Frames, one per entry of a gradient, under the ``name`` of its picture."""

    name: str
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
    given: tuple[str, Array] | None = None,
    *,
    sample: int | None = None,
    channel: int | None = None,
    filter: int | None = None,  # noqa: A002
    entry: str | None = None,
) -> Animation:
    """Show how dL/dX is filled entry by entry: one filter's products, and the sum over all filters.

    Parameters
    ----------
    weight : array, shape (F, C/groups, *kernel)
    grad_output : array, shape (N, F, *output)
    given : (str, array of shape (N, C, *input)), optional
        The name of code that is checked, and what it gives; it is said where that is wrong.
    sample, channel, filter : int, optional
        Which slice is shown; by default the first.
    entry : str, optional
        An entry of that slice, such as ``input[0,1,2,2]``: of a large map, what is near it is shown.

    Raises
    ------
    UsageError
        If the slice does not exist.
    """
    chosen = Selection.of(layer, sample, channel, filter, entry)
    return _input_gradient(layer, weight, grad_output, given, chosen)


def weight_gradient_animation(
    layer: Layer,
    x: Array,
    grad_output: Array,
    given: tuple[str, Array] | None = None,
    *,
    sample: int | None = None,
    channel: int | None = None,
    filter: int | None = None,  # noqa: A002
    entry: str | None = None,
) -> Animation:
    """Show how dL/dW is filled tap by tap: dL/dO, dilated, is laid over the padded input and moves on.

    Parameters
    ----------
    x : array, shape (N, C, *input)
    grad_output : array, shape (N, F, *output)
    given : (str, array of shape (F, C/groups, *kernel)), optional
        The name of code that is checked, and what it gives; it is said where that is wrong.
    sample, channel, filter : int, optional
        Which slice is shown; by default the first.
    entry : str, optional
        An entry of that slice, such as ``weight[0,1,2,2]``.

    Raises
    ------
    UsageError
        If the slice does not exist.
    """
    chosen = Selection.of(layer, sample, channel, filter, entry)
    return _weight_gradient(layer, x, grad_output, given, chosen)


def of_layer(
    name: str, layer: Layer, operands: Operands, chosen: Selection, given: tuple[str, Mapping[str, Array]] | None
) -> Animation:
    """Return an animation of `MOVING`; ``given`` is code that is checked, by its name, and the arrays that it gave."""
    array = "input" if name == "input-gradient" else "weight"
    code = (given[0], given[1][array]) if given is not None and array in given[1] else None
    if array == "input":
        return _input_gradient(layer, operands.weight, operands.grad_output, code, chosen)
    return _weight_gradient(layer, operands.x, operands.grad_output, code, chosen)


def _input_gradient(
    layer: Layer, weight: Array, grad_output: Array, given: tuple[str, Array] | None, chosen: Selection
) -> Animation:
    code, steps = given and (given[0], given[1][chosen.sample, chosen.channel]), []
    if layer.transposed:
        made = Windowed.of(layer, grad_output, weight, chosen)
        under, kernel, result, *_ = made.panels()
        for entry in _shown(result):
            cells = made.cells(entry)
            words = {cell: f"×{number(float(made.kernels[(made.inside, *tap)]))}" for tap, cell in cells.items()}
            steps.append(_step(entry, float(made.values[entry]), made.sums(entry), words, list(cells), code))
        return _animated(
            layer, "input-gradient", "The kernel is laid over dL/dO and fills dL/dX",
            "Each place of the kernel gives one entry: the outlined cells times the taps on them, added up.",
            (under, kernel, result), steps,
        )  # fmt: skip
    arrays, window = InputGradient.of(layer, weight, grad_output, chosen), window_of(layer, chosen)
    panels = input_panels(arrays, window)
    kernel = replace(panels.spread or panels.rotated, lines=(turned(layer),))
    result = panels.total or replace(panels.part, lines=panels.part.lines[1:])
    spacing = layer.dilation if panels.spread else (1,) * len(layer.axes)
    for entry in product(*window.input):
        words = {}
        for cell, tap in arrays.window_of_entry(entry):
            # A cell may lie under several taps: the kernel is laid on every copy of the entry.
            words[cell] = f"{words.get(cell, '')}×{number(float(arrays.rotated[tap]))}"
        taps = [tuple(a * d for a, d in zip(tap, spacing, strict=True)) for _, tap in arrays.meeting(entry)]
        steps.append(_step(entry, float(arrays.total[entry]), arrays.sums(entry), words, taps, code))
    intro = "Each place of the kernel gives one entry: the outlined cells times the taps on them, added up."
    if layer.repeats_samples:
        intro += " An entry with copies in the padding has several places, one for each."
    return _animated(
        layer, "input-gradient", "The flipped kernel slides over the padded dL/dO and fills dL/dX", intro,
        (panels.full, kernel, result), steps,
    )  # fmt: skip


def _weight_gradient(
    layer: Layer, x: Array, grad_output: Array, given: tuple[str, Array] | None, chosen: Selection
) -> Animation:
    arrays = WeightGradient.of(layer, x, grad_output, chosen)
    under, gradient, *others = arrays.panels()
    result = next(panel for panel in reversed(others) if not panel.coarse)
    code = given and (given[0], given[1][layer.slice_between(chosen.channel, chosen.filter)])
    steps = []
    for tap in _shown(result):
        cells = {place: f"×{number(b)}" for place, (_, b) in arrays.factors(tap).items()}
        spread = [tuple(i * s for i, s in zip(o, layer.stride, strict=True)) for _, o in arrays.meeting(tap)]
        steps.append(_step(tap, float(arrays.total[tap]), arrays.sums(tap), cells, spread, code))
    over, laid = ("dL/dO", "X") if layer.transposed else ("the input", "dL/dO")
    samples = "entries of dL/dO" if layer.transposed else "samples"
    return _animated(
        layer, "weight-gradient", f"{laid}, dilated, is laid over {over} and fills dL/dW",
        f"Each place of {laid} gives one tap: the outlined {samples} times the {laid} on them, added up.",
        (under, gradient, result), steps,
    )  # fmt: skip


def _shown(panel: Panel) -> Iterator[Index]:
    """Yield the entries that a panel shows, in their order."""
    return product(*(range(i, i + n) for i, n in zip(panel.start, panel.values.shape, strict=True)))


def _step(
    entry: Index,
    value: float,
    sums: Sequence[str],
    cells: Mapping[Index, str],
    taps: Sequence[Index],
    code: tuple[str, Array] | None,
) -> Step:
    text, right = "; ".join(f"{line[0].lower()}{line[1:]}" if i else line for i, line in enumerate(sums)), None
    if code is not None:
        name, array = code
        found = float(array[entry])
        right = found == value
        text += f". {name} gives {'the same' if right else told_apart(found, value)[0].replace('-', '−')}"
    return Step(entry, value, text, cells, taps, right)


def _animated(
    layer: Layer, name: str, title: str, intro: str, panels: tuple[Panel, Panel, Panel], steps: Sequence[Step]
) -> Animation:
    """Draw what does not move, and every step."""
    first, second, result = (
        replace(panel, number=str(count), outlined=frozenset(), framed=(), corners={})
        for count, panel in enumerate(panels, start=1)
    )
    result = replace(
        result, texts=dict.fromkeys((step.entry for step in steps), ""), values=np.zeros_like(result.values)
    )
    # The longest sum holds the room for all of them.
    longest = max((step.text for step in steps), key=lambda text: style.text_width(text, style.FOOT))
    story = Story(name, title, (intro,), (first, second, result), (longest,))
    return Animation(name, title, story.description, tuple(_frames(draw(story, layer), result.scale, steps)))


def _frames(base: Picture, scale: float, steps: Sequence[Step]) -> Iterator[Image.Image]:
    """Draw what does not move once, then one frame per entry: the entry filled in, and what it comes from outlined."""
    canvas: Any = FigureCanvasAgg(base)
    base.set_dpi(_DPI)
    axes = base.axes[0]
    left, top, width, height = base.foot
    axes.add_patch(Rectangle((left, top), width, height, facecolor="white", zorder=5))
    canvas.draw()
    filled = canvas.copy_from_bbox(base.bbox)
    over, beside, result = base.places
    for step in steps:
        canvas.restore_region(filled)
        with _drawn_and_gone(axes):
            x, y, edge = result[step.entry]
            size = min(9.5, 10 * 0.86 * edge / style.text_width(f"−{number(scale)}", 10))
            color = style.cell_color(step.value, scale)
            style.draw_cell(axes, x, y, edge, color, Kind.VALUE, number(step.value), size)
            if step.right is not None:
                style.verdict(axes, x, y, edge, color, right=step.right)
        filled = canvas.copy_from_bbox(base.bbox)
        with _drawn_and_gone(axes):
            covered = [(over[cell], words) for cell, words in step.cells.items() if cell in over]
            for (x, y, edge), words in covered:
                # What lies on the cell, below the cell's own number.
                style.write(
                    axes, x + 0.92 * edge, y + 0.84 * edge, words, 15 * edge, _ON_TOP,
                    bold=True, align="right", middle=True, boxed=(1, 1, 1),
                )  # fmt: skip
            taps = [beside[tap] for tap in step.taps if tap in beside]
            for x, y, edge in [*(place for place, _ in covered), *taps, result[step.entry]]:
                style.outline(axes, x, y, edge, edge)
            for line, words in enumerate(style.wrap(step.text, width, style.FOOT)):
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
