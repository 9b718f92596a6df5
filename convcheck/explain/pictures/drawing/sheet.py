"""One panel on a page: how large it is, and drawing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from convcheck.explain.pictures.drawing import style
from convcheck.explain.pictures.panel import Index, Kind, Panel
from convcheck.explain.pictures.sizes import number

#: Left, top and edge of a cell, in inches.
Place = tuple[float, float, float]

#: Inches: the least width that a title gets, the width that no map exceeds, and the least edge of a cell.
_LEAST_PANEL, _WIDEST_GRID, _SMALLEST = 2.55, 12.0, 0.1

#: Room for the indices beside a map, between slices and between planes.
_INDEX, _BETWEEN, _PLANES = 0.3, 0.18, 0.45

#: Room for a panel's number in front of its title.
_BADGE = 0.38

#: Smallest type that is legible; values that need a smaller one are left out.
_LEAST_TYPE = 5.5

#: Edge of a cell from which every index is written, and of one that stands for a block.
_ALL_INDICES, _COARSE = 0.2, 0.13


@dataclass(frozen=True)
class Line:
    """A line of text on the page."""

    text: str
    size: float
    color: str = style.INK
    bold: bool = False

    @property
    def height(self) -> float:
        """Height in inches, with what separates it from the next."""
        return self.size * style.LEADING / 72


def height_of(lines: Sequence[Line]) -> float:
    """Height of lines below each other, in inches."""
    return sum(line.height for line in lines)


def write_lines(axes: Axes, x: float, y: float, lines: Sequence[Line]) -> float:
    """Write lines below each other; return where the next one would be."""
    for line in lines:
        style.write(axes, x, y, line.text, line.size, line.color, bold=line.bold)
        y += line.height
    return y


class Sheet:
    """A panel with its place in inches.

    Attributes
    ----------
    cell : float
        Edge of a cell.
    width : float
        Of map and text.
    text_height, map_height : float
        Of the text above the map, and of the map with its indices or labels.
    """

    def __init__(self, panel: Panel, cell: float) -> None:
        self.panel = panel
        self.values, self.kinds = panel.planes
        count, self.rows, self.columns = (int(size) for size in self.values.shape)
        self.cell = max(_SMALLEST, min(cell, (_WIDEST_GRID - _PLANES * count) / (count * self.columns)))
        self.cell = _COARSE if panel.coarse else self.cell
        # Planes are as far apart as their names need.
        last = style.text_width(f"plane {panel.edge[0][-1]}", style.TICK)
        self.plane_width = max(self.columns * self.cell + _PLANES, last + 0.15)
        self.high, self.wide = (panel.blocks.high, panel.blocks.wide) if panel.blocks else (1, 1)
        self.grid_width = self._x(count - 1, self.columns - 1) + self.cell
        self.grid_height = self._y(self.rows - 1) + self.cell
        # Indices or labels: those of columns are turned where they are too long to stand side by side.
        self.left, self.turned, self.above = _INDEX, False, 0.22 * (2 if count > 1 else 1)
        # Room for the samples that copies hold.
        self.copied = 0.13 if panel.ticks and any("=" in text for text in panel.ticks[-1]) else 0.0
        if panel.ticks:
            self.left = max(_INDEX, 0.14 + max(style.text_width(text, style.TICK) for text in panel.edge[1]))
            self.above += self.copied
        if panel.labels:
            named = panel.sides[0] if panel.sides else ""
            rows = max(style.text_width(text, style.TICK) for text in (*panel.labels[0], named))
            columns = max(style.text_width(text, style.TICK) for text in panel.labels[1])
            self.left, self.turned = rows + 0.12, columns > self.cell * self.wide
            self.above += columns - 0.1 if self.turned else 0.0
            self.above += 0.17 if panel.sides else 0.0
        self.map_height = self.above + self.grid_height + 0.15
        # Size of type at which the widest value, or what stands in its place, still fits into a cell.
        texts = panel.texts
        self.value_size = self._fitting(
            {number(float(self.values[i])) for i in np.ndindex(*self.values.shape) if panel.index(i) not in texts}
        )
        self.text_size = self._fitting({line for text in texts.values() for line in text.splitlines()})
        if any("\n" in text for text in texts.values()):
            self.text_size = min(self.text_size, 19 * self.cell)
        # What stands above the map.
        title = _BADGE + style.text_width(panel.title, style.TITLE, True)
        self.width = max(self.left + self.grid_width + 0.12, min(_LEAST_PANEL, title))
        room = self.width - _BADGE
        notes = [*panel.lines, *filter(None, [panel.shown])]
        if (self.value_size < _LEAST_TYPE or panel.coarse) and not panel.counts:
            notes.append(f"darkest: ±{number(panel.scale)}")
        self.text = [Line(t, style.TITLE, bold=True) for t in style.wrap(panel.title, room, style.TITLE, bold=True)]
        self.text += [
            Line(t, style.CAPTION, style.MUTED) for note in notes for t in style.wrap(note, room, style.CAPTION)
        ]
        self.text_height = height_of(self.text) + 0.06

    def _fitting(self, texts: set[str]) -> float:
        widest = max((style.text_width(text, 10.0) for text in texts if text), default=0.1)
        return min(9.5, 27 * self.cell, 10.0 * 0.86 * self.cell / widest)

    def _x(self, plane: int, column: int) -> float:
        gaps = column // self.wide if self.panel.blocks else 0
        return plane * self.plane_width + column * self.cell + gaps * _BETWEEN

    def _y(self, row: int) -> float:
        return row * self.cell + (row // self.high if self.panel.blocks else 0) * _BETWEEN

    def draw(self, axes: Axes, x: float, y: float, text_height: float) -> dict[Index, Place]:
        """Draw the panel; maps of one row of panels start at the same height. Return where its cells are."""
        badge = {"boxstyle": "round,pad=0.25", "facecolor": style.INK, "edgecolor": "none"}
        axes.text(
            x + 0.13, y + self.text[0].height / 2 - 0.02, self.panel.number, fontsize=style.CAPTION, color="white",
            weight="bold", ha="center", va="center", bbox=badge,
        )  # fmt: skip
        write_lines(axes, x + _BADGE, y, self.text)
        left, top = x + self.left, y + text_height + self.above
        places = {}
        for place in np.ndindex(*self.values.shape):
            plane, row, column = place
            places[place] = left + self._x(plane, column), top + self._y(row), self.cell
            self._draw_cell(axes, place, *places[place][:2])
        if len(self.values) > 1:
            for plane in range(len(self.values)):
                corner = left + self._x(plane, 0), top
                axes.add_patch(
                    Rectangle(
                        corner,
                        self.columns * self.cell,
                        self.grid_height,
                        fill=False,
                        edgecolor=style.INK,
                        linewidth=0.8,
                    )
                )
        # What marks a cell lies above its neighbours.
        for place, (at_x, at_y, _) in places.items():
            self._draw_marks(axes, place, at_x, at_y)
        self._draw_indices(axes, left, top)
        if self.panel.blocks:
            self._draw_frames(axes, left, top)
        elif not self.panel.whole:
            self._draw_rest(axes, left, top)
        for ends in self.panel.framed:
            self._draw_frame(axes, left, top, *ends)
        self._draw_wires(axes, left, top)
        self._draw_arrows(axes, places)
        return {self.panel.index(place): where for place, where in places.items()}

    def _draw_cell(self, axes: Axes, place: Index, x: float, y: float) -> None:
        value = float(self.values[place])
        color = self._color(value)
        text, size = self.panel.texts.get(self.panel.index(place)), self.text_size
        if text is None:
            text, size = (number(value) if self.value_size >= _LEAST_TYPE else ""), self.value_size
        style.draw_cell(axes, x, y, self.cell, color, Kind(int(self.kinds[place])), text, size)

    def _color(self, value: float) -> style.Color:
        return style.cell_color(value, self.panel.scale, counts=self.panel.counts, least=self.panel.least)

    def _draw_marks(self, axes: Axes, place: Index, x: float, y: float) -> None:
        index, (_, row, column) = self.panel.index(place), place
        if index in self.panel.marks:
            color = self._color(float(self.values[place]))
            style.verdict(axes, x, y, self.cell, color, right=self.panel.marks[index])
        if index in self.panel.outlined:
            thin = self.cell <= 0.2 or "\n" in self.panel.texts.get(index, "")
            style.outline(axes, x, y, self.cell, self.cell, 0.8 if thin else 1.5)
        if index in self.panel.corners:
            # Diagonally outside, where neither values nor indices stand.
            right, low = x + (self.cell if column else 0.0), y + (self.cell if row else 0.0)
            dx, dy = (0.05 if column else -0.05), (0.05 if row else -0.05)
            badge = {
                "boxstyle": "circle,pad=0.15", "facecolor": style.CORNER_COLOR, "edgecolor": "white", "linewidth": 0.6
            }  # fmt: skip
            axes.text(
                right + dx, low + dy, self.panel.corners[index], fontsize=7, color="white", weight="bold", ha="center",
                va="center", bbox=badge,
            )  # fmt: skip

    def _draw_indices(self, axes: Axes, left: float, top: float) -> None:
        """Draw the indices of rows, columns and planes, or the labels in their place."""

        def beside(row: float, text: str, gap: float) -> None:
            style.write(axes, left - gap, row, text, style.TICK, style.MUTED, align="right", middle=True)

        def above(column: float, text: str, gap: float) -> None:
            style.write(axes, column, top - gap, text, style.TICK, style.MUTED, align="center", middle=True)

        if self.panel.sides:
            rows, columns = self.panel.sides
            line = top - self.above + 0.07
            style.write(axes, left - 0.09, line, f"{rows} ↓" if rows else "", style.TICK, align="right", middle=True)
            style.write(axes, left, line, f"{columns} →", style.TICK, middle=True)
        if self.panel.labels:
            for row, text in enumerate(self.panel.labels[0]):
                beside(top + self._y(row * self.high) + self.high * self.cell / 2, text, 0.09)
            for column, text in enumerate(self.panel.labels[1]):
                x = left + self._x(0, column * self.wide) + self.wide * self.cell / 2
                if self.turned:
                    axes.text(
                        x, top - 0.05, text, fontsize=style.TICK, color=style.MUTED, ha="center", parse_math=False,
                        rotation=90, va="bottom",
                    )  # fmt: skip
                else:
                    above(x, text, 0.12)
            return
        step = 1 if self.cell >= _ALL_INDICES else 5
        names = self.panel.edge
        planes = len(self.values)
        for plane in range(planes):
            for column in range(0, self.columns, step):
                # A copy's sample below its position.
                for line, text in enumerate(reversed(names[2][column].replace("=", "\n=").split("\n"))):
                    above(left + self._x(plane, column) + self.cell / 2, text, 0.13 + 0.13 * line)
            if planes > 1:
                middle = left + self._x(plane, 0) + self.columns * self.cell / 2
                above(middle, f"plane {names[0][plane]}", 0.31 + self.copied)
        if self.panel.values.ndim > 1:
            for row in range(0, self.rows, step):
                beside(top + self._y(row) + self.cell / 2, names[1][row], 0.1)

    def _draw_frames(self, axes: Axes, left: float, top: float) -> None:
        """Frame the slices that make up one filter."""
        assert self.panel.blocks is not None
        down, across = self.panel.blocks.framed
        high, wide, pad = down * self.high, across * self.wide, 0.055
        for row in range(0, self.rows, high):
            for column in range(0, self.columns, wide):
                x, y = self._x(0, column), self._y(row)
                right = self._x(0, min(column + wide, self.columns) - 1) + self.cell
                low = self._y(min(row + high, self.rows) - 1) + self.cell
                corner, sizes = (left + x - pad, top + y - pad), (right - x + 2 * pad, low - y + 2 * pad)
                axes.add_patch(Rectangle(corner, *sizes, fill=False, edgecolor=style.INK, linewidth=1.4))

    def _draw_frame(self, axes: Axes, left: float, top: float, first: Index, last: Index) -> None:
        """Draw a frame around an area, as far as it is shown, in each of its planes."""
        (p0, r0, c0), (p1, r1, c1) = (((0,) * (3 - len(end)) + end) for end in (first, last))
        plane, row, column = self.panel.origin if not self.panel.coarse else (0, 0, 0)
        rows, columns = (
            range(max(r0 - row, 0), min(r1 - row + 1, self.rows)),
            range(max(c0 - column, 0), min(c1 - column + 1, self.columns)),
        )
        for shown in range(max(p0 - plane, 0), min(p1 - plane + 1, len(self.values))):
            if rows and columns:
                corner = left + self._x(shown, columns.start), top + self._y(rows.start)
                style.frame(axes, *corner, len(columns) * self.cell, len(rows) * self.cell)

    def _draw_wires(self, axes: Axes, left: float, top: float) -> None:
        """Draw lines between cells, those that are worked out last, with their labels about their middle."""
        _, row, column = self.panel.origin
        taken: list[tuple[float, float]] = []
        for wire in sorted(self.panel.wires, key=lambda wire: wire.bold):
            (r0, c0), (r1, c1) = wire.start, wire.end
            ends = [left + self._x(0, c - column) + self.cell / 2 for c in (c0, c1)]
            y = [top + self._y(r0 - row) + self.cell, top + self._y(r1 - row)]
            color = style.WRONG if wire.wrong else style.INK if wire.bold else "#b8b8b8"
            axes.plot(ends, y, color=color, linewidth=1.8 if wire.bold else 0.8, linestyle="--" if wire.wrong else "-")
            if wire.bold:
                # Where lines cross, their labels stand beside the crossing.
                places = [tuple(a + (b - a) * share for a, b in (ends, y)) for share in (0.5, 0.3, 0.7)]
                free = [at for at in places if all(max(abs(at[0] - x), abs(at[1] - z)) > 0.15 for x, z in taken)]
                at = (free or places)[0]
                taken.append((at[0], at[1]))
                style.write(
                    axes, at[0], at[1], wire.label, style.CAPTION, color, bold=True, align="center", middle=True,
                    boxed=(1.0, 1.0, 1.0),
                )  # fmt: skip

    def _draw_arrows(self, axes: Axes, places: Mapping[Index, Place]) -> None:
        """Draw an arrow between a sample and its copies, as far as both are shown."""
        at = {self.panel.index(place): where for place, where in places.items()}
        for start, end in self.panel.arrows:
            if start in at and end in at:
                tail, head = ((x + edge / 2, y + edge / 2) for x, y, edge in (at[start], at[end]))
                style.arrow(axes, tail, head, 0.36 * self.cell)

    def _draw_rest(self, axes: Axes, left: float, top: float) -> None:
        """Dotted edges where the map goes on."""
        panel, out = self.panel, 0.05
        right, bottom = self.grid_width, self.grid_height
        ends = [start + count for start, count in zip(panel.start, panel.values.shape, strict=True)]
        edges = [
            (panel.start[-1] > 0, (-out, -out), (0.0, bottom)),
            (ends[-1] < panel.shape[-1], (right + out, right + out), (0.0, bottom)),
        ]
        if len(ends) > 1:
            edges += [
                (panel.start[-2] > 0, (0.0, right), (-out, -out)),
                (ends[-2] < panel.shape[-2], (0.0, right), (bottom + out, bottom + out)),
            ]
        for goes_on, across, down in edges:
            if goes_on:
                axes.plot(
                    [left + x for x in across], [top + y for y in down], linestyle=":", color=style.MUTED, linewidth=2
                )
