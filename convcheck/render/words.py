"""Numbers, names and geometry in words, as every text format writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from convcheck.layer import Layer

__all__ = [
    "GRADIENT_NAMES",
    "GRADIENT_SYMBOLS",
    "VERDICTS",
    "at_most",
    "backward_geometry",
    "compact",
    "compact_against",
    "counted",
    "duration",
    "exact",
    "forward_geometry",
    "visible",
]

GRADIENT_NAMES = {"output": "output O", "input": "input dL/dX", "weight": "weight dL/dW", "bias": "bias dL/db"}

#: For lines that stand for several gradients.
GRADIENT_SYMBOLS = {"output": "O", "input": "dX", "weight": "dW", "bias": "db"}

VERDICTS = {
    "passed": "PASS",
    "failed": "FAIL",
    "skipped": "SKIP",
    "inconclusive": "INCONCLUSIVE",
    "error": "ERROR",
}

#: Significant digits that tell any two float64 numbers apart.
_ALL_DIGITS = 17


def compact(value: float, digits: int = 2) -> str:
    """Return a number in few characters: whole ones below a million as they are, others to so many digits."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.{digits}g}"


def compact_against(values: Sequence[float], allowed: float) -> tuple[list[str], str]:
    """Return numbers and what is allowed in few digits, but so many that the verdict follows from what is shown."""
    for digits in range(2, _ALL_DIGITS):
        shown, limit = [compact(value, digits) for value in values], compact(allowed, digits)
        if all((float(text) <= float(limit)) == (value <= allowed) for text, value in zip(shown, values, strict=True)):
            return shown, limit
    return [compact(value, _ALL_DIGITS) for value in values], compact(allowed, _ALL_DIGITS)


def exact(value: float) -> str:
    """Return all digits of a number; without a decimal point where it is whole."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e16:
        return str(int(value))
    return repr(float(value))


def at_most(value: float) -> str:
    """Return an upper bound in as few digits as do not understate it."""
    texts = (f"{value:.{digits}g}" for digits in range(1, _ALL_DIGITS))
    return next((text for text in texts if float(text) >= value), repr(float(value)))


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number of things: ``1 layer``, ``1,234 layers``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Return a time for people: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def visible(text: str) -> str:
    """Return a text with everything but line breaks that a terminal would obey or could not print written out."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def forward_geometry(layer: Layer) -> list[str]:
    """Return what the layer does, in phrases that are to stay whole; defaults that say nothing are left out."""
    parts = [
        f"{counted(layer.channels, 'channel')} → {counted(layer.filters, 'filter')}",
        f"kernel {_per_axis(layer.kernel)}",
    ]
    if any(step > 1 for step in layer.stride):
        parts.append(f"stride {_per_axis(layer.stride)}")
    if any(amount for pair in layer.padding for amount in pair):
        parts.append(f"padding {_pairs(layer.padding)}")
    if any(step > 1 for step in layer.dilation):
        parts.append(f"dilation {_per_axis(layer.dilation)}")
    if layer.groups > 1:
        parts.append(f"groups {layer.groups}")
    if not layer.bias:
        parts.append("no bias")
    sizes = f"{_per_axis(layer.input)} in, {_per_axis(layer.output)} out"
    return [*parts, sizes, f"batch {layer.batch}", layer.dtype]


def backward_geometry(layer: Layer) -> list[str]:
    """Return what the backward pass of the layer works with, in phrases that are to stay whole."""
    return [
        f"dL/dO dilated to {_per_axis(axis.dilated_size for axis in layer.axes)}",
        f"full padding {_pairs([axis.full_padding for axis in layer.axes], always=True)}",
        f"remainder {_per_axis(axis.remainder for axis in layer.axes)}",
    ]


def _per_axis(numbers: Iterable[int]) -> str:
    return "×".join(str(number) for number in numbers)


def _pairs(pairs: Sequence[tuple[int, int]], *, always: bool = False) -> str:
    """Return (before, after) per axis, or one number per axis where both sides are always the same."""
    if not always and all(before == after for before, after in pairs):
        return _per_axis(before for before, _ in pairs)
    return "×".join(f"({before},{after})" for before, after in pairs)
