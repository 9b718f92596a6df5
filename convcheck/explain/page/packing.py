"""Which part of arrays a page has, as texts that are short and read fast.

A small integer is a character; anything else is base64 of its bytes.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer

Packed = dict[str, Any]

#: Character of the integer 0, and the largest integer that has a character: none of them is a control character, a
#: quote or beyond ASCII.
_ZERO, _LARGEST = 79, 44


@dataclass(frozen=True)
class Kept:
    """Which samples, channels and filters of a layer the page has."""

    samples: range
    channels: range
    filters: range

    def x(self, array: Array) -> Array:
        """Cut X, or dL/dX."""
        return array[self.samples.start : self.samples.stop, self.channels.start : self.channels.stop]

    def output(self, array: Array) -> Array:
        """Cut O, or dL/dO."""
        return array[self.samples.start : self.samples.stop, self.filters.start : self.filters.stop]

    def weight(self, layer: Layer, array: Array) -> Array:
        """Cut W, or dL/dW: the slices between these channels and filters."""
        if layer.transposed:
            own = _within(self.filters, layer.filters, layer.filters_per_group)
            return array[self.channels.start : self.channels.stop, own]
        own = _within(self.channels, layer.channels, layer.channels_per_group)
        return array[self.filters.start : self.filters.stop, own]

    def bias(self, array: Array) -> Array:
        """Cut b, or dL/db."""
        return array[self.filters.start : self.filters.stop]

    def cut(self, layer: Layer, gradient: str, array: Any) -> Any:
        """Cut the output or a gradient, by its name."""
        match gradient:
            case "input":
                return self.x(array)
            case "output":
                return self.output(array)
            case "weight":
                return self.weight(layer, array)
            case _:
                return self.bias(array)


def _within(kept: range, count: int, per_group: int) -> slice:
    """Return channels, or filters, as they are counted within a group."""
    if len(kept) == count:
        return slice(0, per_group)
    first = kept.start % per_group
    return slice(first, first + len(kept))


def packed(array: NDArray[Any]) -> Packed:
    """Return an array as its shape, how its numbers are written, and the text of them."""
    values = np.ascontiguousarray(array, np.float64)
    whole = bool(np.isfinite(values).all()) and bool((values == np.rint(values)).all())
    largest = float(np.abs(values).max(initial=0))
    # Nothing tells −0 from 0 but the sign of its infinity.
    if whole and largest <= _LARGEST:
        text = (values.astype(np.int64) + _ZERO).astype(np.uint8).tobytes().decode("ascii")
        return {"shape": array.shape, "as": "characters", "text": text}
    kind = "int16" if whole and largest < 2**15 else "int32" if whole and largest < 2**31 else "float64"
    text = base64.b64encode(values.astype(np.dtype(kind).newbyteorder("<")).tobytes()).decode("ascii")
    return {"shape": array.shape, "as": kind, "text": text}


def packed_marks(marks: NDArray[np.bool_]) -> Packed:
    """Return an array of truths, eight to a byte, the first one the lowest bit."""
    text = base64.b64encode(np.packbits(marks.ravel(), bitorder="little").tobytes()).decode("ascii")
    return {"shape": marks.shape, "as": "bits", "text": text}


def size_of(value: Any) -> int:
    """Return about how many bytes plain data take as JSON, to a few for every number."""
    match value:
        case str():
            return len(value) + 3
        case dict():
            return sum(len(key) + 4 + size_of(each) for key, each in value.items())
        case list() | tuple():
            return 2 + sum(map(size_of, value))
        case _:
            return 8
