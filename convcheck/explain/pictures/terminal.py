"""Story -> text for a terminal: maps as grids, coloured where that is possible."""

from __future__ import annotations

import io

import numpy as np

from convcheck.explain.pictures.panel import COPIES, Index, Kind, Panel, Story
from convcheck.explain.pictures.sizes import number
from convcheck.layer.layer import Layer
from convcheck.layer.words import forward_geometry
from convcheck.wording import visible

#: Stand for zeros that are no values, so that they differ without colour.
_MARKS = {
    Kind.INSERTED: "·", Kind.REMAINDER: "~", Kind.BORDER: "░", Kind.UNREAD: "×", Kind.HOLE: "o", Kind.APART: "/",
    Kind.WRAPPED: "↻", Kind.MIRRORED: "⇆", Kind.REPEATED: "=",
}  # fmt: skip

_MARK_NAMES = {
    Kind.INSERTED: "inserted zero (stride)",
    Kind.REMAINDER: "remainder zero",
    Kind.BORDER: "border zero (padding)",
    Kind.WRAPPED: "copy, wrapped round (circular)",
    Kind.MIRRORED: "copy, mirrored (reflect)",
    Kind.REPEATED: "copy of the border (replicate)",
    Kind.UNREAD: "in no window",
    Kind.HOLE: "hole between two taps (dilation)",
    Kind.APART: "another group",
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
    width : int, default 80
        Columns; words are wrapped to it, and maps of a single axis; other grids are not.
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
        for line in [*panel.lines, *filter(None, [panel.shown]), *_words(panel)]:
            console.print(f"   {line}")
        for row in _rows(panel, width):
            cells = Text()
            for text, style in row:
                cells.append(text, style if color else "")
            console.print(cells, soft_wrap=True)
    console.print()
    for text in story.example:
        console.print(text.replace("Outlined:", "In brackets:"))
    found = {int(kind) for panel in story.panels for kind in np.unique(panel.kinds)}
    legend = [f"{mark} {_MARK_NAMES[kind]}" for kind, mark in _MARKS.items() if kind in found]
    if any(panel.outlined for panel in story.panels):
        legend.append("[ ] belongs to the worked example")
    if any(panel.marks for panel in story.panels):
        legend.append("! wrong")
    console.print("; ".join(legend))
    console.print()
    return buffer.getvalue()


def _words(panel: Panel) -> list[str]:
    """Say what a grid of characters does not show: frames, lines, and what rows and columns stand for."""
    words = []
    if panel.sides is not None:
        words.append(" × ".join(filter(None, panel.sides)) + " (rows × columns)")
    for first, last in panel.framed:
        spans = (
            f"{name} {a}–{b}" if a != b else f"{name.removesuffix('s')} {a}"
            for name, a, b in zip(panel.names[-len(first) :], first, last, strict=True)
        )
        words.append(f"framed: {', '.join(spans)}")
    bold = [wire for wire in panel.wires if wire.bold]
    if bold:
        above, *_, below = panel.labels[0] if panel.labels else ("O", "X")
        ends = (
            f"{above}[{panel.texts[wire.start]}] -{wire.label}- {below}[{panel.texts[wire.end] or 'padding'}]"
            for wire in bold
        )
        words.append("lines: " + ", ".join(ends))
    return words


def _rows(panel: Panel, width: int) -> list[list[Cell]]:
    """Return rows of (text, style) cells, all equally wide, with the indices at the top and the left."""
    planes, high, wide = panel.planes[0].shape
    names = panel.edge
    blocks = panel.blocks
    if blocks and panel.labels:
        columns = [panel.labels[1][c // blocks.wide] if c % blocks.wide == 0 else "" for c in range(wide)]
        rows = [panel.labels[0][r // blocks.high] if r % blocks.high == 0 else "" for r in range(high)]
    elif panel.labels:
        rows, columns = map(list, panel.labels)
    else:
        rows, columns = names[1:]
    edge = max(map(len, rows))
    lines: list[list[Cell]] = []
    for plane in range(planes):
        if planes > 1:
            lines.append([(f"plane {names[0][plane]}", "dim")])
        body = [[_cell(panel, (plane, row, column)) for column in range(wide)] for row in range(high)]
        room = max(*(len(text) for cells in body for text, _ in cells), *map(len, columns))
        # A map of a single axis goes on below.
        most = wide if high > 1 else max(1, (width - edge - 4) // room)
        for begin in range(0, wide, most):
            part = slice(begin, begin + most)
            lines.append([(" " * (edge + 4), ""), *((f"{text:>{room - 1}} ", "dim") for text in columns[part])])
            for row, (label, cells) in enumerate(zip(rows, body, strict=True)):
                if blocks and row and row % blocks.high == 0:
                    lines.append([])
                shown = ((f"{text:>{room}}", style) for text, style in cells[part])
                lines.append([(f"   {label:>{edge}} ", "dim"), *shown])
    return lines


def _cell(panel: Panel, place: Index) -> Cell:
    values, kinds = panel.planes
    value, kind, index = float(values[place]), Kind(int(kinds[place])), panel.index(place)
    text = panel.texts.get(index)
    shown, style = number(value) if text is None else text.replace("\n", ""), ""
    if kind is Kind.ABSENT:
        return "", ""
    if kind in COPIES.values():
        shown = f"{shown}{_MARKS[kind]}"
    elif kind is not Kind.VALUE and not text and value == 0:
        shown, style = _MARKS[kind], "dim"
    if not panel.counts and not style:
        style = _style(value, panel.scale)
    if index in panel.corners:
        shown = f"{panel.corners[index]}:{shown}"
    if panel.marks.get(index) is False:
        shown += "!"
    return (f"[{shown}]" if index in panel.outlined else f" {shown} "), style


def _style(value: float, scale: float) -> str:
    if not np.isfinite(value) or value == 0:
        return ""
    shades = _NEGATIVE if value < 0 else _POSITIVE
    shade = shades[min(len(shades) - 1, int(abs(value) / scale * len(shades)))]
    return f"{'bright_white' if shade in _DARK else 'black'} on color({shade})"
