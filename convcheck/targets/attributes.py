"""Attributes of a user's object: by dotted names that may lead through dictionaries, by usual names, by search."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.targets.binding import plain
from convcheck.targets.roles import BIAS, INPUT, WEIGHT, gradients_of
from convcheck.targets.target import TargetContractError
from convcheck.wording import did_you_mean

#: Objects inside objects: ``layer.conv.params.W`` is two levels down.
_LEVELS = 2

#: A list of many things is no list of layers.
_LONGEST_LIST = 64

#: What is kept under its usual name in a holder of a usual name, or in a parameter that is an object of its own.
_NAMES = {"weight": WEIGHT, "bias": BIAS, "input": INPUT}
_HOLDERS = ("params", "parameters", "param", "p")
_GRADIENT_HOLDERS = ("grads", "grad", "gradients", "gradient", "dparams", "paramgrads", "g")
_VALUES = ("data", "val", "value", "values", "array", "tensor")
_GRADIENTS_OF_OBJECTS = ("grad", "gradient", "grads", "g", "d", "dval", "dvalue", "diff")


def has(instance: Any, path: str, *, empty: bool = False) -> bool:
    """Whether there is such an attribute, with something in it unless it may be empty."""
    try:
        return get(instance, path) is not None or empty
    except (AttributeError, LookupError, TypeError):
        return False


def get(instance: Any, path: str) -> Any:
    """Return an attribute; raises AttributeError, LookupError or TypeError where there is none."""
    for name in path.split("."):
        if isinstance(instance, Mapping):
            instance = instance[name]
        elif isinstance(instance, (list, tuple)) and name.isdigit():
            instance = instance[int(name)]
        else:
            instance = getattr(instance, name)
    return instance


def put(instance: Any, path: str, value: Any) -> None:
    """Set an attribute."""
    *way, last = path.split(".")
    holder = get(instance, ".".join(way)) if way else instance
    if isinstance(holder, dict):
        holder[last] = value
    elif isinstance(holder, list):
        holder[int(last)] = value
    else:
        setattr(holder, last, value)


def find(instance: Any, role: str, declared: str | None, usual: Sequence[str]) -> str:
    """Return the path of the attribute that plays a role: the declared one, or the first usual one that is there.

    Raises
    ------
    TargetContractError
        If there is none.
    """
    paths = [declared] if declared else usual
    for empty in (False, True):
        for path in paths:
            if has(instance, path, empty=empty):
                return path
    raise TargetContractError(missing(instance, role, declared or usual[0]))


def missing(instance: Any, role: str, wanted: str) -> str:
    """Return what to say where there is no attribute for a role."""
    there = [name for name, _ in _members(instance) if not name.startswith("_")]
    hint = did_you_mean(wanted, there) or f" its attributes are {', '.join(there) or 'none'}"
    return (
        f'{type(instance).__name__} has no attribute "{wanted}" for the {role.replace("_", " ")};{hint}; give its name '
        f"in the mapping: attributes: {{{role}: NAME}}"
    )


def leaves(instance: Any) -> dict[str, Any]:
    """Return every array, and every attribute that is None, by its path: of the object, and of what it holds."""
    found: dict[str, Any] = {}
    seen = {id(instance)}
    holders = [("", instance)]
    for _ in range(_LEVELS + 1):
        inner = []
        for prefix, holder in holders:
            for name, value in _members(holder):
                if value is None or isinstance(value, np.ndarray):
                    found[prefix + name] = value
                elif id(value) not in seen:
                    seen.add(id(value))
                    inner.append((f"{prefix}{name}.", value))
        holders = inner
    return found


def _members(holder: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(holder, Mapping):
        yield from ((name, value) for name, value in holder.items() if isinstance(name, str) and "." not in name)
    elif isinstance(holder, (list, tuple)):
        yield from ((str(at), value) for at, value in enumerate(holder) if len(holder) <= _LONGEST_LIST)
    elif not isinstance(holder, (type, ModuleType, FunctionType, MethodType, Layer)):
        yield from getattr(holder, "__dict__", {}).items()
        for kind in type(holder).__mro__[:-1]:
            for name, value in vars(kind).items():
                # Slots, and properties, which may well raise.
                if hasattr(type(value), "__get__") and not callable(value) and not name.startswith("__"):
                    with suppress(Exception):
                        yield name, getattr(holder, name)


def inner(instance: Any, path: str) -> str:
    """Return the path of the array itself where a path leads to a parameter that is an object or a dictionary."""
    value = get(instance, path)
    if value is None or isinstance(value, np.ndarray):
        return path
    arrays = [name for name in leaves(value) if plain(name) in _VALUES]
    return f"{path}.{arrays[0]}" if arrays else path


def is_value(path: str) -> bool:
    """Whether a path leads to the array of a parameter that is an object."""
    return "." in path and _words(path)[-1] in _VALUES


def rank(path: str, role: str) -> tuple[int, int] | None:
    """Return how usual a name is for a parameter, small for the most usual; None if it is not."""
    *before, last = _words(path)
    if last in _VALUES and before:
        *before, last = before
    if last not in _NAMES[role] or not set(before) <= set(_HOLDERS):
        return None
    return _NAMES[role].index(last), len(before)


def gradient_rank(path: str, role: str, parameter: str | None) -> tuple[int, int] | None:
    """Return how usual a name is for the gradient of a parameter that lies at a path; None if it is not."""
    owner = parameter
    if owner and is_value(owner):
        owner = owner.rpartition(".")[0]
    names = _NAMES[role]
    if owner:
        if path.startswith(f"{owner}.") and _words(path[len(owner) + 1 :])[0] in _GRADIENTS_OF_OBJECTS:
            return 0, 0
        holder, _, own = owner.rpartition(".")
        path = path.removeprefix(f"{holder}.") if holder else path
        names = (_words(own)[-1], *names)
    *before, last = _words(path)
    if last in _VALUES and before:
        *before, last = before
    usual = gradients_of(names)
    if last in usual and set(before) <= {*_HOLDERS, *_GRADIENT_HOLDERS}:
        return 1 + usual.index(last), len(before)
    if last in names and before and set(before) <= {*_HOLDERS, *_GRADIENT_HOLDERS} and set(before) - set(_HOLDERS):
        return 1 + len(usual) + names.index(last), len(before)
    return None


def _words(path: str) -> list[str]:
    """Return the names on a path as they are compared: without a private one's class, without numbers behind."""
    return [plain(re.sub(r"^_[^_]\w*?__|\d+$", "", name)) for name in path.split(".")]


