"""Numbers, names and places in words, as every text writes them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

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


def looks_like_path(source: str) -> bool:
    """Return whether a CONFIG argument is certainly a path: it has a slash, or ends in ``.yaml`` or ``.yml``."""
    separators = "/" + os.sep + (os.altsep or "")
    return source.lower().endswith((".yaml", ".yml")) or any(separator in source for separator in separators)
