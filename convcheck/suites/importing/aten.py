"""PyTorch's logs of the inputs of operators: ``Operator: aten.convolution_backward.default`` and ``cnt: 1, (...)``."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convcheck.suites.importing.model import Model, Shapes, integer
from convcheck.wording import short

_HEADING = re.compile(r"\s*Operator:\s*(?P<name>\S+)\s*$")

_LINE = re.compile(r"\s*cnt:\s*(?P<count>\d+)\s*,\s*(?P<call>.*\S)\s*$")

#: The arguments of each operator, by their place.
_ARGUMENTS = {
    "aten.convolution.default": (
        "input", "weight", "bias", "stride", "padding", "dilation", "transposed", "output_padding", "groups",
    ),
    "aten.convolution_backward.default": (
        "grad_output", "input", "weight", "bias_sizes", "stride", "padding", "dilation", "transposed",
        "output_padding", "groups", "output_mask",
    ),
}  # fmt: skip


class _Tensor(NamedTuple):
    shape: tuple[int, ...]
    dtype: str


class _CallError(Exception):
    """Something in a call that cannot be read, and how far behind its start."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def recognises(text: str) -> bool:
    """Whether a text looks like one that `load` reads."""
    return any(_HEADING.match(line) for line in text.splitlines()[:50])


def load(source: str, input_size: Sequence[int] | None = None) -> Model:
    """Read a log; of operators other than convolutions nothing is read.

    Raises
    ------
    ConfigError
        If a line cannot be read; carries the problems of all.
    """
    shapes = Shapes(Path(source))
    operator = ""
    for number, line in enumerate(shapes.text.splitlines(), 1):
        heading, call = _HEADING.match(line), _LINE.match(line)
        if heading:
            operator = heading["name"]
        elif operator in _ARGUMENTS and call:
            try:
                arguments = _arguments(operator, call["call"])
                _add(shapes, f"line {number}", operator, integer(call["count"]), arguments)
            except _CallError as error:
                shapes.wrong(number, call.start("call") + 1 + error.offset, str(error))
            except RecursionError:
                shapes.wrong(number, call.start("call") + 1, "is nested too deep to be read")
        elif line.strip() and (not operator or operator in _ARGUMENTS):
            shapes.wrong(number, 1, 'is neither "Operator: NAME" nor "cnt: NUMBER, ((ARGUMENTS), {})"')
    return shapes.model()


def _arguments(operator: str, text: str) -> dict[str, Any]:
    """Return what an operator was called with, by name."""
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _CallError(
            f"cannot be read: {getattr(error, 'msg', None) or type(error).__name__}",
            (getattr(error, "offset", None) or 1) - 1,
        ) from None
    if not (isinstance(tree, ast.Tuple) and len(tree.elts) == 2 and isinstance(tree.elts[0], ast.Tuple)):
        raise _CallError("expected ((ARGUMENTS), {})", 0)
    names, values = _ARGUMENTS[operator], tree.elts[0].elts
    if len(values) != len(names):
        message = f"{operator} takes {len(names)} arguments ({', '.join(names)}), and there are {len(values)}"
        raise _CallError(message, tree.elts[0].col_offset)
    arguments = {}
    for name, node in zip(names, values, strict=True):
        kinds: dict[str, Any] = {"groups": int, "transposed": bool, "output_mask": list}
        kind = kinds.get(name, _Tensor if name in ("grad_output", "input", "weight") else (list, _Tensor, type(None)))
        value = _value(node)
        if not isinstance(value, kind) or (isinstance(value, list) and not all(isinstance(n, int) for n in value)):
            expected = "a tensor such as T([1, 3, 8, 8], f32)" if kind is _Tensor else "another kind of value"
            raise _CallError(f"{name} is {short(ast.unparse(node))}; expected {expected}", node.col_offset)
        arguments[name] = value
    return arguments


def _value(node: ast.expr) -> Any:
    """Return a number, a truth, a list or a tensor; nothing is run."""
    match node:
        case ast.Constant(value=int() | None as value):
            return value
        case ast.List(elts=entries) | ast.Tuple(elts=entries):
            return [_value(entry) for entry in entries]
        case ast.Call(func=ast.Name(id="T"), args=[shape, ast.Name(id=dtype)]):
            sizes = _value(shape)
            if isinstance(sizes, list) and all(type(size) is int for size in sizes):
                return _Tensor(tuple(sizes), dtype)
    raise _CallError(
        f"{short(ast.unparse(node))} is not understood; expected numbers, lists and T(SHAPE, FORMAT)", node.col_offset
    )


def _add(shapes: Shapes, name: str, operator: str, count: int, arguments: dict[str, Any]) -> None:
    x, weight = arguments["input"], arguments["weight"]
    if len(x.shape) != len(weight.shape) or len(x.shape) < 3:
        raise _CallError(f"its input has {len(x.shape)} axes and its weight {len(weight.shape)}", 0)
    rank = len(x.shape) - 2
    options = ("stride", "padding", "dilation", *(["output_padding"] if arguments["transposed"] else []))
    per_axis = {field: arguments[field] for field in options}
    for field, values in per_axis.items():
        if not isinstance(values, list) or len(values) not in (1, rank):
            raise _CallError(f"its {field} is {values}, for an input of {rank} axes", 0)
        # One number stands for all axes.
        per_axis[field] = values * rank if len(values) == 1 else values
    groups = arguments["groups"]
    channels, filters = weight.shape[1] * groups, weight.shape[0]
    if arguments["transposed"]:
        channels, filters = filters, channels
    if x.shape[1] != channels:
        raise _CallError(f"its input has {x.shape[1]} channels and its weight is for {channels}", 0)
    if "output_mask" in arguments:
        mask = arguments["output_mask"]
        if len(mask) != 3:
            raise _CallError(f"its output_mask is {short(str(mask))}; expected three truths", 0)
        computed = {array for array, wanted in zip(("input", "weight", "bias"), mask, strict=True) if wanted}
        # An empty bias is written as [0].
        bias = arguments["bias_sizes"] not in (None, [], [0])
    else:
        computed, bias = {"output"}, arguments["bias"] is not None
    layer = shapes.findings.add(
        "", operator, batch=x.shape[0], times=count, computed=computed, dtype=x.dtype, channels=x.shape[1],
        filters=filters, kernel=list(weight.shape[2:]), input=list(x.shape[2:]), groups=groups, bias=bias,
        transposed=arguments["transposed"], **per_axis,
    )  # fmt: skip
    if layer is not None and "grad_output" in arguments:
        given, needed = arguments["grad_output"].shape, (x.shape[0], filters, *layer.output)
        if given != needed:
            raise _CallError(f"its grad_output is {list(given)}; its other sizes give {list(needed)}", 0)
