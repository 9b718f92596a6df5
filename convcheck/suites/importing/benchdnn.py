"""benchdnn's files and command lines, with which oneDNN is tested: ``mb1_ic3oc64_ih224oh112kh7sh2ph3``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convcheck.reports.results import GRADIENTS
from convcheck.suites.importing.model import Findings, Model, Shapes, integer
from convcheck.wording import short

_SPATIAL = "dhw"

_NUMBER = re.compile(rf"(mb|ic|oc|g|[ioskpd][{_SPATIAL}])(\d+)")

#: A whole descriptor, so that a file is known by it.
_DESCRIPTOR = re.compile(rf"(?:(?:mb|ic|oc|g|[ioskpd][{_SPATIAL}])\d+|_)+(?:n\S*)?")

#: What each direction computes, and whether there is a bias; an input gradient is the same with one.
_DIRECTIONS = {
    "FWD_B": ({"output"}, True), "FWD_D": ({"output"}, False), "FWD_I": ({"output"}, False),
    "BWD_D": ({"input"}, True), "BWD_W": ({"weight"}, False), "BWD_WB": ({"weight", "bias"}, True),
}  # fmt: skip

_PROBLEM = "expected an option such as --dir=FWD_B, or a problem such as mb1_ic3oc64_ih224oh112kh7sh2ph3"


@dataclass(frozen=True)
class _Options:
    """What applies to the problems that follow."""

    driver: str = "conv"
    directions: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("f32",)
    batch: int = 0


@dataclass
class _Reading:
    """What several files of one import share."""

    findings: Findings
    problems: list[str] = field(default_factory=list)
    options: _Options = field(default_factory=_Options)
    open: list[Path] = field(default_factory=list)


def recognises(text: str) -> bool:
    """Whether a text looks like one that `load` reads: the first word that is no option is a problem."""
    for _, _, word in _words(text):
        name = word.rpartition("/")[2]
        if word.startswith("--batch=") or name == "benchdnn":
            return True
        if not word.startswith("-"):
            return _DESCRIPTOR.fullmatch(word) is not None and "k" in word
    return False


def load(source: str, input_size: Sequence[int] | None = None) -> Model:
    """Read a file with problems, options, comments and other such files.

    Raises
    ------
    ConfigError
        If something in one of them cannot be read; carries all problems of all files.
    """
    reading = _Reading(Findings(merging=True))
    shapes = Shapes(Path(source), reading.findings, reading.problems)
    _file(shapes, reading)
    return shapes.model()


def _words(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (line, column, word); a word that ends in a backslash goes on with the next, and # begins a comment."""
    start: tuple[int, int] | None = None
    word = ""
    for number, line in enumerate(text.splitlines(), 1):
        for match in re.finditer(r"\S+", line):
            if match.group().startswith("#"):
                break
            start = start or (number, match.start() + 1)
            word += match.group()
            if word.endswith("\\"):
                word = word[:-1]
            else:
                yield (*start, word)
                start, word = None, ""
    if start and word:
        yield (*start, word)


def _file(shapes: Shapes, reading: _Reading) -> None:
    reading.open.append(shapes.path.resolve())
    for line, column, word in _words(shapes.text):
        if word.startswith("-"):
            _option(shapes, line, column, word, reading)
        elif word.rpartition("/")[2].removesuffix(".exe") != "benchdnn":
            _problem(shapes, line, column, word, reading.options)
    reading.open.pop()


def _option(shapes: Shapes, line: int, column: int, word: str, reading: _Reading) -> None:
    name, _, value = word.lstrip("-").partition("=")
    values = tuple(value.split(","))
    options, where = reading.options, column + len(word) - len(value)
    if name == "reset":
        reading.options = _Options(options.driver)
    elif name == "dir":
        unknown = next((one for one in values if one.upper() not in _DIRECTIONS), None)
        if unknown is not None:
            expected = ", ".join(_DIRECTIONS)
            shapes.wrong(
                line, where, f'direction "{short(unknown)}" is not known; expected one or several of {expected}'
            )
            return
        reading.options = replace(options, directions=tuple(one.upper() for one in values))
    elif name in ("dt", "cfg"):
        # One format for all arrays, or those of the input, the weight and the output one after the other.
        formats = [re.match(r"(bf16|f16|f32|f64)(?![0-9])", one) for one in values]
        reading.options = replace(
            options, dtypes=tuple(m.group(1) if m else one for m, one in zip(formats, values, strict=True))
        )
    elif name == "mb":
        if not value.isdecimal():
            shapes.wrong(
                line, where, f'--mb "{short(value)}" is no number; expected a batch, or 0 for that of each problem'
            )
            return
        reading.options = replace(options, batch=integer(value))
    elif name == "batch":
        _include(shapes, line, where, value, reading)
    elif not value and word.startswith("--") and re.fullmatch(r"[a-z]+", name):
        # Any other word without a value names what is tested from here on.
        reading.options = replace(options, driver=name)


