"""Every picture that there is, found by itself: the modules of this folder that have a function ``story``.

The parameters of ``story`` say what it takes: ``layer``, arrays by the names of `Operands`, and ``chosen``, the
`Selection` of a slice. One that takes anything else (two arrays to compare) is drawn when asked for, and others of
every layer.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from importlib import import_module
from inspect import Parameter, signature

from convcheck.explain.pictures.panel import Story
from convcheck.explain.pictures.selection import Selection
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer

#: How a reader goes through them; those that are not named here come last.
_ORDER = (
    "forward_pass", "wires", "input_gradient", "weight_gradient", "bias_gradient", "channels", "overlap", "unfold_view",
)  # fmt: skip


@cache
def tellers() -> dict[str, Callable[..., Story]]:
    """Every ``story`` by the name of its module, in the order in which they are read."""
    package = __name__.rpartition(".")[0]
    names = [module.name for module in pkgutil.iter_modules(import_module(package).__path__) if not module.ispkg]
    names.sort(key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    modules = {name: import_module(f"{package}.{name}") for name in names}
    return {name: module.story for name, module in modules.items() if hasattr(module, "story")}


def stories_of(layer: Layer, operands: Operands, chosen: Selection) -> list[Story]:
    """Tell everything about a layer that pictures tell."""
    given = {"layer": layer, "chosen": chosen, **{f.name: getattr(operands, f.name) for f in fields(operands)}}
    stories = []
    for tell in tellers().values():
        asked = signature(tell).parameters
        if all(name in given or one.default is not Parameter.empty for name, one in asked.items()):
            stories.append(tell(**{name: given[name] for name in asked if name in given}))
    return [story for story in stories if not story.trivial]
