"""What is being checked: a built-in formulation, or the user's own code.

A form of target is a file with a class that implements `Implementation`. To add one: write its file here and add it to
`resolve`, the one place that chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convcheck.errors import TargetError
from convcheck.targets.implementation import Implementation

__all__ = ["Implementation", "builtin", "resolve"]


def builtin(name: str) -> Implementation:
    """Return a built-in formulation as something to check.

    Raises
    ------
    UsageError
        If there is no formulation of that name.
    """
    from convcheck.targets.builtin import BuiltIn

    return BuiltIn(name)


def resolve(target: Any, folder: Path) -> Implementation:
    """Find what a target names.

    Parameters
    ----------
    target : str or callable
        ``module:name``, ``path/to/file.py:name``, or the class or factory itself.
    folder : Path
        Relative paths start here.

    Raises
    ------
    TargetError
        If it cannot be found, imported or used.
    """
    from convcheck.targets.loading import load
    from convcheck.targets.object_protocol import ObjectTarget

    if isinstance(target, Mapping):
        raise TargetError(f"target: {dict(target)} is a mapping; expected module:name or path/to/file.py:name")
    if isinstance(target, str):
        return ObjectTarget(target, load(target, folder))
    name = f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', repr(target))}"
    return ObjectTarget(name, target)
