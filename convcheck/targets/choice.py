"""Which form a target has: what its mapping says, or else what one sees by looking at it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from convcheck.errors import TargetError
from convcheck.targets.binding import makes_layers
from convcheck.targets.form import Form
from convcheck.targets.forms.cache_functions import CacheForm
from convcheck.targets.forms.command import CommandForm
from convcheck.targets.forms.jax_code import JaxForm, is_jax
from convcheck.targets.forms.layer_object import LayerForm, method_of
from convcheck.targets.forms.library import LibraryForm
from convcheck.targets.forms.object_protocol import ObjectForm
from convcheck.targets.forms.tape import tape_form
from convcheck.targets.forms.torch_code import TorchForm, is_torch
from convcheck.targets.loading import load
from convcheck.targets.spec import TargetSpec

#: Every form whose target is one class or function, by the style that a mapping names.
FORMS: dict[str, type[ObjectForm | LayerForm | TorchForm | JaxForm]] = {
    "object": ObjectForm,
    "layer": LayerForm,
    "torch": TorchForm,
    "jax": JaxForm,
}


def choose(spec: TargetSpec, folder: Path, files: dict[Path, ModuleType] | None = None) -> Form:
    """Load what a target names and return it in its form.

    Parameters
    ----------
    files : dict, optional
        Files that were already imported, which are not imported again; added to.

    Raises
    ------
    TargetError
        If it cannot be found, imported or used.
    """
    target = _choose(spec, folder, {} if files is None else files)
    if spec.device is not None and not isinstance(target, (TorchForm, JaxForm, CommandForm, LibraryForm)):
        raise TargetError(
            f"target {target.name}: device {spec.device} is for PyTorch, JAX, programs and libraries; leave it out: "
            "code of this form is given arrays of NumPy's"
        )
    return target


def _choose(spec: TargetSpec, folder: Path, files: dict[Path, ModuleType]) -> Form:
    def loaded(place: Any) -> Any:
        return load(place, folder, files) if isinstance(place, str) else place

    if spec.command is not None:
        return CommandForm(spec, folder)
    if spec.library is not None:
        return LibraryForm(spec, folder)
    if spec.call is None:
        return CacheForm(spec.named, loaded(spec.forward), loaded(spec.backward), spec)
    found = loaded(spec.call)
    if spec.style == "tape" or (spec.style is None and spec.tensor is not None):
        return tape_form(spec.named, found, loaded(spec.tensor), spec)
    style = spec.style or _style_of(found)
    if style == "function":
        backward = _sibling(spec.call, loaded)
        if backward is not None:
            return CacheForm(spec.named, found, backward, spec)
        tensor = _tensor_beside(found)
        place = spec.named.rpartition(":")[0]
        raise TargetError(
            f"target {spec.named} is a function, and it is not clear of what kind; expected a function with the same "
            'name but "backward" for "forward" beside it, or a mapping that gives the style (torch or jax) or the '
            f"pair, as in {{forward: {spec.named}, backward: {place}:NAME}}"
            + (
                f"; for tensors of its own, {{style: tape, call: {spec.named}, tensor: {place}:{tensor}}}"
                if tensor
                else ""
            )
        )
    return FORMS[style](spec.named, found, spec)


def inapplicable_to(spec: TargetSpec, claimed: Collection[str]) -> Mapping[str, str]:
    """Return the conditions under which a target cannot be called, with the reasons.

    Its own process says which; only what a form says that the target can have counts, and none where no form says so:
    code that spares itself a condition fails under it.
    """
    if spec.command is not None:
        forms = [CommandForm.inapplicable]
    elif spec.library is not None:
        forms = [LibraryForm.inapplicable]
    elif spec.style is not None:
        forms = [FORMS[spec.style].inapplicable if spec.style in FORMS else Form.inapplicable]
    else:
        forms = [Form.inapplicable, TorchForm.inapplicable, JaxForm.inapplicable]
    return next((conditions for conditions in forms if conditions.keys() == set(claimed)), {})


def spared(spec: TargetSpec, inapplicable: Mapping[str, str]) -> tuple[str, ...]:
    """Return the conditions under which a target is not run, with the reasons, and on whose word: a text each.

    What form code has, its own process says where the mapping does not: code that means to can take another one's for
    its own, and be spared what that cannot meet.
    """
    said = spec.command is not None or spec.library is not None or spec.style is not None
    word = "by its mapping" if said else "as its process says; a mapping with style decides it"
    return tuple(f"the condition {name}: {reason} ({word})" for name, reason in inapplicable.items())


def _style_of(found: Any) -> str:
    inner = found
    while isinstance(inner, partial):
        inner = inner.func
    if is_torch(inner):
        return "torch"
    if is_jax(inner):
        return "jax"
    required = _required(found)
    if isinstance(inner, type):
        return "layer" if _looks_like_layer(inner, required) else "object"
    if makes_layers(inner):
        return _framework_of(inner, ["sizes"]) or "layer"
    if not required:
        return "object"
    return _framework_of(inner, required) or "function"


def _framework_of(function: Any, required: list[str]) -> str | None:
    """Return the framework that a function's module uses, where it uses just one and takes arrays."""
    module = inspect.getmodule(function)
    space = getattr(inspect.unwrap(function), "__globals__", vars(module) if module else {})
    roots = {
        str(value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")).partition(".")[0]
        for value in space.values()
    }
    used = [name for name in ("torch", "jax") if name in roots]
    forward_of_pair = len(required) >= 2 and "forward" in getattr(function, "__name__", "")
    return used[0] if len(used) == 1 and not forward_of_pair else None


def _looks_like_layer(found: type, required: list[str]) -> bool:
    """Whether a class is constructed with sizes, calls its passes otherwise, or its forward takes only the input."""
    if required:
        return True
    forward, backward = method_of(found, "forward"), method_of(found, "backward")
    if forward is None or backward is None:
        return False
    return (forward, backward) != ("forward", "backward") or len(_required(getattr(found, forward))) == 2


def _required(function: Any) -> list[str]:
    """Return the names of the parameters that must be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]


def _tensor_beside(function: Any) -> str | None:
    """Return the name of a class with ``backward`` and without ``forward`` that a function's module knows."""
    space = getattr(inspect.unwrap(function), "__globals__", {})
    classes = {name: value for name, value in space.items() if isinstance(value, type)}
    return next((n for n, c in classes.items() if hasattr(c, "backward") and not hasattr(c, "forward")), None)


#: What stands for the backward pass in the name of a function, where this stands for the forward pass.
_SIBLINGS = (
    ("forward", "backward"), ("forward", "backprop"), ("Forward", "Backward"), ("fwd", "bwd"), ("fprop", "bprop"),
    ("", "_backward"), ("", "_grad"), ("", "_bwd"),
)  # fmt: skip


def _sibling(place: Any, loaded: Callable[[str], Any]) -> Any:
    """Return the function named alike but for "backward" in place of "forward"; None if there is none."""
    if not isinstance(place, str):
        module, name = inspect.getmodule(place), str(getattr(place, "__name__", ""))
        found = (getattr(module, other, None) for other in _named_alike(name))
        return next((sibling for sibling in found if callable(sibling)), None)
    start, colon, name = place.rpartition(":")
    for other in _named_alike(name):
        try:
            return loaded(f"{start}{colon}{other}")
        except TargetError:
            continue
    return None


def _named_alike(name: str) -> list[str]:
    names = [name.replace(part, other) if part else name + other for part, other in _SIBLINGS if part in name]
    return names if name else []
