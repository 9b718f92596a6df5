"""A dataclass as JSON: written, read and described, all from its annotations.

A field, or a property, is a key of the JSON if its type is annotated with a text that describes it. Behind the text may
stand keywords of JSON Schema, and `OnlyWith`::

    max_abs_error: Annotated[float, "Largest |analytic - numeric|.", {"minimum": 0}] = 0.0

Keys come in the order of the class, fields before properties; those that its ``FIRST_KEYS`` names, in front.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from functools import cache
from math import isfinite, nan
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class OnlyWith:
    """Marks a key that is there only where this attribute of its object is neither None nor empty."""

    attribute: str


@dataclasses.dataclass(frozen=True)
class _Key:
    name: str
    kind: Any
    given: bool  # as an argument, not worked out from others
    condition: OnlyWith | None


def encode(value: Any, without: Collection[str] = ()) -> Any:
    """Return a value as plain data that can be written as JSON; NaN and infinity, which JSON lacks, become None.

    Parameters
    ----------
    without : collection of str
        Keys of the value itself that are left out.
    """
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, complex):
        return [encode(value.real), encode(value.imag)]
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if _is_record(value):
        return {
            key.name: encode(getattr(value, key.name))
            for key in _keys(value.__class__)
            if key.name not in without and (key.condition is None or getattr(value, key.condition.attribute))
        }
    return value


def decode(kind: type[_T], data: Any) -> _T:
    """Return what `encode` made plain data of; keys that are not known are passed over, None for a number is NaN.

    Raises
    ------
    KeyError, TypeError
        If a key is missing, or a value is of another type.
    """
    found: Any = _decoded(kind, data)
    return found  # type: ignore[no-any-return]


def _decoded(kind: Any, data: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _decoded(get_args(kind)[0], data)
    if get_origin(kind) is UnionType:
        return None if data is None else _decoded(get_args(kind)[0], data)
    if get_origin(kind) is tuple and isinstance(data, list):
        return tuple(_decoded(get_args(kind)[0], item) for item in data)
    if _is_record(kind) and isinstance(data, dict):
        keys = [key for key in _keys(kind) if key.given and (key.condition is None or key.name in data)]
        return kind(**{key.name: _decoded(key.kind, data[key.name]) for key in keys})
    if kind is complex and isinstance(data, list):
        return complex(*(_decoded(float, part) for part in data))
    if kind in (float, complex) and (data is None or type(data) in (int, float)):
        return nan if data is None else float(data)
    if type(data) is kind:
        return data
    raise TypeError(f"{data!r} in place of {getattr(kind, '__name__', kind)}")


def schema(kind: Any) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what `encode` makes of a type; whole numbers are counts."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        described = schema(arguments[0])
        for note in arguments[1:]:
            if isinstance(note, dict):
                described |= note
            elif isinstance(note, str):
                described = {"description": note, **described}
        if arguments[0] is complex:
            described["description"] = described["description"].removesuffix(".") + "; [real, imaginary] if complex."
        if arguments[0] in (float, complex) and "null" in described["type"]:
            described["description"] = described["description"].removesuffix(".") + "; null if not finite."
        return described
    if origin is Literal:
        return {"const": arguments[0]}
    if origin is UnionType:
        some = schema(arguments[0])
        if "properties" in some:
            return {"anyOf": [some, {"type": "null"}]}
        return some | {"type": [some["type"], "null"]} if isinstance(some["type"], str) else some
    if origin is tuple:
        exactly = {} if arguments[-1] is ... else {"minItems": len(arguments), "maxItems": len(arguments)}
        return {"type": "array", "items": schema(arguments[0]), **exactly}
    if _is_record(kind):
        keys = _keys(kind)
        properties = {key.name: schema(key.kind) for key in keys}
        required = [key.name for key in keys if key.condition is None]
        return {"type": "object", "properties": properties, "required": required}
    if kind is int:
        return {"type": "integer", "minimum": 0}
    if kind is complex:
        return {
            "type": ["number", "array", "null"], "items": {"type": ["number", "null"]}, "minItems": 2, "maxItems": 2,
        }  # fmt: skip
    names = {str: "string", bool: "boolean", float: ["number", "null"], dict: "object"}
    return {"type": names[origin or kind]}


def _is_record(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind)


@cache
def _keys(cls: Any) -> tuple[_Key, ...]:
    kinds = get_type_hints(cls, include_extras=True)
    given = [field.name for field in dataclasses.fields(cls)]
    properties = [
        item for base in reversed(cls.__mro__) for item in vars(base).items() if isinstance(item[1], property)
    ]
    kinds |= {name: get_type_hints(item.fget, include_extras=True)["return"] for name, item in properties}
    keys = {}
    for name in [*getattr(cls, "FIRST_KEYS", ()), *given, *(name for name, _ in properties)]:
        notes = get_args(kinds[name])[1:] if get_origin(kinds[name]) is Annotated else ()
        if any(isinstance(note, str) for note in notes):
            condition = next((note for note in notes if isinstance(note, OnlyWith)), None)
            keys[name] = _Key(name, kinds[name], name in given, condition)
    return tuple(keys.values())
