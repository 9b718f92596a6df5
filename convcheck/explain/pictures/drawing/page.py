"""Story -> matplotlib Figure: panels in the order in which they are read, with what is said above and below."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from convcheck.explain.pictures.drawing import style
from convcheck.explain.pictures.drawing.sheet import Line, Place, Sheet, height_of, write_lines
from convcheck.explain.pictures.panel import KIND_NAMES, Index, Kind, Panel, Story
from convcheck.layer.layer import Layer
from convcheck.layer.words import forward_geometry

#: Inches: around the page, between panels, below a row, the widest row, and the least width for the words.
_MARGIN, _GAP, _BELOW, _WIDEST, _NARROWEST = 0.35, 0.5, 0.3, 14.6, 7.0

#: Edge of a cell; smaller where a map would be larger than `_MAP`, down to the second number.
_CELL, _SMALL_CELL, _MAP = 0.42, 0.27, 3.9

#: Room for the mark in front of the worked example, and a line of the legend.
_MARK, _LEGEND_LINE = 0.3, 0.27


class Picture(Figure):
    """A matplotlib Figure with a title and a description, for those who do not see it.

    Attributes
    ----------
    places : list of mapping
        For each panel, by the index of a cell: its left, top and edge, in inches from the upper left.
    foot : tuple of float
        Left, top, width and height of the worked example, in inches.
    """

    foot: tuple[float, float, float, float]
    places: list[dict[Index, Place]]
    title: str = ""
    description: str = ""

    def _repr_png_(self) -> bytes:
        """Show the picture in a notebook, without pyplot."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def draw(story: Story, layer: Layer | None = None) -> Picture:
    """Draw a story, with the layer in a line below its title."""
    subtitle = f"Layer {layer.name}: {', '.join(forward_geometry(layer))}" if layer else ""
    rows = _rows(story.panels)
    inner = max(_NARROWEST, *(sum(s.width for s in row) + _GAP * (len(row) - 1) for row in rows))
    head = [
        *_lines([story.title], style.HEAD, inner, bold=True),
        *_lines([subtitle], style.CAPTION, inner, style.MUTED),
        Line("", style.CAPTION / 2),
        *_lines(story.intro, style.FOOT, inner),
    ]
    foot, legend = _lines(story.example, style.FOOT, inner - _MARK), _legend(story.panels, inner)
    # Maps of a row start below its longest text.
    texts = [max(sheet.text_height for sheet in row) for row in rows]
    heights = [text + max(s.map_height for s in row) + _BELOW for text, row in zip(texts, rows, strict=True)]
    height = 2 * _MARGIN + height_of(head) + 0.2 + sum(heights) + height_of(foot) + 0.15 + len(legend) * _LEGEND_LINE
    picture = Picture(figsize=(inner + 2 * _MARGIN, height), facecolor="white")
    picture.title, picture.description = story.title, " ".join(part for part in (subtitle, story.description) if part)
    # One set of axes over all of the page, in inches, y downwards.
    axes = picture.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, inner + 2 * _MARGIN)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    y = write_lines(axes, _MARGIN, _MARGIN, head) + 0.2
    picture.places = []
    for row, text_height, row_height in zip(rows, texts, heights, strict=True):
        x = _MARGIN
        for sheet in row:
            picture.places.append(sheet.draw(axes, x, y, text_height))
            x += sheet.width + _GAP
        y += row_height
    picture.foot = (_MARGIN + _MARK, y, inner - _MARK, height_of(foot))
    if any(panel.outlined for panel in story.panels):
        style.outline(axes, _MARGIN, y, 0.17, 0.17)
    y = write_lines(axes, _MARGIN + _MARK, y, foot) + 0.15
    for line in legend:
        x = _MARGIN
        for words, meaning in line:
            _draw_key(axes, x, y, meaning)
            style.write(axes, x + _MARK, y + 0.1, words, style.CAPTION, middle=True)
            x += _legend_width(words)
        y += _LEGEND_LINE
    return picture


