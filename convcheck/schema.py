"""The keys of a config file: one table, from which the loader and the JSON Schema of the file are made."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from convcheck.layer import DTYPES

__all__ = [
    "FILE_KEYS", "GATE_KEYS", "LARGEST_INTEGER", "LAYER_KEYS", "REQUIRED", "TARGET_FEATURES", "TARGET_KEYS",
    "TARGET_STYLES", "VERSION", "config_schema",
]  # fmt: skip

#: The version of the file's format that this convcheck reads.
VERSION = 1

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
_TEXT = {
    "type": "string",
    "pattern": r"\S",
    "not": {"pattern": r"[\u0000-\u001f\u007f-\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f\u3000\ufeff]"},
}

#: Keys of one layer, in the order of the documentation.
LAYER_KEYS: Mapping[str, dict[str, Any]] = {
    "name": {
        "description": "What reports call the layer; unique in the file. Left out: layer1, layer2, ... by position.",
        **_TEXT,
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

#: Keys of the gate.
GATE_KEYS: Mapping[str, dict[str, Any]] = {
    "max_error": {
        "description": "Largest allowed relative error of a gradient, in place of the derived bound.",
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": sys.float_info.max,
    },
}

#: The forms of a target; see `convcheck.targets`.
TARGET_STYLES = ("object", "cache", "layer", "torch", "jax")

#: Options of a layer that a target may not be able to take.
TARGET_FEATURES = (
    "stride", "padding", "asymmetric-padding", "dilation", "groups", "bias", "per-axis", "per-axis-kernel", "1d", "2d",
    "3d", "float32", "float64",
)  # fmt: skip

_PLACE = {**_TEXT, "callable": True, "expected": "module:name or path/to/file.py:name"}

_NAME = {**_TEXT, "expected": "a name"}

_LAYOUT = {**_TEXT, "expected": "letters such as NHWC or HWIO"}

#: Keys of a target that is described by a mapping.
TARGET_KEYS: Mapping[str, dict[str, Any]] = {
    "style": {
        "description": "Form of the target: object, cache (a pair of functions), layer (an object that holds its "
        "parameters), torch or jax. Left out: found out by looking.",
        "enum": list(TARGET_STYLES),
    },
    "call": {"description": "The class or function, as module:name or path/to/file.py:name.", **_PLACE},
    "forward": {"description": "The forward function of style cache: (x, w, b, conv_param) -> (out, cache).", **_PLACE},
    "backward": {"description": "The backward function of style cache: (dout, cache) -> (dx, dw, db).", **_PLACE},
    "layout": {
        "description": "Axes of input and output in the target's order, such as NHWC; for other numbers of axes, its "
        "kin (NWC, NDHWC).",
        "default": "NCHW",
        **_LAYOUT,
    },
    "weight_layout": {
        "description": "Axes of the weight in the target's order, O for filters and I for channels, such as HWIO; for "
        "other numbers of axes, its kin (WIO, DHWIO).",
        "default": "OIHW",
        **_LAYOUT,
    },
    "supports": {
        "description": "Options that the target takes although its form does not show it.",
        "type": "array",
        "items": {"enum": list(TARGET_FEATURES)},
    },
    "unsupported": {
        "description": "Options that the target does not take; layers that need one are skipped.",
        "type": "array",
        "items": {"enum": list(TARGET_FEATURES)},
    },
    "gradients": {
        "description": "What the target gives gradients for; the rest is not checked.",
        "type": "array",
        "items": {"enum": ["input", "weight", "bias"]},
    },
    "keywords": {
        "description": "The target's own names for the options of a layer; null for one that it does not take.",
        "type": "object",
        "properties": {
            key: {"description": f"Its name for {key}.", "type": ["string", "null"]}
            for key in ("channels", "filters", "kernel", "stride", "padding", "dilation", "groups", "bias")
        },
        "additionalProperties": False,
    },
    "attributes": {
        "description": "Where a layer object keeps its parameters and their gradients, and what its methods are "
        "called; a dotted name leads into an attribute or a dictionary.",
        "type": "object",
        "properties": {
            "weight": {"description": "The weight.", "type": "string"},
            "bias": {"description": "The bias.", "type": "string"},
            "grad_input": {"description": "dL/dX, where backward leaves it in an attribute.", "type": "string"},
            "grad_weight": {"description": "dL/dW, where backward leaves it in an attribute.", "type": "string"},
            "grad_bias": {"description": "dL/db, where backward leaves it in an attribute.", "type": "string"},
            "forward": {"description": "The forward method.", "type": "string", "default": "forward"},
            "backward": {"description": "The backward method.", "type": "string", "default": "backward"},
            "zero_grad": {
                "description": "The method that sets the gradients back where they add up by design.",
                "type": "string",
                "default": "zero_grad",
            },
        },
        "additionalProperties": False,
    },
    "tuples": {
        "description": "Whether sizes are always given as one number per axis, even where all are equal.",
        "type": "boolean",
        "default": False,
    },
    "device": {"description": "Device of a PyTorch or JAX target, such as cuda.", **_NAME},
    "exact": {
        "description": "False for an algorithm that rounds even on small integers, such as one by Fourier transform.",
        "type": "boolean",
        "default": True,
    },
}

#: Keys of the file.
FILE_KEYS: Mapping[str, dict[str, Any]] = {
    "version": {"description": "Version of the file's format.", "type": "integer", "const": VERSION},
    "defaults": {"description": "Values for every layer that does not give its own.", "type": "object"},
    "gate": {"description": "When a gradient fails; without it, the derived bounds decide.", "type": "object"},
    "target": {
        "description": "What to check: module:name, path/to/file.py:name (relative to this file), or a mapping. "
        "Left out: the built-in formulations.",
        "anyOf": [_TEXT, {"type": "object"}],
    },
    "layers": {"description": "The layers to check, at least one.", "type": "array", "minItems": 1},
}


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the config file.

    What the schema refuses, the loader refuses too. The reverse cannot be: a schema does not see whether groups divides
    channels, whether a kernel fits its input or whether two layers share a name.

    Returns
    -------
    dict
        A new schema at every call, plain data that can be written as JSON.
    """
    defaults = {key: field for key, field in LAYER_KEYS.items() if key != "name"}
    layer = _mapping(LAYER_KEYS) | {"anyOf": [_one_rank(rank) for rank in range(1, _MAX_AXES + 1)]}
    properties = dict(FILE_KEYS)
    properties["defaults"] = properties["defaults"] | _mapping(defaults)
    properties["gate"] = properties["gate"] | _mapping(GATE_KEYS)
    properties["target"] = properties["target"] | {"anyOf": [_TEXT, _target()]}
    properties["layers"] = properties["layers"] | {"items": layer}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "convcheck config",
        "description": "Convolutional layers whose backward pass convcheck checks.",
        **_mapping(properties, required=["layers"]),
        "allOf": [_somewhere(key) for key in REQUIRED],
    }
    return deepcopy(schema)


def _target() -> dict[str, Any]:
    keys = {
        key: {name: value for name, value in field.items() if name not in ("callable", "expected")}
        for key, field in TARGET_KEYS.items()
    }
    return _mapping(keys) | {"anyOf": [{"required": ["call"]}, {"required": ["forward", "backward"]}]}


def _mapping(keys: Mapping[str, dict[str, Any]], required: Sequence[str] = ()) -> dict[str, Any]:
    schema = {"type": "object", "properties": dict(keys), "additionalProperties": False}
    return schema | {"required": list(required)} if required else schema


def _one_rank(rank: int) -> dict[str, Any]:
    """Every list that has one entry per axis has ``rank`` entries; values that are no lists are not looked at."""
    keys = [
        key for key, field in LAYER_KEYS.items() if any(way.get("type") == "array" for way in field.get("anyOf", ()))
    ]
    return {"properties": {key: {"minItems": rank, "maxItems": rank} for key in keys}}


def _somewhere(key: str) -> dict[str, Any]:
    """``key`` is in the defaults, or else in every layer."""
    return {
        "anyOf": [
            {"required": ["defaults"], "properties": {"defaults": {"required": [key]}}},
            {"properties": {"layers": {"items": {"required": [key]}}}},
        ]
    }
