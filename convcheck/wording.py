"""Numbers, names, places and wrong values in words, as every text writes them."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

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

#: The first character of what GitHub's CI system takes for a command.
_COMMAND = re.compile(r"(?<!\S):(?=:[A-Za-z])|#(?=#\[)")

#: The same where a line begins.
_AT_A_BEGINNING = re.compile(r"^([^\S\n]*):(?=:[A-Za-z])", re.MULTILINE)

#: Longest piece of somebody's input that a message repeats.
_MOST_SHOWN = 80


def _by_part(value: complex, text: Callable[[float], str]) -> str:
    """Return a complex number by what is written of its parts: ``3-2i``, ``-i``."""
    real, imaginary = text(value.real), text(abs(value.imag))
    if imaginary == "0":
        return real
    sign = "-" if value.imag < 0 else "+" if real != "0" else ""
    return f"{real if real != '0' else ''}{sign}{imaginary if imaginary != '1' else ''}i"


def compact(value: complex, digits: int = 2) -> str:
    """Return a number in few characters: whole ones below a million as they are, others to so many digits."""
    if isinstance(value, complex):
        # A part that is less than the last digit of the other is what rounding left of nothing.
        least = abs(value) * 10.0**-digits
        return _by_part(value, lambda part: compact(part if abs(part) >= least else 0.0, digits))
    if math.isfinite(value) and value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.{digits}g}"


def compact_against(values: Sequence[float], allowed: float, least: int = 2) -> tuple[list[str], str]:
    """Return numbers and what is allowed in few digits, but so many that the verdict follows from what is shown."""
    for digits in range(least, _ALL_DIGITS):
        shown, limit = [compact(value, digits) for value in values], compact(allowed, digits)
        if all((float(text) <= float(limit)) == (value <= allowed) for text, value in zip(shown, values, strict=True)):
            return shown, limit
    return [compact(value, _ALL_DIGITS) for value in values], compact(allowed, _ALL_DIGITS)


def exact(value: complex) -> str:
    """Return all digits of a number; without a decimal point where it is whole."""
    if isinstance(value, complex):
        return _by_part(value, exact)
    if math.isfinite(value) and value == int(value) and abs(value) < 1e16:
        return str(int(value))
    return repr(float(value))


def readable(value: complex, digits: int) -> str:
    """Return all digits of a whole number, and so many of any other."""
    if isinstance(value, complex):
        return _by_part(value, lambda part: readable(part, digits))
    text = exact(value)
    return text if text.lstrip("-").isdigit() else f"{value:.{digits}g}"


def told_apart(first: complex, second: complex) -> tuple[str, str]:
    """Return two numbers, whole ones with all digits and others with so many that their difference shows."""
    if isinstance(first, complex) or isinstance(second, complex):
        for digits in range(3, _ALL_DIGITS):
            if readable(first, digits) != readable(second, digits):
                return readable(first, digits + 1), readable(second, digits + 1)
        return exact(first), exact(second)
    for digits in range(3, _ALL_DIGITS):
        left, right = readable(first, digits), readable(second, digits)
        gap = first - second
        if abs(float(left) - float(right) - gap) <= abs(gap) / 10:
            return left, right
    return exact(first), exact(second)


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
    """Return a text with everything but line breaks that a terminal or a CI system would obey written out."""
    return "\n".join(map(one_line, text.split("\n")))


def one_line(text: str) -> str:
    """Return a text with all that a terminal or a CI system would obey or could not print written out, line breaks too.

    GitHub's takes for a command what follows "::" at the beginning of a line, where any word may come to stand, and
    what follows "##[" anywhere.
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return _COMMAND.sub(lambda begin: f"\\x{ord(begin[0]):02x}", shown)


def laid_out(text: str) -> str:
    """Return a text of which lines have come about since it was made visible, none of them a command to a CI system."""
    return _AT_A_BEGINNING.sub(r"\1\\x3a", text)


def short(text: str) -> str:
    """Return a text, cut where it is longer than a message should repeat."""
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."


def shown(value: object, written: str | None = None) -> str:
    """Return a wrong value as the user wrote it, with its kind where that may be what is wrong.

    Parameters
    ----------
    written : str, optional
        A number as it stands in a file, where that is known: ``1e-9``, which Python writes as ``1e-09``.
    """
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    if isinstance(value, float):
        return f"{short(written or str(value))} (a float)"
    if isinstance(value, str):
        return f'"{short(value)}" (a text)'
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value):
        return "a list"
    return short(written or str(list(value) if isinstance(value, tuple) else value))


def at(path: Sequence[str | int]) -> str:
    """Return the way to a value as messages write it: ``layers[0].padding[1]``."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{short(step)}" for step in path)
    return "".join(steps).removeprefix(".")


def nearest(given: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that one which is unknown seems to mean, whatever its case; None if there is none."""
    names = {name.lower(): name for name in known}
    found = difflib.get_close_matches(given.lower(), list(names), n=1, cutoff=cutoff)
    return names[found[0]] if found else None


def did_you_mean(given: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return `` did you mean "stride"?``, with a blank in front, to stand behind a semicolon; or nothing."""
    meant = nearest(given, known, cutoff)
    return f' did you mean "{meant}"?' if meant else ""


def looks_like_path(source: str) -> bool:
    """Return whether a CONFIG argument is certainly a path: it has a slash, or ends in ``.yaml`` or ``.yml``."""
    separators = "/" + os.sep + (os.altsep or "")
    return source.lower().endswith((".yaml", ".yml")) or any(separator in source for separator in separators)