def _lines(
    texts: Sequence[str], size: float, width: float, color: str = style.INK, *, bold: bool = False
) -> list[Line]:
    return [Line(line, size, color, bold) for text in texts for line in style.wrap(text, width, size, bold=bold)]


def _rows(panels: Sequence[Panel]) -> list[list[Sheet]]:
    """Place panels in sheets, in rows that are not too wide; 4a, 4b and 4c stay together where they can.

    Cells are equally large in all of them, so that sizes can be compared.
    """
    # What is small anyway, or has the width to itself, need not make others small.
    sized = [panel for panel in panels if panel.values.ndim > 1 and not panel.coarse and not panel.wires]
    longest = max((size for panel in sized for size in panel.values.shape[-2:]), default=1)
    cell = max(_SMALL_CELL, min(_CELL, _MAP / longest))
    rows: list[list[Sheet]] = [[]]
    for _, siblings in groupby(panels, key=lambda panel: panel.number.rstrip("abc")):
        sheets = [Sheet(panel, cell) for panel in siblings]
        if sum(s.width + _GAP for s in [*rows[-1], *sheets]) - _GAP > _WIDEST and rows[-1]:
            rows.append([])
        for sheet in sheets:
            if rows[-1] and sum(s.width + _GAP for s in rows[-1]) + sheet.width > _WIDEST:
                rows.append([])
            rows[-1].append(sheet)
    return rows


#: What is explained: a kind of cell, or one of the words below.
_Entry = tuple[str, Kind | str]


def _legend(panels: Sequence[Panel], width: float) -> list[list[_Entry]]:
    """Say what colours, hatches and marks mean, in lines that fit."""
    entries: list[_Entry] = []
    if any(panel.counts and not panel.texts for panel in panels):
        entries.append(("the darker, the more", "counts"))
    if any(not panel.counts and not panel.wires for panel in panels):
        entries.append(("red: negative, white: 0, blue: positive", "signed"))
    found = {int(kind) for panel in panels for kind in np.unique(panel.kinds)}
    entries += [(name, kind) for kind, name in KIND_NAMES.items() if kind in found]
    marks = {right for panel in panels for right in panel.marks.values()}
    entries += [(name, name) for name, right in (("wrong", False), ("right", True)) if right in marks]
    if any(not panel.whole for panel in panels):
        entries.append(("the map goes on", "rest"))
    lines: list[list[_Entry]] = [[]]
    used = 0.0
    for entry in entries:
        room = _legend_width(entry[0])
        if lines[-1] and used + room > width:
            lines.append([])
            used = 0.0
        lines[-1].append(entry)
        used += room
    return lines


def _legend_width(words: str) -> float:
    return 0.6 + style.text_width(words, style.CAPTION)


def _draw_key(axes: Axes, x: float, y: float, meaning: Kind | str) -> None:
    if isinstance(meaning, Kind):
        style.draw_cell(axes, x, y, 0.2, (1.0, 1.0, 1.0), meaning, "", 1.0)
    elif meaning in ("right", "wrong"):
        axes.add_patch(Rectangle((x, y), 0.21, 0.21, facecolor="white", edgecolor=style.MUTED, linewidth=0.4))
        style.verdict(axes, x, y, 0.21, (1.0, 1.0, 1.0), right=meaning == "right")
    elif meaning == "rest":
        axes.plot([x, x + 0.2], [y + 0.1, y + 0.1], linestyle=":", color=style.MUTED, linewidth=2)
    else:
        values, counts = ((0.3, 0.6, 1.0), True) if meaning == "counts" else ((-1.0, 0.0, 1.0), False)
        for part, value in enumerate(values):
            color = style.cell_color(value, 1.0, counts=counts)
            place = (x + part * 0.08, y + 0.02)
            axes.add_patch(Rectangle(place, 0.08, 0.16, facecolor=color, edgecolor=style.MUTED, linewidth=0.4))
