"""A panel: one map of a picture, what each of its cells is, and the words around it; and the story that panels tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from convcheck.explain.pictures.sizes import AXIS_NAMES
from convcheck.layer.arrays import Array

T = TypeVar("T", bound=np.generic)

Index = tuple[int, ...]

#: A `Kind` per cell.
Kinds = NDArray[np.int8]

#: Planes of a volume up to which it is shown whole; they stand side by side.
PLANES = 5

#: Cells per axis up to which a map is shown whole, by the number of its axes: a single axis has the width to itself.
LIMITS = {1: (32,), 2: (12, 12), 3: (PLANES, 12, 12)}

#: Blocks per axis of a large map that is shown as a whole.
_OVERVIEW = 24


class Kind(IntEnum):
    """What a cell holds. Where two axes disagree, the larger one counts; what is absent is not drawn."""

    VALUE = 0
    INSERTED = 1
    REMAINDER = 2
    BORDER = 3
    WRAPPED = 4
    MIRRORED = 5
    REPEATED = 6
    UNREAD = 7
    HOLE = 8
    APART = 9
    ABSENT = 10


#: What stands on padding, by its mode, where that is no zero.
COPIES = {"circular": Kind.WRAPPED, "reflect": Kind.MIRRORED, "replicate": Kind.REPEATED}


#: As legends call them.
KIND_NAMES = {
    Kind.INSERTED: "inserted zero: between two windows (stride)",
    Kind.REMAINDER: "remainder zero: a window here would not fit",
    Kind.BORDER: "border zero: padding",
    Kind.WRAPPED: "copy: wrapped round from the other end (circular padding)",
    Kind.MIRRORED: "copy: mirrored at the border (reflect padding)",
    Kind.REPEATED: "copy: the border repeated (replicate padding)",
    Kind.UNREAD: "in no window",
    Kind.HOLE: "hole: between two taps (dilation)",
    Kind.APART: "another group: not connected",
}


@dataclass(frozen=True)
class Blocks:
    """Slices that stand side by side in one map.

    Attributes
    ----------
    high, wide : int
        Cells of a slice.
    framed : tuple of int
        Slices that have a frame around them, down and across.
    """

    high: int
    wide: int
    framed: tuple[int, int]


class Wire(NamedTuple):
    """A line between two cells of a panel, with a label; one that is worked out is bold, a wrong one is dashed."""

    start: Index
    end: Index
    label: str
    bold: bool = False
    wrong: bool = False


@dataclass(frozen=True, eq=False)
class Panel:
    """One map.

    Attributes
    ----------
    number : str
        "1", "2", "4a".
    lines : tuple of str
        Sizes and formulas with the layer's numbers.
    values : array of 1, 2 or 3 dimensions
        What is shown; a window where the map is large.
    kinds : array of int
        A `Kind` per cell.
    names : tuple of str
        What the axes are called.
    start : tuple of int
        Index of the first cell shown, per axis.
    shape : tuple of int
        Size of the whole map.
    scale : float
        The magnitude that has the darkest colour.
    outlined : frozenset of tuple of int
        Cells that belong to the worked example.
    texts : mapping
        What stands in a cell in place of its value.
    corners : mapping
        Marks at cells, by which a turn can be followed.
    labels : tuple of tuple of str, optional
        What stands at rows and columns in place of their indices.
    ticks : tuple of tuple of str, optional
        Per axis, what stands at each shown cell in place of its index, where that is not all.
    arrows : tuple of (tuple of int, tuple of int)
        From cell to cell: between a sample and its copies.
    counts : bool
        Whether the values are counts, which have no sign.
    blocks : Blocks, optional
        How the cells belong together, where the map is made of slices; the labels are then those of the slices.
    framed : tuple of (tuple of int, tuple of int)
        First and last cell of what has a frame around it: where a kernel lies, what other panels show.
    sides : tuple of str, optional
        What the rows and the columns stand for.
    marks : mapping
        Cells that are compared: whether each is right.
    wires : tuple of Wire
        Lines between cells.
    least : float
        A magnitude that must show beside ``scale``, where it is above 0: colours are then logarithmic.
    coarse : bool
        Whether cells stand for blocks, and are drawn small.
    """

    number: str
    title: str
    lines: tuple[str, ...]
    values: Array
    kinds: Kinds
    names: tuple[str, ...]
    start: Index
    shape: Index
    scale: float
    outlined: frozenset[Index] = frozenset()
    texts: Mapping[Index, str] = field(default_factory=dict)
    corners: Mapping[Index, str] = field(default_factory=dict)
    labels: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    ticks: tuple[tuple[str, ...], ...] | None = None
    arrows: tuple[tuple[Index, Index], ...] = ()
    counts: bool = False
    blocks: Blocks | None = None
    framed: tuple[tuple[Index, Index], ...] = ()
    sides: tuple[str, str] | None = None
    marks: Mapping[Index, bool] = field(default_factory=dict)
    wires: tuple[Wire, ...] = ()
    least: float = 0.0
    coarse: bool = False

    @classmethod
    def of(
        cls,
        number: str,
        title: str,
        lines: Iterable[str],
        values: Array,
        shown: tuple[range, ...] | None = None,
        *,
        kinds: Kinds | None = None,
        scale: float | None = None,
        outlined: Iterable[Index] = (),
    ) -> Panel:
        """Make the panel of a whole map, cut to what is ``shown``: by default what is near the origin.

        Every cell is a value unless ``kinds`` says otherwise, and the scale is that of what is shown.
        """
        shown = near(values.shape) if shown is None else shown
        part = cut(values, shown)
        return cls(
            number=number,
            title=title,
            lines=tuple(lines),
            values=part,
            kinds=np.full(part.shape, Kind.VALUE, np.int8) if kinds is None else cut(kinds, shown),
            names=AXIS_NAMES[values.ndim],
            start=tuple(r.start for r in shown),
            shape=values.shape,
            scale=scale_of(part) if scale is None else scale,
            outlined=frozenset(outlined),
        )

    def labelled(self, labels: tuple[tuple[str, ...], tuple[str, ...]], sides: tuple[str, str] | None = None) -> Panel:
        """Return the panel with words at its rows and columns in place of their indices."""
        return replace(self, labels=labels, sides=sides)

    @property
    def whole(self) -> bool:
        """Whether all of the map is shown."""
        return self.values.shape == self.shape

    @property
    def partial(self) -> bool:
        """Whether rows or columns are left out; that planes are is said, and needs no map of the whole."""
        return self.values.shape[-2:] != self.shape[-2:]

    @property
    def shown(self) -> str:
        """Which part of a large map is shown, in words; empty where it is all of it."""
        parts = [
            f"{name} {first}–{first + count - 1} of {size}" if count > 1 else f"{name} {first} of {size}"
            for name, first, count, size in zip(self.names, self.start, self.values.shape, self.shape, strict=True)
            if count != size
        ]
        return "shown: " + ", ".join(parts) if parts else ""

    @property
    def planes(self) -> tuple[Array, Kinds]:
        """Values and kinds by plane, row and column; a map of fewer axes has a single plane, or row."""
        shape = (1,) * (3 - self.values.ndim) + self.values.shape
        return self.values.reshape(shape), self.kinds.reshape(shape)

    @property
    def origin(self) -> tuple[int, int, int]:
        """Plane, row and column of the first cell shown."""
        plane, row, column = (0,) * (3 - len(self.start)) + self.start
        return plane, row, column

    @property
    def edge(self) -> tuple[list[str], list[str], list[str]]:
        """What stands at planes, rows and columns: indices, or what is given in their place."""
        texts = self.ticks or [
            tuple(str(i + first) for i in range(count))
            for first, count in zip(self.start, self.values.shape, strict=True)
        ]
        planes, rows, columns = ([""],) * (3 - len(texts)) + tuple(map(list, texts))
        return planes, rows, columns

    def index(self, place: Index) -> Index:
        """Index in the whole map of a cell, which is given by plane, row and column."""
        return tuple(i + first for i, first in zip(place, self.origin, strict=True))[3 - self.values.ndim :]


@dataclass(frozen=True, eq=False)
class Story:
    """What one picture tells.

    Attributes
    ----------
    name : str
        Part of the file name.
    intro : tuple of str
        Sentences under the title.
    example : tuple of str
        The worked example: how the outlined entry comes about.
    trivial : bool
        Whether there is nothing to see on this layer: it is then not drawn unless asked for.
    entry : str
        Of a wrong array, the worst entry, such as ``input[0,1,2,2]``.
    """

    name: str
    title: str
    intro: tuple[str, ...]
    panels: tuple[Panel, ...]
    example: tuple[str, ...] = ()
    trivial: bool = False
    entry: str = ""

    @property
    def description(self) -> str:
        """The picture in words, for those who do not see it."""
        panels = " ".join(f"Panel {panel.number}: {panel.title}. {'; '.join(panel.lines)}." for panel in self.panels)
        return " ".join([*self.intro, panels, *self.example])


def near(shape: Index, place: Index | None = None, limits: Sequence[int] | None = None) -> tuple[range, ...]:
    """Return the part that is shown of a map that stands by itself: at the origin, or around a place beyond that.

    A map that is too large for the limits is shown through a lens that is smaller than they are.
    """
    shown = []
    for size, most, i in zip(shape, limits or LIMITS[len(shape)], place or (0,) * len(shape), strict=True):
        count = size if size <= most else most * 2 // 3
        start = 0 if i < count else min(i - count // 2, size - count)
        shown.append(range(start, start + count))
    return tuple(shown)


def overview(panel: Panel, values: Array, number: str, title: str, marks: Mapping[Index, bool] | None = None) -> Panel:
    """Show all of a large map as blocks, each by its largest magnitude, with a frame on what a panel shows.

    Parameters
    ----------
    panel : Panel
        What shows a part of the map: the lens.
    values : array of 1, 2 or 3 dimensions
        The whole map. Of a volume, all planes are drawn into one.
    marks : mapping, optional
        Cells that are compared. A block is right if all of them are.
    """
    start, shape = (edge[-2:] for edge in (panel.start, panel.values.shape))
    flat = values.reshape(-1, *values.shape[-2:]) if values.ndim > 1 else values[np.newaxis]
    step = tuple(-(-size // _OVERVIEW) for size in flat.shape[1:])
    places = [tuple(i // s for i, s in zip(index[-len(step) :], step, strict=True)) for index in marks or ()]
    right: dict[Index, bool] = {}
    for place, is_right in zip(places, (marks or {}).values(), strict=True):
        right[place] = right.get(place, True) and is_right
    blocks = np.zeros([-(-size // s) for size, s in zip(flat.shape[1:], step, strict=True)])
    for place in np.ndindex(*blocks.shape):
        part = flat[(slice(None), *(slice(i * s, (i + 1) * s) for i, s in zip(place, step, strict=True)))].ravel()
        blocks[place] = part[np.argmax(np.abs(part))]
    first = tuple(i // s for i, s in zip(start, step, strict=True))
    last = tuple((i + count - 1) // s for i, count, s in zip(start, shape, step, strict=True))
    block = "×".join(map(str, step))
    made = Panel.of(
        number, title, [f"each cell: the largest of {block} entries", "framed: what the other panels show"], blocks,
        tuple(map(range, blocks.shape)),
    )  # fmt: skip
    texts = dict.fromkeys(np.ndindex(*blocks.shape), "")
    # Coordinates are those of blocks, and would be taken for those of entries.
    blank = (("",) * (blocks.shape[0] if blocks.ndim > 1 else 1), ("",) * blocks.shape[-1])
    return replace(made, framed=((first, last),), marks=right, texts=texts, labels=blank, coarse=True)


def cut(array: NDArray[T], shown: tuple[range, ...]) -> NDArray[T]:
    """Return the part of a map that the ranges name."""
    return array[tuple(slice(r.start, r.stop) for r in shown)]


def scale_of(*arrays: NDArray[np.generic]) -> float:
    """Return the largest finite magnitude; 1 where all is zero."""
    largest = 0.0
    for array in arrays:
        finite = np.abs(np.asarray(array, np.float64))
        largest = max(largest, float(finite[np.isfinite(finite)].max(initial=0)))
    return largest or 1.0
