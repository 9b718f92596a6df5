"""Arrays inside larger pieces of memory: with gaps, in another order, backwards, once for many entries, between bands.

What surrounds the entries of an array there is NaN, so that reading it shows in a result, or zero, so that it does not;
that it was written is found by looking at it afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convcheck.layer.arrays import Array

#: Entries of a band are as many as the array has, but no fewer and no more than this.
_LEAST, _MOST = 256, 2**20

#: Entries between two rows.
_BETWEEN_ROWS = 3

#: What bands are filled with, by what is told to stand around an array; gaps have NaN.
_FILLED = {"": np.nan, "nan": np.nan, "zeros": 0.0}


@dataclass(frozen=True, eq=False)
class Placed:
    """An array inside a larger piece of memory.

    Attributes
    ----------
    base : array, one axis
        All of the memory.
    shape : tuple of int
    strides : tuple of int
        In entries, not bytes.
    offset : int
        Of the first entry.
    filled : float
        What is around the entries.
    """

    base: Array
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    filled: float

    def view(self, base: Array | None = None) -> Array:
        """Return the array; it, or that of a copy of the base, shares its memory."""
        memory = self.base if base is None else base
        size = memory.itemsize
        steps = tuple(step * size for step in self.strides)
        return np.ndarray(self.shape, memory.dtype, memory.view(np.uint8), self.offset * size, steps)

    def spilled(self, now: Array | None = None) -> bool:
        """Whether anything around the array was written; the memory may be given as it is now, if it was copied."""
        around = (self.base if now is None else now).copy()
        self.view(around)[...] = self.filled
        return around.tobytes() != np.full(around.shape, self.filled, around.dtype).tobytes()


def placed(array: Array, memory: str = "plain", *, around: str = "") -> Placed:
    """Put a copy of an array into memory of its own.

    Parameters
    ----------
    memory : str
        "plain", in C order; "gaps" between neighbouring entries; gaps between "rows", the last axes; "fortran", the
        first axis innermost; "channels-last", the second one innermost; "reversed" along every axis,
        "reversed-first" and "reversed-last" along one alone; "broadcast": one
        entry for all, along every axis along which they are equal.
    around : {"", "nan", "zeros"}
        What the bands in front and behind hold; there are none where it is "".
    """
    axes = list(range(array.ndim))
    if memory == "fortran" or (memory == "channels-last" and array.ndim < 3):
        axes.reverse()
    elif memory == "channels-last":
        axes = [0, *axes[2:], 1]
    strides = [0] * array.ndim
    step = 2 if memory == "gaps" else 1
    for axis in reversed(axes):
        if memory == "broadcast" and array.shape[axis] > 1 and _constant(array, axis):
            continue
        strides[axis] = step
        step *= array.shape[axis]
        if memory == "rows" and axis == axes[-1]:
            step += _BETWEEN_ROWS
    band = min(max(_LEAST, array.size), _MOST) if around else 0
    filled = _FILLED[around]
    base = np.full(2 * band + max(step, 1), filled, array.dtype)
    offset = band
    turned = {"reversed": slice(None), "reversed-first": slice(1), "reversed-last": slice(-1, None)}
    if memory in turned and array.size:
        for axis in range(array.ndim)[turned[memory]]:
            offset += (array.shape[axis] - 1) * strides[axis]
            strides[axis] = -strides[axis]
    found = Placed(base, array.shape, tuple(strides), offset, filled)
    found.view()[...] = array
    return found


def _constant(array: Array, axis: int) -> bool:
    first = np.take(array, [0], axis)
    return bool((array == first).all())