def choose(
    instance: Any,
    role: str,
    found: Mapping[str, Any],
    usual: Mapping[str, tuple[int, int]],
    fits: Callable[[Array], bool],
) -> str | None:
    """Return which of the leaves plays a role: by its usual name, or because nothing else has its shape.

    Parameters
    ----------
    role : str
        As a mapping names it.
    found : mapping
        Arrays and None by their paths.
    usual : mapping
        How usual the name is, where it is.
    fits : callable
        Whether an array may be it.

    Raises
    ------
    TargetContractError
        If several may be it.
    """
    named = sorted((path for path in found if path in usual), key=lambda path: usual[path])
    fitting = [path for path, value in found.items() if value is not None and fits(value)]
    for path in named:
        if path in fitting:
            return path
    # One array may be reached on several ways.
    paths = list({id(found[path]): path for path in reversed(fitting)}.values())[::-1]
    if len(paths) == 1:
        return paths[0]
    if paths:
        raise TargetContractError(
            f"it is not clear where {type(instance).__name__} keeps its {role.replace('_', ' ')}: {', '.join(paths)} "
            f"have its shape; give its name in the mapping, such as attributes: {{{role}: {paths[0]}}}"
        )
    return next(iter(sorted(named, key=lambda path: found[path] is None)), None)
