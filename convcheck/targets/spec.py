"""A target described by a mapping: its keys, checked, as plain data."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from convcheck.errors import Problem, TargetError
from convcheck.layer.fields import TEXT

#: The forms of a target; see `convcheck.targets`.
TARGET_STYLES = ("object", "cache", "layer", "torch", "jax")

#: Options of a layer that a target may not be able to take.
TARGET_FEATURES = (
    "stride", "padding", "asymmetric-padding", "dilation", "groups", "bias", "per-axis", "per-axis-kernel", "1d", "2d",
    "3d", "float32", "float64",
)  # fmt: skip

_PLACE = {**TEXT, "callable": True, "expected": "module:name or path/to/file.py:name"}

_NAME = {**TEXT, "expected": "a name"}

_LAYOUT = {**TEXT, "expected": "letters such as NHWC or HWIO"}

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


@dataclass(frozen=True)
class TargetSpec:
    """What a mapping says about a target; every field is a key of the mapping.

    Attributes
    ----------
    style : str or None
        "object", "cache", "layer", "torch" or "jax"; None to find it out by looking.
    call, forward, backward : str, callable or None
        ``module:name``, ``path/to/file.py:name`` or the thing itself. ``call`` names a class or function, ``forward``
        and ``backward`` a pair of functions.
    layout, weight_layout : str or None
        The order of the axes, such as NHWC and HWIO; None for convcheck's own, NCHW and OIHW.
    supports, unsupported : tuple of str
        Options that the target takes although its form does not show it, and those that it only seems to take.
    gradients : tuple of str
        What it gives gradients for.
    keywords : mapping of str to (str or None)
        Field of the layer to the target's own name for it; None where it has none.
    attributes : mapping of str to str
        Where a layer object keeps its parameters and their gradients, and what its methods are called.
    tuples : bool
        Whether sizes are always given as one number per axis, even where all are equal.
    device : str or None
    exact : bool
        False for an algorithm that rounds even on small integers, such as one that uses a Fourier transform.
    """

    style: str | None = None
    call: Any = None
    forward: Any = None
    backward: Any = None
    layout: str | None = None
    weight_layout: str | None = None
    supports: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    gradients: tuple[str, ...] = ("input", "weight", "bias")
    keywords: Mapping[str, str | None] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    tuples: bool = False
    device: str | None = None
    exact: bool = True

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> TargetSpec:
        """Read a mapping.

        Raises
        ------
        TargetError
            Naming everything that is wrong with it.
        """
        problems = problems_of(mapping)
        if problems:
            raise TargetError("\n".join(f"target.{problem}" for problem in problems))
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in mapping.items()}
        return cls(**values)

    @property
    def named(self) -> str:
        """What reports call the target."""
        named = self.call if self.call is not None else self.forward
        if isinstance(named, str):
            return named
        return f"{getattr(named, '__module__', '?')}:{getattr(named, '__qualname__', repr(named))}"


def problems_of(mapping: Mapping[str, Any]) -> list[Problem]:
    """Return everything that is wrong with the mapping of a target, by key and by position inside its value."""
    problems = [_unknown((str(key),), str(key), TARGET_KEYS) for key in mapping if key not in TARGET_KEYS]
    for key, value in mapping.items():
        if key in TARGET_KEYS:
            problems += _problems_of_value((key,), value, TARGET_KEYS[key])
    if not problems:
        problems = _problems_of_callables(mapping)
    return problems


def _problems_of_value(path: tuple[str | int, ...], value: Any, schema: Mapping[str, Any]) -> list[Problem]:
    if "enum" in schema:
        return [] if isinstance(value, str) and value in schema["enum"] else [_unknown(path, value, schema["enum"])]
    if schema.get("type") == "boolean":
        return (
            [] if isinstance(value, bool) else [Problem(path, f"{_show(value)} is not allowed; expected true or false")]
        )
    if schema.get("type") == "array":
        return _problems_of_list(path, value, schema)
    if schema.get("type") == "object":
        return _problems_of_names(path, value, schema)
    if schema.get("callable") and callable(value):
        return []
    if isinstance(value, str) and value.strip():
        return []
    return [Problem(path, f"{_show(value)} is not allowed; expected {schema['expected']}")]


def _problems_of_list(path: tuple[str | int, ...], value: Any, schema: Mapping[str, Any]) -> list[Problem]:
    allowed = schema["items"]["enum"]
    if not isinstance(value, (list, tuple)):
        return [Problem(path, f"{_show(value)} is not allowed; expected a list of {', '.join(allowed)}")]
    return [_unknown((*path, i), entry, allowed) for i, entry in enumerate(value) if entry not in allowed]


def _problems_of_names(path: tuple[str | int, ...], value: Any, schema: Mapping[str, Any]) -> list[Problem]:
    allowed = schema["properties"]
    if not isinstance(value, Mapping):
        return [Problem(path, f"{_show(value)} is not allowed; expected a mapping with the keys {', '.join(allowed)}")]
    problems = [_unknown((*path, str(key)), str(key), allowed) for key in value if key not in allowed]
    for key, name in value.items():
        no_name = name is None and "null" in allowed.get(key, {}).get("type", ())
        if key in allowed and not no_name and not (isinstance(name, str) and name.strip()):
            message = f"{_show(name)} is not allowed; expected the name that the target's code uses"
            problems.append(Problem((*path, key), message))
    return problems


def _problems_of_callables(mapping: Mapping[str, Any]) -> list[Problem]:
    pair = [key for key in ("forward", "backward") if key in mapping]
    if "call" in mapping and pair:
        return [Problem((pair[0],), "not allowed beside call; give either call, or forward and backward")]
    if "call" not in mapping and len(pair) != 2:
        missing = "call, or forward and backward" if not pair else ({"forward", "backward"} - set(pair)).pop()
        return [
            Problem((pair[0] if pair else "call",), f"missing {missing}; expected module:name or path/to/file.py:name")
        ]
    style = mapping.get("style")
    if style is not None and (style == "cache") != bool(pair):
        wanted = "forward and backward, a pair of functions" if style == "cache" else "call, a class or function"
        return [Problem(("style",), f'"{style}" needs {wanted}')]
    return []


def _unknown(path: tuple[str | int, ...], given: Any, allowed: Collection[str]) -> Problem:
    nearest = difflib.get_close_matches(str(given).lower(), list(allowed), n=1)
    hint = f' did you mean "{nearest[0]}"?' if nearest else ""
    return Problem(path, f"{_show(given)} is not known;{hint} allowed: {', '.join(allowed)}")


def _show(value: Any) -> str:
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    return f'"{value}"' if isinstance(value, str) else str(value)


assert {item.name for item in fields(TargetSpec)} == set(TARGET_KEYS)
