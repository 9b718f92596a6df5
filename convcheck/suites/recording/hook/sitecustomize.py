"""Writes down every convolution that a process calls: run by Python itself at its start, in front of all other code.

It stands alone, since the recorded command may run in an environment without convcheck. Nothing that goes wrong in it
may disturb the command. Each process has a file of its own in the folder that ``CONVCHECK_RECORD`` names: one line of
JSON for a call that is new, and at the end one with the number of equal calls.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.machinery
import importlib.util
import inspect
import json
import os
import secrets
import sys
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))

_FOLDER = os.environ.get("CONVCHECK_RECORD", "")

#: ``module:name`` or ``path/to/file.py:name`` of code that is recorded beside the frameworks.
_PLACE, _, _NAME = os.environ.get("CONVCHECK_RECORD_TARGET", "").rpartition(":")


class _Log:
    """The calls of this process."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.path = ""

    def note(self, call: dict[str, Any]) -> None:
        text = json.dumps(call, sort_keys=True)
        self.counts[text] = self.counts.get(text, 0) + 1
        if self.counts[text] == 1:
            # At once: a process that is killed, or leaves without saying so, has told what it called.
            self.write(text)

    def write(self, text: str) -> None:
        self.path = self.path or os.path.join(_FOLDER, f"{os.getpid()}-{secrets.token_hex(4)}.jsonl")
        line = json.dumps({"call": json.loads(text), "times": self.counts[text]}) + "\n"
        # One write, so that a line is there as a whole or not at all.
        with contextlib.suppress(OSError):
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, line.encode())
            finally:
                os.close(file)

    def finish(self) -> None:
        for text, times in self.counts.items():
            if times > 1:
                self.write(text)


_log = _Log()


def _forked() -> None:
    global _log
    _log = _Log()


def _quietly(describe: Any, *given: Any) -> None:
    """Note what a description gives; a failure is noted in its place."""
    try:
        call = describe(*given)
    except Exception as error:
        call = {"unread": f"{type(error).__name__}: {error}"[:200]}
    if call is not None:
        with contextlib.suppress(Exception):
            _log.note(call)


def _numbers(value: Any) -> Any:
    return [_numbers(each) for each in value] if isinstance(value, (list, tuple)) else value


# PyTorch -----------------------------------------------------------------------------------------------------------


def _patch_torch(torch: Any) -> None:
    functional = torch.nn.functional
    for rank in (1, 2, 3):
        for name in (f"conv{rank}d", f"conv_transpose{rank}d"):
            original = getattr(torch, name)
            wrapper = _recorded_torch(torch, name, original)
            setattr(torch, name, wrapper)
            # So that TorchScript, too, knows what it stands for.
            with contextlib.suppress(Exception):
                torch.jit._builtins._register_builtin(wrapper, f"aten::{name}")
            if getattr(functional, name) is original:
                setattr(functional, name, wrapper)


def _recorded_torch(torch: Any, name: str, original: Any) -> Any:
    @functools.wraps(original)
    def convolution(*args: Any, **kwargs: Any) -> Any:
        # While a graph is made, there is nothing to see; what it holds is called later.
        if not torch.compiler.is_compiling():
            _quietly(_described_torch, torch, name, args, kwargs)
        return original(*args, **kwargs)

    return convolution


def _described_torch(torch: Any, name: str, args: Any, kwargs: Any) -> dict[str, Any] | None:
    transposed = "transpose" in name
    names: tuple[str, ...] = ("input", "weight", "bias", "stride", "padding")
    names += ("output_padding", "groups", "dilation") if transposed else ("dilation", "groups")
    given = {**dict(zip(names, args)), **kwargs}  # noqa: B905 - of any Python
    x, weight, bias = given["input"], given["weight"], given.get("bias")
    if not isinstance(x, torch.Tensor) or not isinstance(weight, torch.Tensor):
        return None
    rank = int(name[-2])
    options = {option: _numbers(given[option]) for option in names[3:] if option in given}
    arrays = {"input": x, "weight": weight, "bias": bias}
    needed = [
        array for array, tensor in arrays.items()
        if torch.is_grad_enabled() and tensor is not None and tensor.requires_grad
    ]  # fmt: skip
    return {
        "function": f"torch.{name}", "dtype": str(x.dtype).rpartition(".")[2], "gradients": needed,
        "x": [1] * (rank + 2 - x.dim()) + list(map(int, x.shape)), "weight": list(map(int, weight.shape)),
        "bias": bias is not None, **({"transposed": True} if transposed else {}), **options,
    }  # fmt: skip


# JAX ---------------------------------------------------------------------------------------------------------------


def _patch_jax(lax: Any) -> None:
    general = ("window_strides", "padding", "lhs_dilation", "rhs_dilation")
    orders = {
        "conv": general[:2],
        "conv_with_general_padding": general,
        "conv_general_dilated": (*general, "dimension_numbers", "feature_group_count", "batch_group_count"),
    }
    for name, order in orders.items():
        setattr(lax, name, _recorded_jax(lax, name, ("lhs", "rhs", *order), getattr(lax, name)))


def _recorded_jax(lax: Any, name: str, order: tuple[str, ...], original: Any) -> Any:
    @functools.wraps(original)
    def convolution(*args: Any, **kwargs: Any) -> Any:
        _quietly(_described_jax, lax, name, {**dict(zip(order, args)), **kwargs})  # noqa: B905 - of any Python
        return original(*args, **kwargs)

    return convolution


