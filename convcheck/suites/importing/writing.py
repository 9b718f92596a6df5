"""A model's convolutions as the text of a config."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from convcheck.layer.layer import Layer
from convcheck.suites.config import parse
from convcheck.suites.importing.found import Model
from convcheck.suites.schema import VERSION
from convcheck.version import __version__

#: What YAML reads as a text whatever version it has: a letter first, and no word that stands for something else.
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n|nan|inf)$)[a-z][\w./-]*", re.IGNORECASE | re.ASCII)


def config_text(model: Model) -> str:
    """Write a model's convolutions as a config.

    Values that are the default are left out. What is written is read again, so that no config is given out that
    ``convcheck verify`` would refuse.
    """
    lines = [f"# The convolutions of {_comment(model.source)}, imported by convcheck {__version__}."]
    if model.left_out:
        lines += ["#", "# Left out:", *(f"# - {_comment(str(left_out))}" for left_out in model.left_out)]
    lines += [f"version: {VERSION}", "layers:"]
    for layer, batch_known in zip(model.layers, model.batch_known, strict=True):
        pairs = [f"{key}: {value}" for key, value in _pairs(layer, batch_known)]
        lines += [f"  - {pairs[0]}", *(f"    {pair}" for pair in pairs[1:])]
    text = "\n".join(lines) + "\n"
    parse(text, model.source)
    return text


def _pairs(layer: Layer, batch_known: bool) -> Iterator[tuple[str, str]]:
    yield "name", _text(layer.name)
    yield "channels", str(layer.channels)
    yield "filters", str(layer.filters)
    yield "kernel", _per_axis(layer.kernel)
    if set(layer.stride) != {1}:
        yield "stride", _per_axis(layer.stride)
    if any(amount for pair in layer.padding for amount in pair):
        yield "padding", _padding(layer.padding)
    if set(layer.dilation) != {1}:
        yield "dilation", _per_axis(layer.dilation)
    if layer.groups != 1:
        yield "groups", str(layer.groups)
    if not layer.bias:
        yield "bias", "false"
    # Always a list: its length is the number of axes.
    yield "input", str(list(layer.input))
    if batch_known:
        yield "batch", str(layer.batch)


def _per_axis(values: Sequence[Any]) -> str:
    return str(values[0]) if len(set(values)) == 1 else str(list(values))


def _padding(pairs: Sequence[tuple[int, int]]) -> str:
    if all(before == after for before, after in pairs):
        return _per_axis([before for before, _ in pairs])
    return str([list(pair) for pair in pairs])


def _text(text: str) -> str:
    # A text in JSON is one in YAML too.
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
