"""DeepBench's C++ tables of convolutions: ``std::make_tuple(700, 161, 1, 4, 32, 20, 5, 0, 0, 2, 2)``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convcheck.reports.results import GRADIENTS
from convcheck.suites.importing.model import Model, Shapes, integer
from convcheck.wording import short

#: What the numbers of a tuple are.
_NUMBERS = ("w", "h", "c", "n", "k", "filter_w", "filter_h", "pad_w", "pad_h", "stride_w", "stride_h")

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)

#: The name of a table, or one tuple of it.
_PART = re.compile(r"(?P<table>\w+)\s*=?\s*\{(?!\s*\{?\s*\})|make_tuple\s*\((?P<numbers>[^()]*)(?P<end>\)?)")


def recognises(text: str) -> bool:
    """Whether a text looks like one that `load` reads."""
    return "make_tuple" in text


def load(source: str, input_size: Sequence[int] | None = None) -> Model:
    """Read the tables of a header. What is for inference has a forward pass only.

    Raises
    ------
    ConfigError
        If a tuple cannot be read; carries the problems of all.
    """
    shapes = Shapes(Path(source))
    # Comments become blanks, so that all else keeps its place.
    text = _COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), shapes.text)
    table = ""
    for part in _PART.finditer(text):
        if part["numbers"] is None:
            table = part["table"]
            continue
        start = part.start()
        line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
        words = [word.strip() for word in part["numbers"].split(",")]
        if not part["end"] or len(words) != len(_NUMBERS) or not all(word.isdecimal() for word in words):
            shapes.wrong(
                line, column, f"({short(part['numbers'].strip())}) is no convolution; expected {', '.join(_NUMBERS)}"
            )
            continue
        given = dict(zip(_NUMBERS, map(integer, words), strict=True))
        per_axis: dict[str, Any] = {
            field: [given[f"{name}h"], given[f"{name}w"]]
            for field, name in (("input", ""), ("kernel", "filter_"), ("padding", "pad_"), ("stride", "stride_"))
        }
        computed = ("output",) if "inference" in table else GRADIENTS
        shapes.findings.add(
            "", table or "tuple", batch=given["n"], computed=computed, channels=given["c"], filters=given["k"],
            bias=False, **per_axis,
        )  # fmt: skip
    return shapes.model()
