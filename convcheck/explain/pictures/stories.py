"""Every picture that there is, found by itself: the modules of this folder that have a function ``story``.

The parameters of ``story`` say what it takes: ``layer``, arrays by the names of `Operands`, and ``chosen``, the
`Selection` of a slice. One that takes anything else (two arrays to compare) is drawn when asked for, and others of
every layer.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from functools import cache
from importlib import import_module
from inspect import Parameter, signature

from convcheck.errors import Parameter as ErrorParameter
from convcheck.errors import UsageError
from convcheck.explain.pictures.panel import Story
from convcheck.explain.pictures.selection import Selection
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.wording import did_you_mean

#: How a reader goes through them, and the kinds whose names are not those of their modules; others come last.
_ORDER = {
    "forward_pass": "forward", "wires": "wires", "input_gradient": "input-gradient",
    "weight_gradient": "weight-gradient", "bias_gradient": "bias-gradient", "channels": "channels",
    "overlap": "overlap", "unfold_view": "unfold", "twins": "twins",
}  # fmt: skip

#: The kind of the pictures of what code gets wrong.
ERROR = "error"


@cache
def tellers() -> dict[str, Callable[..., Story]]:
    """Every ``story`` by the name of its module, in the order in which they are read."""
    package = __name__.rpartition(".")[0]
    names = [module.name for module in pkgutil.iter_modules(import_module(package).__path__) if not module.ispkg]
    order = list(_ORDER)
    names.sort(key=lambda name: (order.index(name) if name in order else len(order), name))
    modules = {name: import_module(f"{package}.{name}") for name in names}
    return {name: module.story for name, module in modules.items() if hasattr(module, "story")}


def _of_layers() -> dict[str, Callable[..., Story]]:
    """The pictures of every layer, by their kinds: those that take nothing but a layer, its arrays and a slice."""
    given = {"layer", "chosen", *(f.name for f in fields(Operands))}
    return {
        _ORDER.get(name, name.replace("_", "-")): tell
        for name, tell in tellers().items()
        if all(key in given or one.default is not Parameter.empty for key, one in signature(tell).parameters.items())
    }


def kinds() -> list[str]:
    """The kinds of pictures, in the order in which they are read, and that of what code gets wrong."""
    return [*_of_layers(), ERROR]


def require_kinds(asked: Sequence[str], there: Sequence[str]) -> None:
    """Complain if a picture is asked for that there is not.

    Raises
    ------
    UsageError
        If there is no such kind.
    """
    for kind in asked:
        if kind not in there:
            raise UsageError(
                ErrorParameter("kind", kind),
                f" is unknown;{did_you_mean(kind, there)} expected one of {', '.join(there)}",
            )


def stories_of(layer: Layer, operands: Operands, chosen: Selection, asked: Collection[str] = ()) -> list[Story]:
    """Tell everything about a layer that pictures tell, or what is asked for by its kind."""
    given = {"layer": layer, "chosen": chosen, **{f.name: getattr(operands, f.name) for f in fields(operands)}}
    stories = []
    for kind, tell in _of_layers().items():
        if not asked or kind in asked:
            told = tell(**{name: given[name] for name in signature(tell).parameters if name in given})
            if asked or not told.trivial:
                stories.append(told)
    return stories
