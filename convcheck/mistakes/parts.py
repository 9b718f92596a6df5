"""Mistakes made along some axes and not along others: their forms, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import TypeVar

from convcheck.layer.axis import Axis
from convcheck.layer.layer import Layer
from convcheck.reports.where import axis_names

T = TypeVar("T")

#: Spatial axes, by number.
Axes = tuple[int, ...]


def parts(layer: Layer, matters: Callable[[Axis], bool]) -> Iterator[tuple[str, Axes]]:
    """Yield all spatial axes, without a word, then every smaller set of those on which a mistake matters.

    Where it matters on one axis only, that it was made on this one alone is not to be seen, and goes without saying.
    """
    yield "", tuple(range(len(layer.input)))
    names = [f"{name}s" for name in axis_names("input", 2 + len(layer.input))[2:]]
    there = [number for number, axis in enumerate(layer.axes) if matters(axis)]
    for count in range(1, len(there)):
        for axes in combinations(there, count):
            yield f"along {' and '.join(names[number] for number in axes)} only", axes


def mixed(there: Sequence[T], elsewhere: Sequence[T], axes: Axes) -> list[T]:
    """Return the entries of the first sequence on some axes, and of the second on the others."""
    return [a if number in axes else b for number, (a, b) in enumerate(zip(there, elsewhere, strict=True))]


def together(*words: str) -> str:
    """Join what there is to say of a form."""
    return ", ".join(word for word in words if word)
