"""KernelBench's problems, read without running them: a Python file with ``Model``, of one convolution or of a chain."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from convcheck.suites.importing.model import Model, Shapes
from convcheck.wording import short

#: What PyTorch's convolutions take by place, and its transposed ones.
_PARAMETERS = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias", "padding_mode",
)  # fmt: skip
_TRANSPOSED = (*_PARAMETERS[:5], "output_padding", "groups", "bias", "dilation", "padding_mode")

#: What it calls otherwise than a layer does.
_FIELDS = {"in_channels": "channels", "out_channels": "filters", "kernel_size": "kernel"}

#: What makes an input from its shape.
_MAKERS = ("rand", "randn", "zeros", "ones", "empty")

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
}  # fmt: skip

#: Beyond any size of an array; the numbers of a file are not to grow without end.
_LARGEST = 2**63

_WAY_OUT = "its model can be run instead, if you trust it: convcheck import {path}:Model"


class _UnreadError(Exception):
    """Something that is not plain enough to be read, with its node."""

    def __init__(self, message: str, node: ast.AST) -> None:
        super().__init__(message)
        self.node = node


def recognises(text: str) -> bool:
    """Whether a text looks like one that `load` reads."""
    return "class Model" in text and "def get_inputs" in text


def load(source: str, input_size: Sequence[int] | None = None) -> Model:
    """Read a problem whose model is a convolution, or some that are called on each other; all sizes are written out.

    Raises
    ------
    ConfigError
        If something in it is not plain enough to be read without running it.
    """
    shapes = Shapes(Path(source))
    try:
        tree = ast.parse(shapes.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line, column = getattr(error, "lineno", None) or 1, getattr(error, "offset", None) or 1
        shapes.wrong(line, column, f"is no Python: {getattr(error, 'msg', error)}")
        return shapes.model()
    try:
        _read(shapes, tree)
    except _UnreadError as error:
        line, column = getattr(error.node, "lineno", 1), getattr(error.node, "col_offset", 0) + 1
        shapes.wrong(line, column, f"{error}; {_WAY_OUT.format(path=shapes.path)}")
    except RecursionError:
        shapes.wrong(1, 1, f"its numbers are nested too deep to be read; {_WAY_OUT.format(path=shapes.path)}")
    return shapes.model()


def _read(shapes: Shapes, tree: ast.Module) -> None:
    models = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Model"]
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    names: dict[str, Any] = {}
    for node in tree.body:
        _assign(node, names)
    for name in ("get_inputs", "get_init_inputs"):
        if name not in functions:
            raise _UnreadError(f"there is no {name}", tree)
    if len(models) != 1:
        raise _UnreadError(f"there are {len(models)} classes Model; expected one", tree)
    calls = (node for node in ast.walk(models[0]) if isinstance(node, ast.Call))
    if not any("conv" in ast.unparse(call.func).lower() for call in calls):
        shapes.findings.leave_out(shapes.path.stem, "Model", "it has no convolution")
        return
    methods = {node.name: node for node in models[0].body if isinstance(node, ast.FunctionDef)}
    for name in ("__init__", "forward"):
        if name not in methods:
            raise _UnreadError(f"Model has no {name}", models[0])
    own = {**names, **_given(methods["__init__"], _returned(functions["get_init_inputs"], names), names)}
    convolutions: dict[str, tuple[str, dict[str, Any]]] = {}
    for statement in methods["__init__"].body:
        _assign(statement, own)
        for call in (node for node in ast.walk(statement) if isinstance(node, ast.Call)):
            kind = ast.unparse(call.func).rpartition(".")[2]
            if not kind.startswith("Conv"):
                continue
            match statement:
                case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=attribute)], value=value) if (
                    value is call
                ):
                    parameters = _TRANSPOSED if "Transpose" in kind else _PARAMETERS
                    convolutions[attribute] = (kind, _options(call, own, parameters))
                case _:
                    raise _UnreadError(f"{kind} is not assigned to an attribute of its own", call)
    if not convolutions:
        raise _UnreadError("Model assigns no convolution to an attribute", models[0])
    order = _called(methods["forward"], convolutions)
    _add(shapes, convolutions, order, _input_shape(functions["get_inputs"], names), functions["get_inputs"])


def _add(
    shapes: Shapes,
    convolutions: Mapping[str, tuple[str, dict[str, Any]]],
    order: Sequence[tuple[str, str]],
    shape: tuple[int, ...],
    node: ast.FunctionDef,
) -> None:
    """Add the convolutions in the order of their calls; ``shape`` is the input's, ``node`` where it is made."""
    shapes_of = {"": shape}
    for attribute, source in order:
        kind, options = convolutions[attribute]
        name = shapes.path.stem if len(convolutions) == 1 else f"{shapes.path.stem}.{attribute}"
        if source not in shapes_of:
            shapes.findings.leave_out(name, kind, f"the size of what {source} gives it is not known")
            continue
        shape = shapes_of[source]
        transposed = kind.startswith("ConvTranspose")
        if kind.removeprefix("ConvTranspose").removeprefix("Conv") not in (f"{len(shape) - 2}d",):
            raise _UnreadError(f"{kind} on an input of {len(shape)} axes is not understood", node)
        known = {*(_TRANSPOSED if transposed else _PARAMETERS)}
        spec = {_FIELDS.get(option, option): value for option, value in options.items() if option in known}
        if spec.get("channels") != shape[1]:
            raise _UnreadError(f"{kind} does not take an input of {shape[1]} channels", node)
        # Values that are wrong in a layer are so in PyTorch; one number for all axes is the same in both.
        spec = {field: list(value) if isinstance(value, tuple) else value for field, value in spec.items()}
        layer = shapes.findings.add(
            name, kind, batch=shape[0], dtype="float32", computed={"output"}, input=list(shape[2:]),
            transposed=transposed, **spec,
        )  # fmt: skip
        if layer is not None:
            shapes_of[attribute] = (shape[0], layer.filters, *layer.output)


