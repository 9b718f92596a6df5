"""Command lines of MIOpen's driver, ``MIOpenDriver conv -n 1 -c 3 -H 224 ...``, and the keys of its databases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from convcheck.suites.importing.model import Findings, Model, Shapes, integer
from convcheck.wording import did_you_mean, short

#: Each option that says what is computed: its letter, its word, and its default.
_OPTIONS = (
    ("F", "forw", 0), ("n", "batchsize", 100), ("c", "in_channels", 3), ("k", "out_channels", 32), ("b", "bias", 0),
    ("g", "group_count", 1), ("_", "spatial_dim", 2),
    ("!", "in_d", 32), ("H", "in_h", 32), ("W", "in_w", 32),
    ("@", "fil_d", 3), ("y", "fil_h", 3), ("x", "fil_w", 3),
    ("$", "pad_d", 0), ("p", "pad_h", 0), ("q", "pad_w", 0),
    ("#", "conv_stride_d", 1), ("u", "conv_stride_h", 1), ("v", "conv_stride_w", 1),
    ("^", "dilation_d", 1), ("l", "dilation_h", 1), ("j", "dilation_w", 1),
    ("%", "trans_output_pad_d", 0), ("Y", "trans_output_pad_h", 0), ("X", "trans_output_pad_w", 0),
)  # fmt: skip

_DEFAULTS = {name: default for _, name, default in _OPTIONS}
_MEANT = (
    {letter: name for letter, name, _ in _OPTIONS} | {name: name for name in _DEFAULTS} | {"m": "mode", "z": "pad_mode"}
)

#: What each bit of ``-F`` asks for; 0 asks for all.
_PASSES = {1: "output", 2: "input", 4: "weight"}

#: The operation, which also says in which format, by its name in the driver.
_OPERATION = re.compile(r"(?P<tool>\S*MIOpenDriver)\s+(?P<name>\S+)(?P<rest>.*)")

_KEY = re.compile(
    r"(?P<sizes>\d+(?:-\d+){2,3}-\d+(?:x\d+){1,2}(?:-\d+){4,5}(?:-\d+(?:x\d+){1,2}){3}-\d+)"
    r"-(?P<layout>[A-Z][A-Za-z]*(?:-[A-Z][A-Za-z]*){0,2})-(?P<dtype>[A-Z]+[0-9][A-Z0-9a-z]*)-(?P<direction>[FBW])"
    r"(?P<more>(?:_[A-Za-z0-9]+)*)(?==|\s|$)"
)

#: What a database's key asks for.
_DIRECTIONS = {"F": "output", "B": "input", "W": "weight"}


def recognises(text: str) -> bool:
    """Whether a text looks like one that `load` reads."""
    return "MIOpenDriver" in text or any(_KEY.match(line.strip()) for line in text.splitlines()[:20])


def load(source: str, input_size: Sequence[int] | None = None) -> Model:
    """Read command lines and keys, one a line; what stands before a command, as in a log, is passed over.

    Raises
    ------
    ConfigError
        If a line cannot be read; carries the problems of all.
    """
    shapes = Shapes(Path(source))
    for number, line in enumerate(shapes.text.splitlines(), 1):
        words = line.strip()
        command = _OPERATION.search(line)
        if not words or words.startswith(("#", "//")):
            continue
        if command:
            _command(shapes, number, command)
        elif re.match(r"\d+-\d", words):
            _key(shapes, number, line)
        else:
            shapes.wrong(number, 1, "is neither a command with MIOpenDriver nor a key such as "
                "3-224-224-7x7-64-112-112-1-3x3-2x2-1x1-0-NCHW-FP32-F")  # fmt: skip
    return shapes.model()


def _command(shapes: Shapes, number: int, command: re.Match[str]) -> None:
    operation = command["name"]
    if not operation.startswith("conv"):
        shapes.findings.leave_out(f"line {number}", operation, "only the operation conv is imported")
        return
    given: dict[str, Any] = dict(_DEFAULTS)
    # The end of a command within a shell's line.
    rest = re.split(r"\s(?:[|;&>]|\d>)", command["rest"], maxsplit=1)[0]
    words = [(match.start() + command.start("rest") + 1, match.group()) for match in re.finditer(r"\S+", rest)]
    while words:
        column, option = words.pop(0)
        where = column
        if option.startswith("${"):
            continue
        if not option.startswith("-"):
            shapes.wrong(number, column, f'"{short(option)}" is not expected here; expected an option such as -c')
            return
        name, equals, value = option.lstrip("-").partition("=")
        if not equals:
            if not words:
                shapes.wrong(number, column, f"{short(option)} has no value; expected one behind it")
                return
            where, value = words.pop(0)
        meant = _MEANT.get(name, name)
        if len(name) > 1 and name not in _DEFAULTS and did_you_mean(name, _DEFAULTS, cutoff=0.8):
            shapes.wrong(number, column, f'unknown option "{short(option)}";{did_you_mean(name, _DEFAULTS)}')
            return
        if meant in _DEFAULTS and not value.isdecimal():
            shapes.wrong(
                number, where, f'{short(option)} "{short(value)}" is not allowed; expected an integer of at least 0'
            )
            return
        given[meant] = integer(value) if meant in _DEFAULTS else value
        if meant == "spatial_dim" and given[meant] not in (2, 3):
            shapes.wrong(number, where, f"{short(option)} {short(value)} is not allowed; expected 2 or 3")
            return
    _add_command(shapes.findings, f"line {number}", operation, given)


def _add_command(findings: Findings, name: str, operation: str, given: dict[str, Any]) -> None:
    mode, pad_mode = given.get("mode", "conv"), given.get("pad_mode", "default")
    if mode not in ("conv", "trans"):
        findings.leave_out(name, operation, f"its mode is {mode}; only conv and trans are imported")
        return
    if pad_mode not in ("default", "conv", "valid"):
        findings.leave_out(name, operation, f"its pad_mode is {pad_mode}; only default and valid are imported")
        return
    axes = ("h", "w") if given["spatial_dim"] == 2 else ("d", "h", "w")
    per_axis: dict[str, Any] = {
        field: [given[f"{word}_{axis}"] for axis in axes]
        for field, word in (("input", "in"), ("kernel", "fil"), ("stride", "conv_stride"), ("dilation", "dilation"),
            ("padding", "pad"), *([("output_padding", "trans_output_pad")] if mode == "trans" else []))
    }  # fmt: skip
    if pad_mode == "valid":
        per_axis["padding"] = [0] * len(axes)
    asked = given["forw"] or sum(_PASSES)
    computed = {array for bit, array in _PASSES.items() if asked & bit} | ({"bias"} if asked & 2 else set())
    dtype = {"conv": "fp32"}.get(operation, operation.removeprefix("conv"))
    findings.add(
        "", f"{operation} -F {given['forw']}", batch=given["batchsize"], dtype=dtype, computed=computed,
        channels=given["in_channels"], filters=given["out_channels"], groups=given["group_count"],
        bias=bool(given["bias"]), transposed=mode == "trans", **per_axis,
    )  # fmt: skip


def _key(shapes: Shapes, number: int, line: str) -> None:
    column = len(line) - len(line.lstrip()) + 1
    match = _KEY.match(line, column - 1)
    if match is None:
        shapes.wrong(
            number, column,
            "is no key of a database; expected channels, input size, kernel, filters, output size, batch, padding, "
            "stride, dilation, bias, layout, format and direction, such as "
            "3-224-224-7x7-64-112-112-1-3x3-2x2-1x1-0-NCHW-FP32-F",
        )  # fmt: skip
        return
    parts = match["sizes"].split("-")
    rank = next(place for place, part in enumerate(parts) if "x" in part) - 1
    if len(parts) != 2 * rank + 8 or any(part.count("x") != rank - 1 for part in (parts[rank + 1], *parts[-4:-1])):
        shapes.wrong(number, column, f"its kernel has {rank} axes, and the other sizes do not; check the key")
        return
    kernel, padding, stride, dilation = ([integer(n) for n in parts[i].split("x")] for i in (rank + 1, -4, -3, -2))
    first, second = [integer(n) for n in parts[: rank + 1]], [integer(n) for n in parts[rank + 2 : 2 * rank + 3]]
    # The first array is what is given: in both backward passes, the gradient of the output.
    given, made = (first, second) if match["direction"] == "F" else (second, first)
    groups = re.search(r"_g(\d+)", match["more"])
    computed, kind = _DIRECTIONS[match["direction"]], f"direction {match['direction']}"
    sizes = [
        (n + 2 * p - (d * (k - 1) + 1)) // s + 1 if s else 0
        for n, p, d, k, s in zip(given[1:], padding, dilation, kernel, stride, strict=True)
    ]
    if prod(stride) and sizes != made[1:]:
        shown = "×".join(map(str, made[1:]))
        shapes.wrong(number, column, f"says an output of {shown}; its other sizes give {'×'.join(map(str, sizes))}")
        return
    shapes.findings.add(
        "", kind, batch=integer(parts[-5]), dtype=match["dtype"], computed={computed}, channels=given[0],
        filters=made[0], groups=integer(groups[1]) if groups else 1, kernel=kernel, padding=padding, stride=stride,
        dilation=dilation, bias=parts[-1] != "0", input=given[1:],
    )  # fmt: skip
