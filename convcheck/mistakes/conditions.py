"""Conditions under which a gradient can be wrong that is right otherwise, and circumstances that were never tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.mistakes.mistake import OtherName

#: Every condition by its slug, in words; `convcheck.checks.conditions` runs them.
CONDITIONS = {
    name: OtherName(code, name, title, fix, told_of=f"a gradient that is right on the layer's own data: {what}")
    for code, name, what, title, fix in (
        (
            "CC801", "real", "real numbers instead of integers",
            "the gradient is right on small integers and off by more than rounding on real numbers",
            "Look for numbers that are rounded, truncated or kept in a narrower type on the way.",
        ),
        (
            "CC802", "sparse", "four in ten entries are 0, and all of one sample's grad_output",
            "the gradient is right on nonzero data and wrong where entries are 0",
            "Look for a shortcut that leaves out zeros: a break for a continue, an index into what is left.",
        ),
        (
            "CC803", "zero-grad-output", "all of grad_output is 0",
            "all of grad_output is 0, so every gradient is 0, and this one is not",
            "Look for memory that is never written, and for a term that does not contain grad_output.",
        ),
        (
            "CC804", "one-sign", "all entries positive, then all negative",
            "the gradient is right on data of both signs and wrong on data of one sign",
            "Look for an absolute value, a maximum, or an unsigned type.",
        ),
        (
            "CC805", "large", "integers as large as keep every sum exact",
            "the gradient is right on small integers and wrong on large ones, on which nothing rounds either",
            "Look for an overflow, a narrower type, or a function that is no product: a power, a sign, a table.",
        ),
        (
            "CC806", "interleaved", "three forward passes, then their backward passes in another order",
            "the gradient is right for one call at a time and wrong where two calls are in flight",
            "Keep what backward needs on the object or in the cache of its own call, never on the class or the module; "
            "do not return one buffer from several calls.",
        ),
        (
            "CC807", "same-memory", "other data in the same memory, on the same object",
            "the gradient is right at the first call and wrong once the same arrays hold other numbers",
            "Look for what is computed once and kept: packed weights, an unfolded input, a cache by address or shape.",
        ),
    )
}  # fmt: skip


class Untried(NamedTuple):
    """A circumstance in which no layer of a suite was checked.

    Attributes
    ----------
    lacking : str
        What the suite lacks.
    shown_by : callable
        Whether a layer has it.
    change : dict
        What gives it to a layer.
    """

    words: OtherName
    lacking: str
    shown_by: Callable[[Layer], bool]
    change: dict[str, Any]


def _untried(
    number: int, name: str, what: str, why: str, shown_by: Callable[[Layer], bool], change: dict[str, Any]
) -> Untried:
    title, fix = f"no layer {what} was checked: {why}", f"Add a layer {what} to the suite."
    words = OtherName(f"CC{850 + number}", f"untried-{name}", title, fix, told_of=f"a suite without a layer {what}")
    return Untried(words, f"a layer {what}", shown_by, change)


def _has(field: str, value: object, layer: Layer) -> bool:
    return bool(getattr(layer, field) == value)


def _beyond_a_tile(layer: Layer) -> bool:
    return layer.batch > 8 and min(layer.channels_per_group, layer.filters_per_group) > 64


#: Kernels are cut into tiles of up to so many channels, filters and samples; the tail beyond them is code of its own.
TILE = {"channels": 65, "filters": 66, "groups": 1, "batch": 9}

UNTRIED = (
    *(
        _untried(number, dtype, f"in {dtype}", "sums may be kept in another type, or be rounded",
                 partial(_has, "dtype", dtype), {"dtype": dtype})
        for number, dtype in enumerate(DTYPES)
    ),
    _untried(20, "no-bias", "without a bias", "what is computed beside it may fail",
             partial(_has, "bias", False), {"bias": False}),
    _untried(21, "batch-of-one", "with a batch of 1", "an axis of size 1 may be dropped or broadcast",
             partial(_has, "batch", 1), {"batch": 1}),
    _untried(22, "tile", "of more than 64 channels and filters and a batch above 8",
             "code that works in tiles treats what is left over by itself",
             _beyond_a_tile, TILE),
)  # fmt: skip
