"""The fields of a layer: one table, from which the loader, the JSON Schemas and the documentation are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convcheck.layer.layer import DTYPES

#: Largest integer allowed in a file: NumPy counts an array's entries in 64 bits.
LARGEST_INTEGER = 2**63 - 1

_MAX_AXES = 3


def _integer(least: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": LARGEST_INTEGER}


def _list_of(entry: dict[str, Any], least: int, most: int) -> dict[str, Any]:
    return {"type": "array", "items": entry, "minItems": least, "maxItems": most}


def _per_axis(entry: dict[str, Any]) -> dict[str, Any]:
    return _list_of(entry, 1, _MAX_AXES)


_SIZE = {"anyOf": [_integer(1), _per_axis(_integer(1))]}

_PADDING = {
    "anyOf": [
        _integer(0),
        {"enum": ["valid", "same"]},
        _per_axis({"anyOf": [_integer(0), _list_of(_integer(0), 2, 2)]}),
    ]
}

# Something that can be seen, and nothing that breaks a line or that a terminal would act on.
TEXT = {
    "type": "string",
    "pattern": r"\S",
    "not": {"pattern": r"[\u0000-\u001f\u007f-\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f\u3000\ufeff]"},
}

#: Keys of one layer, in the order of the documentation.
LAYER_KEYS: Mapping[str, dict[str, Any]] = {
    "name": {
        "description": "What reports call the layer; unique in the file. Left out: layer1, layer2, ... by position.",
        **TEXT,
    },
    "channels": {"description": "Input channels C.", **_integer(1)},
    "filters": {"description": "Filters F, which is the number of output channels.", **_integer(1)},
    "kernel": {"description": "Kernel size: an integer, or one per axis.", **_SIZE},
    "stride": {"description": "Step between neighbouring windows: an integer, or one per axis.", "default": 1, **_SIZE},
    "padding": {
        "description": "Zeros around the input: an integer, one per axis, [before, after] per axis, valid (none) or "
        "same (ceil(input / stride) outputs; of an odd total, the extra zero goes behind).",
        "default": 0,
        **_PADDING,
    },
    "dilation": {
        "description": "Step between neighbouring taps of one window: an integer, or one per axis.",
        "default": 1,
        **_SIZE,
    },
    "groups": {
        "description": "Groups of channels and filters; divides both numbers. As many as channels: depthwise.",
        "default": 1,
        **_integer(1),
    },
    "bias": {"description": "Whether the layer adds a bias.", "type": "boolean", "default": True},
    "input": {
        "description": "Spatial size of the input: an integer, or one per axis; its length is the number of axes, "
        "1, 2 or 3. Left out: a small size, different on every axis.",
        **_SIZE,
    },
    "batch": {"description": "Samples in the batch.", "default": 2, **_integer(1)},
    "dtype": {"description": "Data type in which the layer is checked.", "enum": list(DTYPES), "default": DTYPES[0]},
    "seed": {"description": "Seed of the layer's data.", "default": 0, **_integer(0)},
}

#: Keys that a layer must have, itself or from the defaults.
REQUIRED = ("channels", "filters", "kernel")
