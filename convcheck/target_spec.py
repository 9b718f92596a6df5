"""A target described by a mapping: its keys, checked, as plain data."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from convcheck.errors import Problem, TargetError
from convcheck.schema import TARGET_KEYS

__all__ = ["TargetSpec", "problems_of"]


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
