"""What several pictures have in common: scales, names, worked sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from convcheck.explain.pictures.panel import Index, Kind
from convcheck.explain.pictures.sizes import AXIS_NAMES, number
from convcheck.layer.layer import Layer

#: Products that a worked example writes out.
PRODUCTS = 9


def scale_of(*arrays: NDArray[np.generic]) -> float:
    """Return the largest finite magnitude; 1 where all is zero."""
    largest = 0.0
    for array in arrays:
        finite = np.abs(np.asarray(array, np.float64))
        largest = max(largest, float(finite[np.isfinite(finite)].max(initial=0)))
    return largest or 1.0


def no_kinds(values: NDArray[np.generic]) -> NDArray[np.int8]:
    """Kinds of a map that holds nothing but values."""
    return np.full(values.shape, Kind.VALUE, np.int8)


def axis_names(layer: Layer) -> tuple[str, ...]:
    """Names of the spatial axes."""
    return AXIS_NAMES[len(layer.axes)]


def at(index: Iterable[int]) -> str:
    """Return an index as ``[0,1]``."""
    return f"[{','.join(map(str, index))}]"


def corners(shape: Sequence[int]) -> dict[Index, str]:
    """Letter the corners of a kernel; an axis of size 1 has one end."""
    ends = [(0, size - 1) if size > 1 else (0,) for size in shape]
    return {place: chr(ord("A") + rank) for rank, place in enumerate(product(*ends))}


def sum_text(pairs: Sequence[tuple[float, float]]) -> str:
    """Write a sum of products out, as far as it is not too long."""
    return plus([f"{bracketed(a)}·{bracketed(b)}" for a, b in pairs[:PRODUCTS]], len(pairs))


def plus(terms: Sequence[str], count: int) -> str:
    """Join the first terms of a sum of ``count``."""
    rest = count - len(terms)
    return " + ".join(terms or ["0"]) + (f" + {rest} more" if rest else "")


def bracketed(value: float) -> str:
    """Return a number as it stands behind an operator."""
    return f"({number(value)})" if value < 0 else number(value)