def _include(shapes: Shapes, line: int, column: int, name: str, reading: _Reading) -> None:
    """Read another file, from beside this one or beside those that include it."""
    places = [shapes.path.parent / name, *(path.parent / name for path in reversed(reading.open))]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        shapes.wrong(line, column, f'--batch: there is no file "{short(name)}" beside this one; check the name')
    elif found.resolve() in reading.open:
        shapes.wrong(line, column, f'--batch: "{name}" includes itself; leave it out')
    else:
        _file(Shapes(found, reading.findings, reading.problems), reading)


def _problem(shapes: Shapes, line: int, column: int, word: str, options: _Options) -> None:
    numbers: dict[str, int] = {}
    name, at = "", 0
    while at < len(word):
        match = _NUMBER.match(word, at)
        if match:
            numbers[match.group(1)] = integer(match.group(2))
            at = match.end()
        elif word[at] == "_":
            at += 1
        elif word[at] == "n" and numbers:
            name = word[at + 1 :].strip('"')
            break
        else:
            shapes.wrong(line, column + at, f'"{short(word[at:])}" is not understood; {_PROBLEM}')
            return
    driver = f"--{options.driver}"
    if options.driver not in ("conv", "deconv"):
        shapes.findings.leave_out(name or word, driver, "is no convolution")
        return
    spec, wrong, reason = _sizes(numbers, transposed=options.driver == "deconv")
    if wrong:
        shapes.wrong(line, column, f"{wrong} in {short(word)}")
        return
    if reason:
        shapes.findings.leave_out(name or word, driver, reason)
        return
    known = [_DIRECTIONS[direction] for direction in options.directions]
    computed = set[str]().union(*(arrays for arrays, _ in known)) if known else set(GRADIENTS)
    bias = any(has for _, has in known) or not known
    for dtype in options.dtypes:
        kind = f"{driver} --dir={','.join(options.directions)}" if known else driver
        batch = options.batch or numbers.get("mb", 2)
        shapes.findings.add(name, kind, batch=batch, computed=computed, dtype=dtype, bias=bias, **spec)


def _sizes(numbers: dict[str, int], *, transposed: bool) -> tuple[dict[str, Any], str, str]:
    """Return the sizes of a layer, what is wrong with the numbers, and why no layer is like them.

    Sizes of an axis that are not given are those of the first axis. Padding is what the output needs, half of it in
    front; without an output it is none; of a transposed convolution it is what is cut off the output, and what the
    output has more is output padding. Dilation counts the samples between two taps.
    """
    missing = next((name for name in ("ic", "oc") if not numbers.get(name)), None)
    if missing:
        return {}, f'there is no "{missing}"', ""
    axes = [axis for axis in _SPATIAL if any(kind + axis in numbers for kind in "ioksd")]
    if axes == ["d"]:
        taken = ["d", "d", "d"]
    elif axes == ["h"]:
        taken = ["h", "h"]
    elif axes in (["w"], ["h", "w"], ["d", "h", "w"]):
        taken = axes
    else:
        return (
            {},
            f"sizes are given for {' and '.join(axes) or 'no axis'}; expected w, h or h and w, d or d, h and w",
            "",
        )
    spec: dict[str, Any] = {"kernel": [], "stride": [], "dilation": [], "padding": [], "input": []}
    if transposed:
        spec |= {"transposed": True, "output_padding": []}
    for axis in taken:
        size, taps = numbers.get(f"i{axis}"), numbers.get(f"k{axis}")
        if not size or not taps:
            return {}, f'there is no "{"k" if size else "i"}{axis}"', ""
        stride, dilation = numbers.get(f"s{axis}", 1), numbers.get(f"d{axis}", 0) + 1
        output, front = numbers.get(f"o{axis}"), numbers.get(f"p{axis}")
        span = dilation * (taps - 1) + 1
        behind = front
        if output is None and transposed:
            output = (size - 1) * stride + span - 2 * (front or 0)
        elif output is None and stride and size + 2 * (front or 0) >= span:
            output = (size + 2 * (front or 0) - span) // stride + 1
        if output and stride:
            # A transposed one is a plain one whose input and output are exchanged.
            windows, samples = (size, output) if transposed else (output, size)
            needed = (windows - 1) * stride + span - samples
            front = max(needed, 0) // 2 if front is None else front
            behind = max(needed - front, 0)
            if transposed:
                spec["output_padding"].append(max(front - needed, 0))
            elif stride > 1 and output > size:
                return {}, "", f"its output, {output}, is larger than its input, {size}: a transposed convolution?"
            elif size + front + behind >= span and (size + front + behind - span) // stride + 1 != output:
                return {}, "", f"with an output of {output} along {axis}, some windows are left out"
        spec["kernel"].append(taps)
        spec["stride"].append(stride)
        spec["dilation"].append(dilation)
        spec["padding"].append([front or 0, behind or 0])
        spec["input"].append(size)
    return {"channels": numbers["ic"], "filters": numbers["oc"], "groups": numbers.get("g", 1), **spec}, "", ""
