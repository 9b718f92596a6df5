"""The numbers of a layer from text, as `convcheck.layer.data.as_yaml` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, prod
from typing import Any

import numpy as np

from convcheck.errors import ConfigError
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.suites.reading import Document, Steps, message_at, read
from convcheck.wording import at, did_you_mean, shown

_FORMS = "a number for every entry, a list of all entries, or a mapping of places, counted from 0, to numbers"


def parse_operands(text: str, layer: Layer, given_as: str) -> Operands:
    """Read the numbers of a layer: ``{x: [1, 0, 2], weight: {4: 1}, bias: 0, grad_output: 1}``.

    Parameters
    ----------
    given_as : str
        What messages call the text in place of a file.

    Raises
    ------
    ConfigError
        If the text has errors; carries all of them.
    """
    document = read(text, given_as)
    errors = [message_at(given_as, place, message) for place, _, message in document.problems]
    shapes = {"x": layer.input_shape, "weight": layer.weight_shape, "grad_output": layer.output_shape}
    if layer.bias:
        shapes["bias"] = layer.bias_shape
    given = document.data
    if not isinstance(given, dict):
        raise ConfigError(errors or [message_at(given_as, document.places[()], f"expected {', '.join(shapes)}")])
    for name in given.keys() - shapes.keys():
        hint = f"unknown key;{did_you_mean(name, shapes)} the layer has {', '.join(shapes)}"
        errors.append(message_at(given_as, document.keys[name,], f"{at((name,))}: {hint}"))
    arrays: dict[str, Array] = {}
    for name, shape in shapes.items():
        if name not in given:
            errors.append(message_at(given_as, document.places[()], f'missing key "{name}"; expected {_FORMS}'))
            continue
        problem = _filled(arrays, name, given[name], shape, layer.dtype)
        if problem is not None:
            path, message = problem
            errors.append(message_at(given_as, _place(document, (name, *path)), f"{at((name, *path))}: {message}"))
    if errors:
        raise ConfigError(errors)
    return Operands(arrays["x"], arrays["weight"], arrays.get("bias"), arrays["grad_output"])


def _place(document: Document, path: Steps) -> Any:
    return document.places[path] if path in document.places else document.places[path[:-1]]


def _filled(
    arrays: dict[str, Array], name: str, value: Any, shape: tuple[int, ...], dtype: str
) -> tuple[Steps, str] | None:
    """Add an array; return where its text is wrong, and what is wrong, if something is."""
    size = prod(shape)
    entries: Mapping[Any, Any] = value if isinstance(value, dict) else {}
    if isinstance(value, list):
        if len(value) != size:
            return (), f"{len(value)} numbers; expected {size}, of shape {shape} in C order, or {_FORMS}"
        entries = dict(enumerate(value))
    elif not isinstance(value, dict):
        entries = dict.fromkeys(range(size), value)
    flat = np.zeros(size, dtype)
    for place, number in entries.items():
        path = (place,) if isinstance(value, (list, dict)) else ()
        if not str(place).isdecimal() or int(place) >= size:
            return path, f"no such entry; expected a place from 0 to {size - 1}, of shape {shape} in C order"
        if type(number) not in (int, float) or not isfinite(number):
            return path, f"{shown(number)} is not allowed; expected {_FORMS}"
        flat[int(place)] = number
    arrays[name] = flat.reshape(shape)
    return None
