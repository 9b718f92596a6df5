"""The keys of a config file: one table, from which the loader and the JSON Schema of the file are made."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from convcheck.layer.fields import FIELDS, LAYER_KEYS, MAX_AXES, REQUIRED, TEXT
from convcheck.targets.spec import TARGET_KEYS, WAYS

#: The version of the file's format that this convcheck reads.
VERSION = 1

#: Keys of the gate.
GATE_KEYS: Mapping[str, dict[str, Any]] = {
    "max_error": {
        "description": "Largest allowed relative error of a gradient, in place of the derived bound.",
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": sys.float_info.max,
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
        "anyOf": [TEXT, {"type": "object"}],
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
    layer = _mapping(LAYER_KEYS) | {"anyOf": [_one_rank(rank) for rank in range(1, MAX_AXES + 1)]}
    properties = dict(FILE_KEYS)
    properties["defaults"] = properties["defaults"] | _mapping(defaults)
    target = _mapping(TARGET_KEYS) | {"anyOf": [{"required": list(keys)} for keys in WAYS]}
    properties["gate"] = properties["gate"] | _mapping(GATE_KEYS)
    properties["target"] = properties["target"] | {"anyOf": [TEXT, target]}
    properties["layers"] = properties["layers"] | {"items": layer}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "convcheck config",
        "description": "Convolutional layers whose backward pass convcheck checks.",
        **_mapping(properties, required=["layers"]),
        "allOf": [_somewhere(key) for key in REQUIRED],
    }
    return deepcopy(schema)


def _mapping(keys: Mapping[str, dict[str, Any]], required: Sequence[str] = ()) -> dict[str, Any]:
    schema = {"type": "object", "properties": dict(keys), "additionalProperties": False}
    return schema | {"required": list(required)} if required else schema


def _one_rank(rank: int) -> dict[str, Any]:
    """Every list that has one entry per axis has ``rank`` entries; values that are no lists are not looked at."""
    keys = [name for name, field in FIELDS.items() if field.kind in ("per axis", "padding")]
    return {"properties": {key: {"minItems": rank, "maxItems": rank} for key in keys}}


def _somewhere(key: str) -> dict[str, Any]:
    """``key`` is in the defaults, or else in every layer."""
    return {
        "anyOf": [
            {"required": ["defaults"], "properties": {"defaults": {"required": [key]}}},
            {"properties": {"layers": {"items": {"required": [key]}}}},
        ]
    }
