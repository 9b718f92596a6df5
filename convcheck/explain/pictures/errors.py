"""A wrong gradient beside the right one, and their difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convcheck.errors import UsageError
from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.common import at, no_kinds, scale_of
from convcheck.explain.pictures.panel import Index, Panel, Story
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.reports.where import axis_names, where

#: Cells per axis that are shown around the worst entry.
_AROUND = 12

_SYMBOLS = {"output": "O", "input": "dL/dX", "weight": "dL/dW", "bias": "dL/db"}


def story(layer: Layer, gradient: str, analytic: Array, numeric: Array, source: str = "numeric") -> Story:
    """Tell where a gradient is wrong.

    Parameters
    ----------
    layer : Layer
    gradient : str
        "output", "input", "weight" or "bias".
    analytic, numeric : array
        What the backward pass gave, and what it should be.
    source : str
        What the second array is from.

    Raises
    ------
    UsageError
        If the shapes differ.
    """
    if analytic.shape != numeric.shape:
        raise UsageError(
            f"the analytic gradient has shape {analytic.shape} and "
            f"the {source} one {numeric.shape}; expected equal shapes"
        )
    with np.errstate(invalid="ignore"):
        difference = np.asarray(analytic, np.float64) - numeric
    error = np.where(np.isfinite(difference), np.abs(difference), np.inf)
    around = _Around(gradient, tuple(int(i) for i in np.unravel_index(np.argmax(error), error.shape)), error.shape)
    symbol, wrong, worst = _SYMBOLS[gradient], error > 0, around.worst
    scale = max(scale_of(analytic[around.cut]), scale_of(numeric[around.cut]))
    summary = f"{int(wrong.sum()):,} of {wrong.size:,} entries differ"
    left, right = (sizes.number(float(array[worst])) for array in (analytic, numeric))
    return Story(
        name=f"error-{gradient}",
        title=f"{symbol} is wrong" if wrong.any() else f"{symbol} is right",
        intro=(f"{summary}: {where(wrong, gradient)}." if wrong.any() else f"{summary}.",),
        panels=(
            around.panel("1", f"{symbol} as given (analytic)", "", analytic, scale),
            around.panel("2", f"{symbol} as it should be ({source})", "same colours as 1", numeric, scale),
            around.panel("3", "1 minus 2: the error", "white: right", difference, scale_of(difference[around.cut])),
        ),
        example=(f"Outlined: the worst entry {symbol}{at(worst)}, given {left}, expected {right}.",),
    )


@dataclass(frozen=True)
class _Around:
    """The part of an array around its worst entry: one sample and channel, and some cells to each side."""

    gradient: str
    worst: Index
    shape: Index

    @property
    def lead(self) -> int:
        """Axes in front of the spatial ones; a bias is drawn as a strip of its filters."""
        return 0 if self.gradient == "bias" else 2

    @property
    def shown(self) -> tuple[range, ...]:
        """Spatial positions."""
        pairs = zip(self.worst[self.lead :], self.shape[self.lead :], strict=True)
        return tuple(_around(place, size) for place, size in pairs)

    @property
    def cut(self) -> tuple[Any, ...]:
        """Index that takes what is shown out of an array."""
        return (*self.worst[: self.lead], *(slice(r.start, r.stop) for r in self.shown))

    def panel(self, number: str, title: str, note: str, values: Array, scale: float) -> Panel:
        """One array around the worst entry."""
        names = axis_names(self.gradient, len(self.shape))
        fixed = ", ".join(f"{name} {i}" for name, i in zip(names[: self.lead], self.worst, strict=False))
        part = values[self.cut]
        return Panel(
            number=number,
            title=title,
            lines=tuple(line for line in (fixed, note) if line),
            values=part,
            kinds=no_kinds(part),
            names=tuple(name.removeprefix("kernel ") + "s" for name in names[self.lead :]),
            start=tuple(r.start for r in self.shown),
            shape=self.shape[self.lead :],
            scale=scale,
            outlined=frozenset([self.worst[self.lead :]]),
        )


def _around(place: int, size: int) -> range:
    start = max(0, min(place - _AROUND // 2, size - _AROUND))
    return range(start, min(size, start + _AROUND))
