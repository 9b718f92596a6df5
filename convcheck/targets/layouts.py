"""The order of a target's axes, against convcheck's own: N, C, then the spatial axes; F, C, then the kernel's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from convcheck.errors import TargetError
from convcheck.layer.arrays import Array

#: Spatial letters of so many axes, outermost first.
_SPATIAL = "DHW"


@dataclass(frozen=True)
class Layout:
    """An order of axes.

    Attributes
    ----------
    letters : str
        As the target has it, such as NHWC.
    first, second : str
        Letters of convcheck's first two axes.
    """

    letters: str
    first: str
    second: str

    @cached_property
    def usual(self) -> bool:
        """Whether it is convcheck's own order, with any number of spatial axes."""
        return self.letters == self.first + self.second + _SPATIAL[-len(self.spatial) :]

    @cached_property
    def spatial(self) -> str:
        """The spatial letters, in the target's order."""
        return "".join(letter for letter in self.letters if letter not in self.first + self.second)

    def fits(self, rank: int) -> bool:
        """Whether it, or its kin for so many axes, is defined: its spatial axes then stand together and in order."""
        return len(self.spatial) == rank or (
            self.spatial in self.letters and self.spatial == _SPATIAL[-len(self.spatial) :]
        )

    def to_target(self, array: Array) -> Array:
        """Return a contiguous copy in the target's order."""
        return np.array(self.seen_by_target(array), order="C")

    def seen_by_target(self, array: Array) -> Array:
        """Return a view in the target's order."""
        return array if self.usual else array.transpose(self._order(array.ndim - 2))

    def from_target(self, array: Array) -> Array:
        """Return the array in convcheck's order; one with another number of axes as it is."""
        rank = array.ndim - 2
        if self.usual:
            return array
        if not 1 <= rank <= len(_SPATIAL) or not self.fits(rank):
            return array
        return np.transpose(array, np.argsort(self._order(rank)))

    def in_order(self, per_axis: Sequence[Any]) -> list[Any]:
        """Return what belongs to convcheck's axes in the target's order."""
        return [per_axis[axis] for axis in self._order(len(per_axis) - 2)]

    def _order(self, rank: int) -> tuple[int, ...]:
        return _order(self, rank)


@lru_cache(maxsize=64)
def _order(layout: Layout, rank: int) -> tuple[int, ...]:
    """For each of the target's axes, the number of convcheck's."""
    letters, spatial = layout.letters, layout.spatial
    if len(spatial) != rank:
        letters, spatial = letters.replace(spatial, _SPATIAL[-rank:]), _SPATIAL[-rank:]
    in_order = sorted(spatial, key=_SPATIAL.index) if set(spatial) <= set(_SPATIAL) else spatial
    own = [layout.first, layout.second, *in_order]
    return tuple(own.index(letter) for letter in letters)


@lru_cache(maxsize=64)
def images(letters: str | None) -> Layout:
    """Return the order of the axes of input and output; where there is no N, of one sample, with N in front.

    Raises
    ------
    TargetError
        If the letters are no such order.
    """
    batch = "N" if one_sample(letters) else ""
    return _parse("layout", batch + (letters or "NCHW"), "N", "C", "NHWC or, for one sample, HWC", shown=letters)


def one_sample(letters: str | None) -> bool:
    """Whether an order of the axes of input and output has none for the batch."""
    return letters is not None and "N" not in letters.upper()


@lru_cache(maxsize=64)
def weights(letters: str | None) -> Layout:
    """Return the order of the axes of the weight; F stands for O, and C for I, where those are not given.

    Raises
    ------
    TargetError
        If the letters are no such order.
    """
    given = letters or "OIHW"
    if "O" not in given.upper():
        given = given.upper().replace("F", "O")
    if "I" not in given.upper():
        given = given.upper().replace("C", "I")
    return _parse("weight_layout", given, "O", "I", "HWIO or OIHW", shown=letters)


def _parse(key: str, letters: str, first: str, second: str, example: str, shown: str | None = None) -> Layout:
    layout = Layout(letters.upper(), first, second)
    once = len(set(layout.letters)) == len(letters) and letters.isalpha()
    if not once or not {first, second} <= set(layout.letters) or not 1 <= len(layout.spatial) <= len(_SPATIAL):
        expected = f"{first}, {second} and one to three spatial axes, each once, such as {example}"
        raise TargetError(f'target.{key}: "{shown or letters}" is not allowed; expected {expected}')
    return layout