def _assign(statement: ast.stmt, names: dict[str, Any]) -> None:
    """Note the value of a name, where it can be told; what is given to it in any other way is not known."""
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            names.pop(name, None)
            try:
                names[name] = _value(value, names)
            except _UnreadError:
                return
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            names.pop(statement.name, None)
        case _:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    names.pop(node.id, None)


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """Return a number, a truth, a text, None, or a tuple or list of them; nothing is run."""
    match node:
        case ast.Constant(value=int() | str() | None as value):
            return value
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Tuple(elts=entries) | ast.List(elts=entries):
            return tuple(_value(entry, names) for entry in entries)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _value(operand, names)
            if type(value) is int:
                return -value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            one, other = _value(left, names), _value(right, names)
            if type(one) is int and type(other) is int and (other or not isinstance(op, ast.FloorDiv)):
                result = _OPERATORS[type(op)](one, other)
                if abs(result) < _LARGEST:
                    return result
    raise _UnreadError(f"{short(ast.unparse(node))} is not a plain value", node)


def _returned(function: ast.FunctionDef, names: Mapping[str, Any]) -> tuple[Any, ...]:
    local = dict(names)
    for statement in function.body:
        _assign(statement, local)
        if isinstance(statement, ast.Return) and statement.value is not None:
            value = _value(statement.value, local)
            return value if isinstance(value, tuple) else (value,)
    raise _UnreadError(f"{function.name} returns nothing that can be read", function)


def _given(function: ast.FunctionDef, values: Sequence[Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of ``__init__`` with their values."""
    parameters = function.args.args[1:]
    defaults = function.args.defaults
    known: dict[str, Any] = {}
    for parameter, default in zip(parameters[len(parameters) - len(defaults) :], defaults, strict=True):
        known[parameter.arg] = _value(default, names)
    if len(values) > len(parameters):
        raise _UnreadError(f"get_init_inputs gives {len(values)} values for {len(parameters)} parameters", function)
    return known | {parameter.arg: value for parameter, value in zip(parameters, values, strict=False)}


def _options(call: ast.Call, names: Mapping[str, Any], parameters: Sequence[str]) -> dict[str, Any]:
    given: list[tuple[str | None, ast.expr]] = list(zip(parameters, call.args, strict=False))
    given += [(keyword.arg, keyword.value) for keyword in call.keywords]
    if any(name is None for name, _ in given) or len(call.args) > len(parameters):
        raise _UnreadError(f"{short(ast.unparse(call))} is not understood", call)
    return {name: _value(value, names) for name, value in given if name is not None}


def _called(forward: ast.FunctionDef, attributes: Collection[str]) -> list[tuple[str, str]]:
    """Return the convolutions in the order of their calls, each with the one whose output it takes, or "".

    Each is to be called once, on the input itself or on what another gives, before anything else is done to it.
    """
    of_call = {f"self.{attribute}": attribute for attribute in attributes}
    held = {argument.arg: "" for argument in forward.args.args[1:2]}
    found: dict[str, str] = {}

    def known(node: ast.expr) -> str | None:
        if isinstance(node, ast.Call):
            return of_call.get(ast.unparse(node.func))
        return held.get(node.id) if isinstance(node, ast.Name) else None

    for statement in forward.body:
        plain = isinstance(statement, (ast.Assign, ast.AnnAssign, ast.Return, ast.Expr))
        nodes = list(ast.walk(statement))
        # What is called on the output of another stands around it.
        for call in (node for node in reversed(nodes) if isinstance(node, ast.Call) and known(node) is not None):
            attribute, source = known(call), known(call.args[0]) if len(call.args) == 1 else None
            if attribute is None or source is None or attribute in found or call.keywords or not plain:
                raise _UnreadError(f"forward does more with its input than to call self.{attribute} on it", forward)
            found[attribute] = source
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                held.pop(node.id, None)
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if (given := known(value)) is not None:
                held[name] = given
    for attribute in attributes:
        if attribute not in found:
            raise _UnreadError(f"forward does not call self.{attribute} by this name", forward)
    return list(found.items())


def _input_shape(function: ast.FunctionDef, names: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of the first input."""
    local = dict(names)
    made: dict[str, ast.expr] = {}
    for statement in function.body:
        _assign(statement, local)
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                made[name] = value
            case ast.Return(value=ast.List(elts=[first, *_]) | ast.Tuple(elts=[first, *_])):
                if isinstance(first, ast.Name):
                    first = made.get(first.id, first)
                if isinstance(first, ast.Call) and ast.unparse(first.func) in [f"torch.{maker}" for maker in _MAKERS]:
                    sizes = [_value(size, local) for size in first.args]
                    shape = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], tuple) else tuple(sizes)
                    if all(type(size) is int for size in shape):
                        return shape
                raise _UnreadError(f"{short(ast.unparse(first))} is no input of a shape that is written out", first)
    raise _UnreadError(f"{function.name} returns no list of inputs", function)
