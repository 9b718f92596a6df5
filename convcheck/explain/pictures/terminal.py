"""Story -> text for a terminal: maps as grids, coloured where that is possible."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from convcheck.explain.pictures.panel import Kind, Panel, Story
from convcheck.explain.pictures.sizes import number
from convcheck.layer.layer import Layer
from convcheck.layer.words import forward_geometry
from convcheck.wording import visible

#: Stand for zeros that are no values, so that they differ without colour.
_MARKS = {Kind.INSERTED: "·", Kind.REMAINDER: "~", Kind.BORDER: "░", Kind.UNREAD: "×"}

_MARK_NAMES = {
    Kind.INSERTED: "inserted zero (stride)",
    Kind.REMAINDER: "remainder zero",
    Kind.BORDER: "border zero (padding)",
    Kind.UNREAD: "read by no window",
}

# 256-colour backgrounds from red over white to blue, by sign and share of the largest value.
_NEGATIVE, _POSITIVE = (224, 217, 210, 203, 160), (195, 159, 117, 75, 33)

#: Backgrounds on which white is easier to read than black.
_DARK = {160, 33}

Cell = tuple[str, str]


def render(story: Story, layer: Layer, *, width: int = 80, color: bool = False) -> str:
    """Write a story as text.

    Parameters
    ----------
    story : Story
    layer : Layer
    width : int, default 80
        Columns; words are wrapped to it, grids are not.
    color : bool, default False
        Whether to colour cells, as ANSI escape sequences.
    """
    from rich.console import Console
    from rich.text import Text

    buffer = io.StringIO()
    # Grids are as wide as they are: a wrapped grid is unreadable.
    console = Console(
        file=buffer, width=max(width, 20), force_terminal=color, color_system="256" if color else None,
        legacy_windows=False, no_color=not color, emoji=False, markup=False, highlight=False,
    )  # fmt: skip
    console.print(Text(story.title, "bold" if color else ""))
    console.print(Text(visible(f"Layer {layer.name}: {', '.join(forward_geometry(layer))}"), "dim" if color else ""))
    for text in story.intro:
        console.print(text)
    for panel in story.panels:
        console.print()
        console.print(Text(f"{panel.number}. {panel.title}", "bold" if color else ""))
        for line in [*panel.lines, *([panel.shown] if panel.shown else [])]:
            console.print(f"   {line}")
        for row in _rows(panel):
            console.print(_line(row, color), soft_wrap=True)
    console.print()
    for text in story.example:
        console.print(text.replace("Outlined:", "In brackets:"))
    console.print(_legend(story.panels))
    console.print()
    return buffer.getvalue()


def _rows(panel: Panel) -> list[list[Cell]]:
    """Return rows of (text, style) cells, all equally wide, with the indices at the top and the left."""
    values = panel.values
    planes = values.reshape(-1, *values.shape[-2:]) if values.ndim > 1 else values.reshape(1, 1, -1)
    kinds = panel.kinds.reshape(planes.shape)
    starts = (0,) * (3 - values.ndim) + panel.start
    lead = 3 - values.ndim
    rows: list[list[Cell]] = []
    for plane in range(len(planes)):
        if len(planes) > 1:
            rows.append([(f"plane {plane + starts[0]}", "dim")])
        body = []
        for row in range(planes.shape[1]):
            cells = []
            for column in range(planes.shape[2]):
                place = (plane, row, column)
                index = tuple(i + s for i, s in zip(place, starts, strict=True))[lead:]
                cells.append(
                    _cell(
                        panel,
                        float(planes[place]),
                        Kind(int(kinds[place])),
                        index in panel.outlined,
                        panel.texts.get(index),
                        panel.corners.get(index, ""),
                    )
                )
            body.append(cells)
        rows += _with_indices(panel, body, starts)
    return rows


def _cell(panel: Panel, value: float, kind: Kind, outlined: bool, text: str | None, corner: str) -> Cell:
    shown = number(value) if text is None else text.replace("\n", "")
    if kind is not Kind.VALUE and text is None and value == 0:
        shown, style = _MARKS[kind], "dim"
    else:
        style = "" if panel.counts else _style(value, panel.scale)
    shown = f"{corner}:{shown}" if corner else shown
    return (f"[{shown}]" if outlined else f" {shown} "), style


def _with_indices(panel: Panel, body: list[list[Cell]], starts: Sequence[int]) -> list[list[Cell]]:
    labels = panel.labels
    blocks = panel.blocks
    if blocks and labels:
        columns = [labels[1][c // blocks.wide] if c % blocks.wide == 0 else "" for c in range(len(body[0]))]
        rows = [labels[0][r // blocks.high] if r % blocks.high == 0 else "" for r in range(len(body))]
    elif labels:
        rows, columns = list(labels[0]), list(labels[1])
    else:
        columns = [str(c + starts[2]) for c in range(len(body[0]))]
        rows = [str(r + starts[1]) if panel.values.ndim > 1 else "" for r in range(len(body))]
    cell = max(len(text) for cells in body for text, _ in cells)
    cell = max(cell, *(len(text) for text in columns))
    edge = max(map(len, rows))
    head = [(" " * (edge + 4), ""), *((f"{text:>{cell - 1}} ", "dim") for text in columns)]
    lines: list[list[Cell]] = [head]
    for index, (label, cells) in enumerate(zip(rows, body, strict=True)):
        if blocks and index and index % blocks.high == 0:
            lines.append([])
        lines.append([(f"   {label:>{edge}} ", "dim"), *((f"{text:>{cell}}", style) for text, style in cells)])
    return lines


def _style(value: float, scale: float) -> str:
    if not np.isfinite(value) or value == 0:
        return ""
    shades = _NEGATIVE if value < 0 else _POSITIVE
    shade = shades[min(len(shades) - 1, int(abs(value) / scale * len(shades)))]
    return f"{'bright_white' if shade in _DARK else 'black'} on color({shade})"


def _line(cells: Sequence[Cell], color: bool) -> object:
    from rich.text import Text

    line = Text()
    for text, style in cells:
        line.append(text, style if color else "")
    return line


def _legend(panels: Sequence[Panel]) -> str:
    found = {int(kind) for panel in panels for kind in np.unique(panel.kinds)}
    parts = [f"{mark} {_MARK_NAMES[kind]}" for kind, mark in _MARKS.items() if kind in found]
    return "; ".join([*parts, "[ ] belongs to the worked example"] if any(p.outlined for p in panels) else parts)
