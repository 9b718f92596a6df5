"""The arrays that pass between the parts: their type and the triple of gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convcheck.layer.fields import DTYPES

#: A floating-point array, of real or of complex numbers; NumPy's types have no name for both that can be computed with.
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


def is_numeric(array: NDArray[Any], dtype: str) -> bool:
    """Whether an array is one of numbers such as an array of a data type may stand for; complex ones for complex ones.

    Of a format that NumPy has from elsewhere, it does not know that.
    """
    if array.dtype.kind == "c":
        return DTYPES[dtype].part is not None
    return array.dtype.kind in "fiu" or array.dtype.name in DTYPES


def widest(dtype: str) -> str:
    """Return the format of 64 bits, or of twice as many for complex numbers, that holds all numbers of another."""
    return "complex128" if DTYPES[dtype].part else "float64"


def wide(array: NDArray[Any]) -> Array:
    """Return a copy of the same numbers in the format of `widest`."""
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def by_part(function: Callable[[Array], Array], array: Array) -> Array:
    """Apply what is made for real numbers to the real and to the imaginary parts, each by itself."""
    if array.dtype.kind != "c":
        return function(array)
    made = np.empty_like(array)
    made.real, made.imag = function(array.real), function(array.imag)
    return made


def nested(array: Array) -> Any:
    """Return the entries as nested lists; those of complex numbers are pairs, [real, imaginary]."""
    return (np.stack([array.real, array.imag], axis=-1) if array.dtype.kind == "c" else array).tolist()


def equal(a: Array, b: Array) -> bool:
    """Whether two arrays have the same shape and entries: ``np.array_equal``, in a third of its time on small ones."""
    return a.shape == b.shape and not np.count_nonzero(a != b)


def at_sites(places: Iterable[Any]) -> tuple[Any, ...]:
    """Index the trailing axes of an array, the spatial ones, and take all of the others."""
    return (..., *places)


def kept_alone(kept: NDArray[np.bool_], array: Array) -> Array:
    """Return the array with zeros where nothing is kept, in its own dtype: NumPy 1 joins bfloat16 and no number."""
    return np.where(kept, array, array.dtype.type(0))


def reread(array: Array, stands: tuple[int, ...] = (0, 1, 2), read: tuple[int, ...] = (0, 1, 2)) -> Array:
    """Return an array of images or weights as it is read by code that takes its memory for one in another order.

    Parameters
    ----------
    stands, read : tuple of int
        The order into which its axes were brought, and the one in which they are taken to stand: of samples, filters
        and positions, or of filters, channels and taps.
    """
    blocks = (*array.shape[:2], prod(array.shape[2:]))
    taken = array.reshape(blocks).transpose(stands).reshape([blocks[axis] for axis in read])
    return np.ascontiguousarray(taken.transpose(np.argsort(read))).reshape(array.shape)
