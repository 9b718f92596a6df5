"""A panel: one map of a picture, what each of its cells is, and the words around it; and the story that panels tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from convcheck.explain.pictures.sizes import AXIS_NAMES
from convcheck.layer.arrays import Array

T = TypeVar("T", bound=np.generic)

Index = tuple[int, ...]

#: A `Kind` per cell.
Kinds = NDArray[np.int8]

#: Cells per axis up to which a map is shown whole.
LIMIT = 12

#: Planes of a volume up to which it is shown whole; they stand side by side.
PLANES = 4


class Kind(IntEnum):
    """What a cell holds. Where two axes disagree, the larger one counts."""

    VALUE = 0
    INSERTED = 1
    REMAINDER = 2
    BORDER = 3
    UNREAD = 4


#: As legends call them.
KIND_NAMES = {
    Kind.INSERTED: "inserted zero: between two windows (stride)",
    Kind.REMAINDER: "remainder zero: a window here would not fit",
    Kind.BORDER: "border zero: padding",
    Kind.UNREAD: "read by no window",
}


@dataclass(frozen=True)
class Blocks:
    """Slices that stand side by side in one map.

    Attributes
    ----------
    high, wide : int
        Cells of a slice.
    framed : str
        What has a frame around it: "columns" or "rows" of slices.
    """

    high: int
    wide: int
    framed: str


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
    counts : bool
        Whether the values are counts, which have no sign.
    blocks : Blocks, optional
        How the cells belong together, where the map is made of slices; the labels are then those of the slices.
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
    counts: bool = False
    blocks: Blocks | None = None

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
        shown = leading(values.shape) if shown is None else shown
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

    @property
    def whole(self) -> bool:
        """Whether all of the map is shown."""
        return self.values.shape == self.shape

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
    """

    name: str
    title: str
    intro: tuple[str, ...]
    panels: tuple[Panel, ...]
    example: tuple[str, ...] = ()
    trivial: bool = False

    @property
    def description(self) -> str:
        """The picture in words, for those who do not see it."""
        panels = " ".join(f"Panel {panel.number}: {panel.title}. {'; '.join(panel.lines)}." for panel in self.panels)
        return " ".join([*self.intro, panels, *self.example])


def leading(shape: Index, limit: int = LIMIT) -> tuple[range, ...]:
    """Return the part at the origin that is shown of a map that stands by itself."""
    limits = [PLANES if len(shape) == 3 else limit, limit, limit]
    return tuple(range(min(size, most)) for size, most in zip(shape, limits, strict=False))


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
