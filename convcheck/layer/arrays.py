"""The arrays that pass between the parts: their type and the triple of gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convcheck.layer.fields import DTYPES

#: A floating-point array.
Array = NDArray[np.floating[Any]]


class Gradients(NamedTuple):
    """What a backward pass returns.

    Attributes
    ----------
    input : array, shape (N, C, *input)
    weight : array, shape (F, C/groups, *kernel), or of a transposed layer (C, F/groups, *kernel)
    bias : array, shape (F,), or None
        None where the layer has no bias.
    """

    input: Array
    weight: Array
    bias: Array | None


def is_real(array: NDArray[Any]) -> bool:
    """Whether an array is one of real numbers; of a format that NumPy has from elsewhere, it does not know that."""
    return array.dtype.kind in "fiu" or array.dtype.name in DTYPES


def equal(a: Array, b: Array) -> bool:
    """Whether two arrays have the same shape and entries: ``np.array_equal``, in a third of its time on small ones."""
    return a.shape == b.shape and not np.count_nonzero(a != b)


def at_sites(places: Iterable[Any]) -> tuple[Any, ...]:
    """Index the trailing axes of an array, the spatial ones, and take all of the others."""
    return (..., *places)


def kept_alone(kept: NDArray[np.bool_], array: Array) -> Array:
    """Return the array with zeros where nothing is kept, in its own dtype: NumPy 1 joins bfloat16 and no number."""
    return np.where(kept, array, array.dtype.type(0))
