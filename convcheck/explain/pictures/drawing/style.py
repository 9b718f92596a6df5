"""How pictures look: colours, hatches, contrast, sizes of type; and drawing cells and captions with them.

A picture is one set of axes in inches, y downwards, so that nothing that is placed can collide with what matplotlib
would place.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.textpath import text_to_path

from convcheck.explain.pictures.panel import Kind

Color = tuple[float, float, float]

# Sizes of type, in points.
HEAD, TITLE, CAPTION, FOOT, TICK = 14.0, 10.5, 9.0, 10.0, 7.5

#: Line distance as a multiple of the size of type.
LEADING = 1.35

INK, MUTED, CORNER_COLOR, WRONG, COPY_COLOR = "#1a1a1a", "#5c5c5c", "#1b7837", "#b2182b", "#7a3f98"

#: Background and hatch of every kind of cell that is no value. They differ by pattern, not by colour alone.
HATCHES: dict[Kind, tuple[Color, str]] = {
    Kind.INSERTED: ((0.96, 0.96, 0.96), "////"),
    Kind.REMAINDER: ((0.93, 0.89, 0.96), "xxxx"),
    Kind.BORDER: ((0.87, 0.87, 0.87), "...."),
    Kind.WRAPPED: ((1.0, 1.0, 1.0), "||||"),
    Kind.MIRRORED: ((1.0, 1.0, 1.0), "//"),
    Kind.REPEATED: ((1.0, 1.0, 1.0), "++"),
    Kind.UNREAD: ((0.95, 0.91, 0.82), "\\\\\\\\"),
    Kind.HOLE: ((1.0, 1.0, 1.0), "oo"),
    Kind.APART: ((0.92, 0.92, 0.92), "----"),
}
_HATCH_INK = "#9a9a9a"

_POINTS = 72.0
_SIGNED, _COUNTS = colormaps["RdBu"], colormaps["Blues"]

#: The ends of the colour map are nearly black; the largest value stays clear of them.
_HEADROOM = 1.25

#: Part of the colour map that counts use: 0 stays apart from the paper, and the darkest from black.
_COUNT_COLORS = (0.07, 0.75)


def contrast(background: Color) -> str:
    """Return the ink, black or white, that has the higher contrast ratio to a background (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "black"


def cell_color(value: float, scale: float, *, counts: bool = False, least: float = 0.0) -> Color:
    """Return a value's colour: red below zero, white at zero, blue above; grey where it is not finite.

    Parameters
    ----------
    least : float
        A magnitude that must not look like zero, where it is above 0: the colour follows the logarithm.
    """
    if not np.isfinite(value):
        return (0.75, 0.75, 0.75)
    if counts:
        lightest, darkest = _COUNT_COLORS
        shade = _COUNTS(lightest + (darkest - lightest) * value / scale)
    else:
        if least and value:
            magnitude = (1 + np.log1p(abs(value) / least)) / (1 + np.log1p(scale / least))
            value = float(np.copysign(min(1.0, magnitude) * scale, value))
        shade = _SIGNED(float(CenteredNorm(0, halfrange=_HEADROOM * scale)(value)))
    red, green, blue, _ = map(float, shade)
    return red, green, blue


def outline(axes: Axes, x: float, y: float, width: float, height: float, thick: float = 1.5) -> None:
    """Draw a black line with a white one inside it: on any colour, one of the two has a contrast of 4.5 to 1."""
    for inset, color in ((thick / 2, "black"), (1.5 * thick, "white")):
        by = inset / _POINTS
        axes.add_patch(
            Rectangle(
                (x + by, y + by), width - 2 * by, height - 2 * by, fill=False, edgecolor=color, linewidth=thick,
                joinstyle="miter",
            )
        )  # fmt: skip


def frame(axes: Axes, x: float, y: float, width: float, height: float) -> None:
    """Draw a heavy line around an area, with a white one on both of its sides."""
    for color, thick in (("white", 4.6), ("black", 2.4)):
        axes.add_patch(
            Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=thick, joinstyle="miter")
        )


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], off: float) -> None:
    """Draw a bent arrow, with a white line on both of its sides, that stops so many inches off its ends."""
    for color, thick in (("white", 3.2), (COPY_COLOR, 1.4)):
        axes.add_patch(
            FancyArrowPatch(
                start, end, connectionstyle="arc3,rad=0.25", arrowstyle="-|>", mutation_scale=9, color=color,
                linewidth=thick, shrinkA=off * _POINTS, shrinkB=off * _POINTS, zorder=2.5,
            )
        )  # fmt: skip


def verdict(axes: Axes, x: float, y: float, size: float, background: Color, *, right: bool) -> None:
    """Mark a compared cell by its shape: a wrong one with a heavy frame and a cross, a right one with a small tick."""
    ink, edge = contrast(background), 0.2 * size
    top = y + 0.08 * size
    if right:
        if size > 0.2:
            left, low = x + 0.07 * size, top + 0.9 * edge
            axes.plot([left, left + edge / 3, left + edge], [low - edge / 3, low, top], color=ink, linewidth=0.7)
        return
    thick = 1.3 if size > 0.2 else 0.8
    by = thick / 2 / _POINTS
    axes.add_patch(
        Rectangle(
            (x + by, y + by), size - 2 * by, size - 2 * by, fill=False, edgecolor=ink, linewidth=thick,
            joinstyle="miter",
        )
    )  # fmt: skip
    # A small cell has no number that a cross would hide.
    across, down = ((x + 0.92 * size - edge, x + 0.92 * size), (top, top + edge)) if size > 0.2 else (
        (x, x + size), (y, y + size)
    )  # fmt: skip
    for ends in (down, down[::-1]):
        axes.plot(across, ends, color=ink, linewidth=thick)


def draw_cell(
    axes: Axes, x: float, y: float, size: float, background: Color, kind: Kind, text: str, size_of_type: float
) -> None:
    """Draw one cell with its text; a zero that is no value is hatched, and what is absent is left out."""
    if kind is Kind.ABSENT:
        return
    axes.add_patch(Rectangle((x, y), size, size, facecolor=background, edgecolor="white", linewidth=0.6))
    if kind in HATCHES:
        color, hatch = HATCHES[kind]
        fill = color if text in ("", "0") else background
        axes.add_patch(Rectangle((x, y), size, size, facecolor=fill, edgecolor=_HATCH_INK, linewidth=0, hatch=hatch))
        background = fill
    if text:
        box = background if kind in HATCHES else None
        ink = contrast(background)
        write(axes, x + size / 2, y + size / 2, text, size_of_type, ink, align="center", middle=True, boxed=box)


def write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    size: float,
    color: str = INK,
    *,
    bold: bool = False,
    align: str = "left",
    middle: bool = False,
    boxed: Color | None = None,
) -> None:
    """Write a text; ``y`` is its top, or its middle. A box keeps it legible on a hatch."""
    box = None if boxed is None else {"facecolor": boxed, "edgecolor": "none", "pad": 0.6}
    axes.text(
        x, y, text, fontsize=size, color=color, weight="bold" if bold else "normal", ha=align,
        va="center" if middle else "top", bbox=box, parse_math=False,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a text in inches."""
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / _POINTS


def wrap(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Break a text into lines of at most ``width`` inches; a longer word keeps a line to itself."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size, bold) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
