"""One panel on a page: how large it is, and drawing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from convcheck.explain.pictures.drawing import style
from convcheck.explain.pictures.panel import Index, Kind, Panel

#: Left, top and edge of a cell, in inches.
Place = tuple[float, float, float]

#: Inches: the least width that a title gets, the width that no map exceeds, and the least edge of a cell.
_LEAST_PANEL, _WIDEST_GRID, _SMALLEST = 2.55, 12.0, 0.1

#: Room for the indices beside a map, between slices and between planes.
_INDEX, _BETWEEN, _PLANES = 0.3, 0.18, 0.36

#: Room for a panel's number in front of its title.
_BADGE = 0.38

#: Smallest type that is legible; values that need a smaller one are left out.
_LEAST_TYPE = 5.5

#: Edge of a cell from which every index is written.
_ALL_INDICES = 0.2


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
    """A panel with its place in inches."""

    def __init__(self, panel: Panel, cell: float) -> None:
        self.panel = panel
        values = panel.values
        self.planes = values.reshape(-1, *values.shape[-2:]) if values.ndim > 1 else values.reshape(1, 1, -1)
        self.kinds = panel.kinds.reshape(self.planes.shape)
        count, self.rows, self.columns = (int(size) for size in self.planes.shape)
        across = count * self.columns
        room = _WIDEST_GRID - _PLANES * count
        self.cell = max(_SMALLEST, min(cell, room / across))
        self.left = self._label_width()

    def _label_width(self) -> float:
        labels = self.panel.labels
        if labels is None:
            return _INDEX
        return max(style.text_width(text, style.TICK) for text in labels[0]) + 0.12

    @cached_property
    def grid_width(self) -> float:
        """Width of the map, in inches."""
        return self._x(len(self.planes) - 1, self.columns - 1) + self.cell

    @cached_property
    def grid_height(self) -> float:
        """Height of the map, in inches."""
        return self._y(self.rows - 1) + self.cell

    @cached_property
    def width(self) -> float:
        """Width of map and text, in inches."""
        title = _BADGE + style.text_width(self.panel.title, style.TITLE, True)
        return max(self.left + self.grid_width + 0.12, min(_LEAST_PANEL, title))

    @cached_property
    def text(self) -> list[Line]:
        """What stands above the map."""
        room = self.width - _BADGE
        title = [Line(t, style.TITLE, bold=True) for t in style.wrap(self.panel.title, room, style.TITLE, bold=True)]
        notes = [*self.panel.lines, *([self.panel.shown] if self.panel.shown else [])]
        if not self._has_numbers and not self.panel.counts:
            notes.append(f"darkest: ±{style.value_text(self.panel.scale)}")
        return title + [
            Line(t, style.CAPTION, style.MUTED) for note in notes for t in style.wrap(note, room, style.CAPTION)
        ]

    @property
    def text_height(self) -> float:
        """Height of the text, in inches."""
        return height_of(self.text) + 0.06

    @property
    def _tick_height(self) -> float:
        lines = 2 if len(self.planes) > 1 else 1
        return 0.22 * lines + (self._turned_label_height if self._turned else 0.0)

    @cached_property
    def _turned(self) -> bool:
        """Whether the labels of columns are too long to stand side by side."""
        labels = self.panel.labels
        wide = self.cell * (self.panel.blocks.wide if self.panel.blocks else 1)
        return labels is not None and any(style.text_width(t, style.TICK) > wide for t in labels[1])

    @cached_property
    def _turned_label_height(self) -> float:
        assert self.panel.labels is not None
        return max(style.text_width(text, style.TICK) for text in self.panel.labels[1]) - 0.1

    @property
    def map_height(self) -> float:
        """Height of all that stands below the text."""
        return self._tick_height + self.grid_height + 0.15

    @cached_property
    def _value_size(self) -> float:
        """Size of type at which the widest value still fits into a cell."""
        return self._fitting({style.value_text(float(value)) for value in self.planes.ravel()})

    @cached_property
    def _text_size(self) -> float:
        """The same for what stands in cells in place of their values."""
        return self._fitting({line for text in self.panel.texts.values() for line in text.splitlines()})

    def _fitting(self, texts: set[str]) -> float:
        widest = max((style.text_width(text, 10.0) for text in texts if text), default=0.1)
        return min(9.5, 27 * self.cell, 10.0 * 0.86 * self.cell / widest)

    @property
    def _has_numbers(self) -> bool:
        return self._value_size >= _LEAST_TYPE

    def _index(self, place: Index) -> Index:
        """Index in the whole map of a cell, by plane, row and column."""
        inside = place[3 - self.panel.values.ndim :]
        return tuple(i + start for i, start in zip(inside, self.panel.start, strict=True))

    def _x(self, plane: int, column: int) -> float:
        blocks = self.panel.blocks
        gaps = column // blocks.wide if blocks else 0
        return plane * (self.columns * self.cell + _PLANES) + column * self.cell + gaps * _BETWEEN

    def _y(self, row: int) -> float:
        blocks = self.panel.blocks
        return row * self.cell + (row // blocks.high if blocks else 0) * _BETWEEN

    def draw(self, axes: Axes, x: float, y: float, text_height: float) -> dict[Index, Place]:
        """Draw the panel; maps of one row of panels start at the same height. Return where its cells are."""
        badge = {"boxstyle": "round,pad=0.25", "facecolor": style.INK, "edgecolor": "none"}
        axes.text(
            x + 0.13, y + self.text[0].height / 2 - 0.02, self.panel.number, fontsize=style.CAPTION, color="white",
            weight="bold", ha="center", va="center", bbox=badge,
        )  # fmt: skip
        write_lines(axes, x + _BADGE, y, self.text)
        left, top = x + self.left, y + text_height + self._tick_height
        for place in np.ndindex(*self.planes.shape):
            self._draw_cell(axes, left, top, place)
        for place in np.ndindex(*self.planes.shape):
            self._draw_marks(axes, left, top, place)
        if self.panel.labels is None:
            self._draw_indices(axes, left, top)
        else:
            self._draw_labels(axes, left, top)
        if self.panel.blocks:
            self._draw_frames(axes, left, top)
        elif not self.panel.whole:
            self._draw_rest(axes, left, top)
        return {
            self._index(place): (left + self._x(place[0], place[2]), top + self._y(place[1]), self.cell)
            for place in np.ndindex(*self.planes.shape)
        }

    def _draw_cell(self, axes: Axes, left: float, top: float, place: Index) -> None:
        plane, row, column = place
        value = float(self.planes[place])
        color = style.cell_color(value, self.panel.scale, counts=self.panel.counts)
        text, size = self.panel.texts.get(self._index(place)), self._text_size
        if text is None:
            text, size = (style.value_text(value) if self._has_numbers else ""), self._value_size
        x, y = left + self._x(plane, column), top + self._y(row)
        style.draw_cell(axes, x, y, self.cell, color, Kind(int(self.kinds[place])), text, size)

    def _draw_marks(self, axes: Axes, left: float, top: float, place: Index) -> None:
        plane, row, column = place
        index = self._index(place)
        x, y = left + self._x(plane, column), top + self._y(row)
        if index in self.panel.outlined:
            width = 2.2 if self.cell > 0.2 else 1.2
            inset = width / 2 / 72
            edge = self.cell - 2 * inset
            axes.add_patch(
                Rectangle((x + inset, y + inset), edge, edge, fill=False, edgecolor=style.OUTLINE, linewidth=width)
            )
        if index in self.panel.corners:
            # Diagonally outside, where neither values nor indices stand.
            right, low = x + (self.cell if column else 0.0), y + (self.cell if row else 0.0)
            badge = {
                "boxstyle": "circle,pad=0.15",
                "facecolor": style.CORNER_COLOR,
                "edgecolor": "white",
                "linewidth": 0.6,
            }
            dx, dy = (0.05 if column else -0.05), (0.05 if row else -0.05)
            axes.text(
                right + dx,
                low + dy,
                self.panel.corners[index],
                fontsize=7,
                color="white",
                weight="bold",
                ha="center",
                va="center",
                bbox=badge,
            )

    def _draw_indices(self, axes: Axes, left: float, top: float) -> None:
        panel = self.panel
        step = 1 if self.cell >= _ALL_INDICES else 5
        starts = (0,) * (3 - len(panel.start)) + panel.start
        for plane in range(len(self.planes)):
            for column in range(0, self.columns, step):
                x = left + self._x(plane, column) + self.cell / 2
                style.write(
                    axes, x, top - 0.13, str(column + starts[2]), style.TICK, style.MUTED, align="center", middle=True
                )
            if len(self.planes) > 1:
                name = f"plane {plane + starts[0]}"
                middle = left + self._x(plane, 0) + self.columns * self.cell / 2
                style.write(axes, middle, top - 0.31, name, style.TICK, style.MUTED, align="center", middle=True)
        if panel.values.ndim > 1:
            for row in range(0, self.rows, step):
                y = top + self._y(row) + self.cell / 2
                style.write(
                    axes, left - 0.1, y, str(row + starts[1]), style.TICK, style.MUTED, align="right", middle=True
                )

    def _draw_labels(self, axes: Axes, left: float, top: float) -> None:
        assert self.panel.labels is not None
        high, wide = (self.panel.blocks.high, self.panel.blocks.wide) if self.panel.blocks else (1, 1)
        for row, text in enumerate(self.panel.labels[0]):
            y = top + self._y(row * high) + high * self.cell / 2
            style.write(axes, left - 0.09, y, text, style.TICK, style.MUTED, align="right", middle=True)
        for column, text in enumerate(self.panel.labels[1]):
            x = left + self._x(0, column * wide) + wide * self.cell / 2
            options: dict[str, Any] = {"rotation": 90, "va": "bottom"} if self._turned else {"va": "center"}
            y = top - (0.05 if self._turned else 0.12)
            axes.text(x, y, text, fontsize=style.TICK, color=style.MUTED, ha="center", parse_math=False, **options)

    def _draw_frames(self, axes: Axes, left: float, top: float) -> None:
        """Frame the slices that make up one filter."""
        assert self.panel.blocks is not None
        blocks, pad = self.panel.blocks, 0.055
        across, down = self.columns // blocks.wide, self.rows // blocks.high
        count = across if blocks.framed == "columns" else down
        for filter_number in range(count):
            if blocks.framed == "columns":
                x, y = self._x(0, filter_number * blocks.wide), 0.0
                width, height = blocks.wide * self.cell, self.grid_height
            else:
                x, y = 0.0, self._y(filter_number * blocks.high)
                width, height = self.grid_width, blocks.high * self.cell
            corner = (left + x - pad, top + y - pad)
            axes.add_patch(
                Rectangle(corner, width + 2 * pad, height + 2 * pad, fill=False, edgecolor=style.INK, linewidth=1.4)
            )

    def _draw_rest(self, axes: Axes, left: float, top: float) -> None:
        """Dotted edges where the map goes on."""
        panel = self.panel
        ends = [start + count for start, count in zip(panel.start, panel.values.shape, strict=True)]
        right, bottom = self.grid_width, self.grid_height
        edges: list[tuple[bool, tuple[float, float], tuple[float, float]]] = [
            (panel.start[-1] > 0, (0, 0), (0, bottom)),
            (ends[-1] < panel.shape[-1], (right, right), (0, bottom)),
        ]
        if len(ends) > 1:
            edges += [
                (panel.start[-2] > 0, (0, right), (0, 0)),
                (ends[-2] < panel.shape[-2], (0, right), (bottom, bottom)),
            ]
        for goes_on, (x0, x1), (y0, y1) in edges:
            if goes_on:
                out = 0.05
                dx = 0.0 if x0 != x1 else (out if x0 else -out)
                dy = 0.0 if y0 != y1 else (out if y0 else -out)
                axes.plot(
                    [left + x0 + dx, left + x1 + dx],
                    [top + y0 + dy, top + y1 + dy],
                    linestyle=":",
                    color=style.MUTED,
                    linewidth=2,
                )
