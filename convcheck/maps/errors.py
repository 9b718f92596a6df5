"""A wrong gradient beside the right one, and their difference."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcheck.arrays import Array
from convcheck.errors import UsageError
from convcheck.layer import Layer
from convcheck.locate import axis_names, where
from convcheck.maps import sizes
from convcheck.maps.common import at, no_kinds, scale_of
from convcheck.maps.panel import Panel, Story

__all__ = ["story"]

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
    worst = tuple(int(i) for i in np.unravel_index(np.argmax(error), error.shape))
    symbol, wrong = _SYMBOLS[gradient], error > 0
    names = axis_names(gradient, analytic.ndim)
    lead = 0 if gradient == "bias" else 2
    fixed = ", ".join(f"{name} {i}" for name, i in zip(names[:lead], worst[:lead], strict=True))
    spatial = tuple(name.removeprefix("kernel ") + "s" for name in names[lead:])
    shown = tuple(_around(i, size) for i, size in zip(worst[lead:], analytic.shape[lead:], strict=True))
    cut: tuple[Any, ...] = (*worst[:lead], *(slice(r.start, r.stop) for r in shown))
    scale = scale_of(analytic[cut], numeric[cut])

    def panel(number: str, title: str, lines: list[str], values: Array, scale: float) -> Panel:
        return Panel(
            number, title, tuple(line for line in lines if line), values[cut], no_kinds(values[cut]), spatial,
            tuple(r.start for r in shown), analytic.shape[lead:], scale, frozenset([worst[lead:]]),
        )  # fmt: skip

    summary = f"{int(wrong.sum()):,} of {wrong.size:,} entries differ" + (
        f": {where(wrong, gradient)}" if wrong.any() else ""
    )
    left, right = (sizes.number(float(array[worst])) for array in (analytic, numeric))
    return Story(
        name=f"error-{gradient}",
        title=f"{symbol} is wrong" if wrong.any() else f"{symbol} is right",
        intro=(summary + ".",),
        panels=(
            panel("1", f"{symbol} as given (analytic)", [fixed], analytic, scale),
            panel("2", f"{symbol} as it should be ({source})", [fixed, "same colours as 1"], numeric, scale),
            panel("3", "1 minus 2: the error", [fixed, "white: right"], difference, scale_of(difference[cut])),
        ),
        example=(f"Outlined: the worst entry {symbol}{at(worst)}, given {left}, expected {right}.",),
    )


def _around(place: int, size: int) -> range:
    start = max(0, min(place - _AROUND // 2, size - _AROUND))
    return range(start, min(size, start + _AROUND))
