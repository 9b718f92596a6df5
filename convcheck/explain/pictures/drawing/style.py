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
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from convcheck.explain.pictures.panel import Kind

Color = tuple[float, float, float]

# Sizes of type, in points.
HEAD, TITLE, CAPTION, FOOT, TICK = 14.0, 10.5, 9.0, 10.0, 7.5

#: Line distance as a multiple of the size of type.
LEADING = 1.35

INK, MUTED, OUTLINE, CORNER_COLOR = "#1a1a1a", "#5c5c5c", "#e08a00", "#1b7837"

#: Background and hatch of every kind of cell that is no value. They differ by pattern, not by colour alone.
HATCHES: dict[Kind, tuple[Color, str]] = {
    Kind.INSERTED: ((0.96, 0.96, 0.96), "////"),
    Kind.REMAINDER: ((0.93, 0.89, 0.96), "xxxx"),
    Kind.BORDER: ((0.87, 0.87, 0.87), "...."),
    Kind.UNREAD: ((0.95, 0.91, 0.82), "\\\\\\\\"),
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


def cell_color(value: float, scale: float, *, counts: bool = False) -> Color:
    """Return a value's colour: red below zero, white at zero, blue above; grey where it is not finite."""
    if not np.isfinite(value):
        return (0.75, 0.75, 0.75)
    if counts:
        lightest, darkest = _COUNT_COLORS
        shade = _COUNTS(lightest + (darkest - lightest) * value / scale)
    else:
        shade = _SIGNED(float(CenteredNorm(0, halfrange=_HEADROOM * scale)(value)))
    red, green, blue, _ = map(float, shade)
    return red, green, blue


def draw_cell(
    axes: Axes, x: float, y: float, size: float, background: Color, kind: Kind, text: str, size_of_type: float
) -> None:
    """Draw one cell with its text; a zero that is no value is hatched."""
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
