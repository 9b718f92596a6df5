"""The convolutions of a PyTorch module, recorded while it runs once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convcheck.errors import Parameter, UsageError
from convcheck.suites.importing.model import Findings, Model, understood
from convcheck.targets.process.limits import IN_PROCESS, Limits
from convcheck.targets.process.wire import legible


@dataclass
class _Calls:
    """What was called during one forward pass.

    Attributes
    ----------
    shapes : list of (str, shape, shape)
        Each convolution module's name and the shapes of its input and output, in the order of the calls.
    functions : int
        Calls of convolution functions, those that modules make included.
    """

    shapes: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    functions: int = 0


def load(source: str, input_size: Sequence[int] | None = None, limits: Limits = IN_PROCESS) -> Model:
    """Record the convolutions of a module in one forward pass on zeros.

    Parameters
    ----------
    source : str
        ``module:factory`` or ``path/to/file.py:factory``: a module class or a function, called without arguments, or a
        module itself. Where ``get_init_inputs`` stands beside it, as KernelBench has it, that gives the arguments.
    input_size : sequence of int
        Shape of the input, with the batch. Where ``get_inputs`` stands beside the factory, that can give it.
    limits : Limits
        Where the module runs, and what it may use there.

    Raises
    ------
    UsageError
        If there is no input size, the factory gives no module, or the module does not run on such an input.
    TargetError
        If the factory cannot be found or imported.
    """
    from convcheck.targets.process.keepers import supported

    if limits.in_process or not supported():
        return _recorded(source, input_size)
    from convcheck.targets.process.place import Place
    from convcheck.targets.target import TargetContractError, TargetRaisedError

    place = Place(Path.cwd(), limits)
    try:
        told = place.call(_told, source, input_size)
    except TargetRaisedError as error:
        raise UsageError(f"{source}: cannot be run:\n{error.traceback}") from error
    except TargetContractError as error:
        raise UsageError(f"{source}: {error}") from error
    finally:
        place.close()
    problem = told.get("problem")
    if isinstance(problem, list):
        raise UsageError(*(_part(part) for part in problem))
    return understood(source, told)


def _told(source: str, input_size: Sequence[int] | None) -> dict[str, Any]:
    """Return the model, or what is wrong with it, as plain data."""
    try:
        return _recorded(source, input_size).told()
    except UsageError as error:
        # The one parameter that such a message names.
        return {"problem": [part if isinstance(part, str) else {"input_size": part.value} for part in error.args]}


def _part(told: Any) -> str | Parameter:
    """Return a part of a message as the process has told of it."""
    if not isinstance(told, dict):
        return legible(str(told))
    sizes = told.get("input_size")
    if not isinstance(sizes, list) or not all(type(size) is int for size in sizes):
        return Parameter("input_size")
    return Parameter("input_size", tuple(sizes))


def _recorded(source: str, input_size: Sequence[int] | None) -> Model:
    from convcheck.targets.loading import load as load_code

    # Before PyTorch is asked for: what is not there is not there with PyTorch either.
    factory = load_code(source, Path.cwd())
    beside = vars(sys.modules[factory.__module__]) if isinstance(factory, type) else {}
    own_inputs = beside.get("get_inputs") if input_size is None else None
    if input_size is None and own_inputs is None:
        raise UsageError(
            f"{source}: a PyTorch module needs ",
            Parameter("input_size"),
            ", for example ",
            Parameter("input_size", (1, 3, 224, 224)),
        )
    torch = _torch()
    # Arrays without memory do where only shapes matter, and those of a benchmark are large.
    with torch.device("meta") if own_inputs else nullcontext():
        arguments = _called(source, beside["get_init_inputs"]) if "get_init_inputs" in beside else ()
        module = _module(source, factory, arguments)
        with _recording(module) as calls:
            _run(source, module, input_size or (), own_inputs)
    return _model(source, module, calls)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise UsageError(
            f"reading a PyTorch module needs the package torch ({error}); install it with: pip install torch"
        ) from error
    return torch


def _called(source: str, function: Any, *arguments: Any) -> Any:
    from convcheck.targets.loading import user_traceback

    try:
        return function(*arguments)
    except (Exception, SystemExit) as error:
        given = f"with {', '.join(map(str, arguments))}" if arguments else "without arguments"
        raise UsageError(f"{source}: cannot be called {given}:\n{user_traceback(error)}") from error


def _module(source: str, factory: Any, arguments: Sequence[Any]) -> Any:
    torch = _torch()
    if not isinstance(factory, torch.nn.Module):
        if not callable(factory):
            raise UsageError(f"{source}: is a {type(factory).__name__}; expected a class or function without arguments")
        factory = _called(source, factory, *arguments)
    if not isinstance(factory, torch.nn.Module):
        raise UsageError(f"{source}: gives a {type(factory).__name__}; expected a torch.nn.Module")
    return factory


def _run(source: str, module: Any, input_size: Sequence[int], own_inputs: Any) -> None:
    from convcheck.targets.loading import user_traceback

    torch = _torch()
    parameter = next(module.parameters(), None)
    # A lazy module's parameters have no data type to go by before the first call.
    is_lazy = isinstance(parameter, torch.nn.parameter.UninitializedParameter)
    like = {} if parameter is None or is_lazy else {"dtype": parameter.dtype, "device": parameter.device}
    was_training = module.training
    try:
        with torch.no_grad():
            module.eval()(*(own_inputs() if own_inputs else [torch.zeros(*input_size, **like)]))
    except (Exception, SystemExit) as error:
        given = f"an input of {'×'.join(map(str, input_size))} zeros; check " if input_size else "what get_inputs gives"
        check = (Parameter("input_size"),) if input_size else ()
        raise UsageError(f"{source}: does not run on {given}", *check, f":\n{user_traceback(error)}") from error
    finally:
        module.train(was_training)


@contextmanager
def _recording(module: Any) -> Iterator[_Calls]:
    """Note every convolution that the module runs inside the block."""
    torch = _torch()
    calls = _Calls()
    functions = {getattr(torch.nn.functional, f"conv{kind}{n}d") for kind in ("", "_transpose") for n in (1, 2, 3)}

    mode: Any = torch.overrides.TorchFunctionMode

    class Counting(mode):  # type: ignore[misc]
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            calls.functions += function in functions
            return function(*args, **(kwargs or {}))

    def note(name: str) -> Any:
        return lambda _, inputs, output: calls.shapes.append((name, tuple(inputs[0].shape), tuple(output.shape)))

    hooks = [part.register_forward_hook(note(name)) for name, part in _convolutions(module)]
    try:
        with Counting():
            yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _convolutions(module: Any) -> list[tuple[str, Any]]:
    kind = _torch().nn.modules.conv._ConvNd
    # Without duplicates, so that a module that stands in two places is noted once per call.
    return [(name or "conv", part) for name, part in module.named_modules() if isinstance(part, kind)]


def _model(source: str, module: Any, calls: _Calls) -> Model:
    findings = Findings()
    parts = dict(_convolutions(module))
    seen = dict.fromkeys(calls.shapes)
    for name, shape, output in seen:
        _add(name, parts[name], shape, output, findings)
    for name, part in parts.items():
        if name not in {called for called, *_ in seen}:
            findings.leave_out(name, type(part).__name__, "the forward pass does not call it")
    if calls.functions > len(calls.shapes):
        reason = "called as a function; only modules are recorded"
        findings.leave_out(f"{calls.functions - len(calls.shapes)} more", "torch.nn.functional", reason)
    return findings.model(source)


def _add(name: str, part: Any, shape: tuple[int, ...], output: tuple[int, ...], findings: Findings) -> None:
    kind, rank = type(part).__name__, len(part.kernel_size)
    kinds: dict[str, Any] = {"padding_mode": part.padding_mode}
    if part.transposed:
        # What is left of the output: its forward pass can be asked for a size.
        per_axis = zip(shape[-rank:], output[-rank:], part.kernel_size, part.stride, part.dilation, part.padding,
                       strict=True)  # fmt: skip
        kinds = {"transposed": True, "output_padding": [
            m - ((n - 1) * s + d * (k - 1) + 1 - 2 * p) for n, m, k, s, d, p in per_axis
        ]}  # fmt: skip
    findings.add(
        name, kind, channels=part.in_channels, filters=part.out_channels, kernel=part.kernel_size, stride=part.stride,
        padding=_padding(part), dilation=part.dilation, groups=part.groups, bias=part.bias is not None,
        input=shape[-rank:], batch=shape[0] if len(shape) == rank + 2 else 1, **kinds,
    )  # fmt: skip


def _padding(part: Any) -> list[list[int]]:
    """Return [before, after] per axis; "same", which may be asymmetric, included."""
    flat = part._reversed_padding_repeated_twice
    pairs = [[flat[i], flat[i + 1]] for i in range(0, len(flat), 2)]
    return pairs[::-1]
