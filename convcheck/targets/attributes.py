"""Attributes of a user's object, by dotted names that may lead through dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convcheck.targets.target import TargetContractError
from convcheck.wording import did_you_mean


def has(instance: Any, path: str, *, empty: bool = False) -> bool:
    """Whether there is such an attribute, with something in it unless it may be empty."""
    try:
        return get(instance, path) is not None or empty
    except (AttributeError, KeyError, TypeError):
        return False


def get(instance: Any, path: str) -> Any:
    """Return an attribute; raises AttributeError, KeyError or TypeError where there is none."""
    for name in path.split("."):
        instance = instance[name] if isinstance(instance, dict) else getattr(instance, name)
    return instance


def put(instance: Any, path: str, value: Any) -> None:
    """Set an attribute."""
    *way, last = path.split(".")
    holder = get(instance, ".".join(way)) if way else instance
    if isinstance(holder, dict):
        holder[last] = value
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
    there = [name for name in getattr(instance, "__dict__", ()) if not name.startswith("_")]
    wanted = declared or usual[0]
    hint = did_you_mean(wanted, there) or f" its attributes are {', '.join(there) or 'none'}"
    raise TargetContractError(
        f'{type(instance).__name__} has no attribute "{wanted}" for the {role.replace("_", " ")};{hint}; give its name '
        f"in the mapping: attributes: {{{role}: NAME}}"
    )