def _described_jax(lax: Any, name: str, given: dict[str, Any]) -> dict[str, Any]:
    x, weight = given["lhs"], given["rhs"]
    order = lax.conv_dimension_numbers(x.shape, weight.shape, given.get("dimension_numbers"))
    padding = given["padding"]
    call = {
        "function": f"jax.lax.{name}", "dtype": str(x.dtype), "x": [int(x.shape[axis]) for axis in order.lhs_spec],
        "weight": [int(weight.shape[axis]) for axis in order.rhs_spec], "bias": False,
        "stride": _numbers(given["window_strides"]),
        "padding": padding.lower() if isinstance(padding, str) else _numbers(padding),
        "dilation": _numbers(given.get("rhs_dilation") or 1), "groups": given.get("feature_group_count") or 1,
    }  # fmt: skip
    if any(step != 1 for step in given.get("lhs_dilation") or ()) or (given.get("batch_group_count") or 1) != 1:
        return {"function": call["function"], "dilated": True}
    # What is traced for a gradient says so by its type; below a jit nothing is known.
    kinds = {array: type(value).__name__ for array, value in (("input", x), ("weight", weight))}
    if not any(kind.startswith("DynamicJaxpr") for kind in kinds.values()):
        differentiated = ("JVPTracer", "LinearizeTracer")
        call["gradients"] = [array for array, kind in kinds.items() if kind in differentiated]
    return call


# Anybody's code ----------------------------------------------------------------------------------------------------


def _patch_target(module: Any) -> None:
    owner, parts = module, _NAME.split(".")
    try:
        for part in parts[:-1]:
            owner = getattr(owner, part)
        original = getattr(owner, parts[-1])
    except AttributeError:
        # While a module is imported, Python's own words speak of a circular import.
        raise AttributeError(f"{_PLACE} has no attribute '{_NAME}'") from None
    if isinstance(original, type):
        _patch_class(original)
    else:
        setattr(owner, parts[-1], _recorded_function(original, original, {}))


def _patch_class(kind: Any) -> None:
    """Record what a layer is made with, and on what it is called."""
    made = kind.__init__

    @functools.wraps(made)
    def initialised(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        # A subclass has options of its own.
        if type(self).__init__ is initialised:
            with contextlib.suppress(Exception):
                object.__setattr__(self, "_convcheck_options", _bound(made, (self, *args), kwargs))

    kind.__init__ = initialised
    name = next((name for name in ("forward", "__call__") if name in vars(kind)), "")
    if name:
        called = vars(kind)[name]

        @functools.wraps(called)
        def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
            options = getattr(self, "_convcheck_options", {})
            _quietly(_described, called, (self, *args), kwargs, options)
            return called(self, *args, **kwargs)

        setattr(kind, name, forward)


def _recorded_function(original: Any, function: Any, options: dict[str, Any]) -> Any:
    @functools.wraps(original)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        _quietly(_described, function, args, kwargs, options)
        return function(*args, **kwargs)

    return recorded


def _described(function: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> dict[str, Any]:
    arguments = _bound(function, args, kwargs)
    return {"function": f"{_PLACE}:{_NAME}", "options": options, "arguments": arguments}


def _bound(function: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return arguments by name, arrays as their shape and format; what is neither array nor plain value is left out."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    plain = {}
    for name, value in bound.arguments.items():
        parameter = inspect.signature(function).parameters[name]
        more = value if parameter.kind is parameter.VAR_KEYWORD else {name: value}
        plain.update({key: told for key, each in more.items() if (told := _told(each)) is not Ellipsis})
    return plain


def _told(value: Any) -> Any:
    if hasattr(value, "shape") and hasattr(value, "dtype") and len(value.shape):
        array = {"shape": list(map(int, value.shape)), "dtype": str(value.dtype).rpartition(".")[2]}
        wanted = getattr(value, "requires_grad", None)
        return {**array, **({} if wanted is None else {"gradient": bool(wanted)})}
    if hasattr(value, "item") and not isinstance(value, type):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        entries = [_told(each) for each in value]
        return Ellipsis if Ellipsis in entries else entries
    if isinstance(value, dict):
        told = {key: _told(each) for key, each in value.items() if isinstance(key, str)}
        return {key: each for key, each in told.items() if each is not Ellipsis}
    return Ellipsis


# As they are imported ----------------------------------------------------------------------------------------------


class _Finder:
    """Lets every other finder find a module, and changes the module as soon as it has run."""

    def __init__(self) -> None:
        self.busy = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        patch = {"torch": _patch_torch, "jax.lax": _patch_jax}.get(name)
        file = _PLACE if _PLACE.endswith(".py") else ""
        if _PLACE and (name == _PLACE or (file and name.rpartition(".")[2] == os.path.basename(file)[:-3])):
            patch = _patch_target
        if patch is None or self.busy:
            return None
        self.busy = True
        try:
            spec = _found(name, path)
        finally:
            self.busy = False
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return None
        if patch is _patch_target and file and not (spec.origin and os.path.realpath(spec.origin) == file):
            return None
        spec.loader = _Loader(spec.loader, patch)
        return spec


def _found(name: str, path: Any) -> Any:
    for finder in sys.meta_path:
        spec = None if isinstance(finder, _Finder) else finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None


class _Loader:
    """A loader that changes the module it has loaded, and then leaves no trace."""

    def __init__(self, loader: Any, patch: Any) -> None:
        self.loader = loader
        self.patch = patch

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: Any) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        _quietly(self.patch, module)


def _start() -> None:
    sys.meta_path.insert(0, _Finder())
    atexit.register(lambda: _log.finish())
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forked)


def _run_the_hidden_one() -> None:
    """Run the ``sitecustomize`` that would have been found without this one."""
    rest = [folder for folder in sys.path if os.path.abspath(folder) != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if _FOLDER:
    _start()
    _run_the_hidden_one()
