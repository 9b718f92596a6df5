"""A panel: one map of a picture, what each of its cells is, and the words around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from convcheck.layer.arrays import Array

Index = tuple[int, ...]

#: A `Kind` per cell.
Kinds = NDArray[np.int8]


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
    title : str
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

    @property
    def whole(self) -> bool:
        """Whether all of the map is shown."""
        return self.values.shape == self.shape

    @property
    def shown(self) -> str | None:
        """Which part of a large map is shown, in words; None where it is all of it."""
        if self.whole:
            return None
        parts = [
            f"{name} {first}–{first + count - 1} of {size}" if count > 1 else f"{name} {first} of {size}"
            for name, first, count, size in zip(self.names, self.start, self.values.shape, self.shape, strict=True)
            if count != size
        ]
        return "shown: " + ", ".join(parts)


@dataclass(frozen=True, eq=False)
class Story:
    """What one picture tells.

    Attributes
    ----------
    name : str
        Part of the file name.
    title : str
    intro : tuple of str
        Sentences under the title.
    panels : tuple of Panel
    example : tuple of str
        The worked example: how the outlined entry comes about.
    """

    name: str
    title: str
    intro: tuple[str, ...]
    panels: tuple[Panel, ...]
    example: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """The picture in words, for those who do not see it."""
        panels = " ".join(f"Panel {panel.number}: {panel.title}. {'; '.join(panel.lines)}." for panel in self.panels)
        return " ".join([*self.intro, panels, *self.example])
