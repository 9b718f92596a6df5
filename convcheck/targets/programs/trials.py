"""What a program does wrong with the protocol, found out by trying it on tiny requests.

Whether its numbers are right is not looked at: that is the business of ``convcheck verify``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.targets.programs.cases import Cases
from convcheck.targets.programs.process import Program, how_it_ended
from convcheck.targets.programs.protocol import RefusedError, Request, quoted
from convcheck.targets.target import TargetContractError
from convcheck.wording import counted


class Trial(NamedTuple):
    """What came of one or more requests.

    Attributes
    ----------
    name : str
    status : str
        "ok"; "unsupported", which is no mistake; "wrong".
    reason : str
        What is wrong, or what it says that it does not support.
    """

    name: str
    status: str
    reason: str = ""


_WAYS = ("forward", "backward")

_REFUSED = "a layer it may refuse, then another"

#: Seconds in which a program that means to end has ended.
_MOMENT = 0.2

#: A layer whose sizes all differ, so that an array that is read in the wrong size shows at once.
_PLAIN: dict[str, Any] = {"channels": 2, "filters": 3, "kernel": [3, 2], "input": [5, 6]}

_LAYERS: dict[str, dict[str, Any]] = {
    "two axes": _PLAIN,
    "no bias": {**_PLAIN, "bias": False},
    "one axis": {**_PLAIN, "kernel": 3, "input": [7]},
    "three axes": {**_PLAIN, "kernel": [1, 2, 3], "input": [3, 4, 5]},
    "stride, dilation and uneven padding": {
        **_PLAIN, "stride": [2, 3], "dilation": [2, 1], "padding": [[2, 1], [0, 3]], "input": [8, 7],
    },
    "groups": {**_PLAIN, "channels": 4, "filters": 6, "groups": 2},
    "one of everything": {"channels": 1, "filters": 1, "kernel": 1, "input": [1, 1], "batch": 1},
    "float32": {**_PLAIN, "dtype": "float32"},
    "float32, everything square": {**_PLAIN, "kernel": 3, "input": [6, 6], "dtype": "float32"},
    "more than a pipe holds": {**_PLAIN, "channels": 6, "filters": 7, "input": [120, 90]},
}  # fmt: skip


def tried(command: Sequence[str], folder: Path, limit: float, cases: Cases | None = None) -> Iterator[Trial]:
    """Try a program; every trial but the last few starts it anew, so that one mistake is told once.

    Parameters
    ----------
    command, folder, cases
        As of `Program`.
    limit : float
        Seconds that an answer may take.

    Raises
    ------
    TargetError
        If the program cannot be started.
    """
    program = Program(command, folder, cases, echo=False)
    try:
        taken, refusal = None, ""
        for name, changes in _LAYERS.items():
            layer = Layer(**changes)
            for direction in _WAYS:
                trial = _asked(program, f"{direction}, {name}", [_request(direction, layer)], limit)
                yield trial
                refusal = refusal or (trial.reason if trial.status == "unsupported" else "")
                if trial.status != "ok":
                    break
            else:
                taken = taken or layer
        # Of what it refuses it need not know more than one request.
        plain = taken or Layer(**_PLAIN)
        both = [_request(direction, layer) for layer in (plain, replace(plain, bias=False)) for direction in _WAYS]
        yield _asked(program, "one request after the other", [*both, *reversed(both)], limit)
        yield Trial(_REFUSED, "unsupported", refusal) if refusal and not taken else _refused(program, plain, limit)
        yield _cut_short(program, plain, limit)
    finally:
        program.stop()


def _request(direction: str, layer: Layer, dtype: str | None = None) -> Request:
    generator = np.random.default_rng(0)

    def numbers(shape: tuple[int, ...]) -> Array:
        return generator.integers(1, 4, shape).astype(dtype or layer.dtype)

    arrays = {"x": numbers(layer.input_shape), "weight": numbers(layer.weight_shape)}
    shapes = {"grad_input": layer.input_shape, "grad_weight": layer.weight_shape}
    if layer.bias:
        arrays["bias"] = numbers(layer.bias_shape)
        shapes["grad_bias"] = layer.bias_shape
    if direction == "forward":
        return Request(direction, layer, arrays, {"output": layer.output_shape})
    return Request(direction, layer, arrays | {"grad_output": numbers(layer.output_shape)}, shapes)


def _asked(program: Program, name: str, requests: Sequence[Request], limit: float) -> Trial:
    """Send requests to one process, then end its input, and look at all that it writes until it ends."""
    for number, request in enumerate(requests, 1):
        place = f"at request {number}, {request.direction}: " if len(requests) > 1 else ""
        try:
            found = program.ask(request, limit)
        except RefusedError as refusal:
            program.stop()
            return Trial(name, "unsupported", str(refusal))
        except TargetContractError as error:
            again = "; it must go on until its input ends" if number > 1 and getattr(error, "silent", False) else ""
            program.stop()
            return Trial(name, "wrong", f"{place}{error}{again}")
        wrong = [
            f"it sends {counted(array.size, 'entry', 'entries')} of {what}; expected {request.shapes[what]}"
            for what, array in found.items()
            if array.shape != request.shapes[what]
        ]
        if wrong:
            program.stop()
            return Trial(name, "wrong", place + "; ".join(wrong))
    return _ended(program, name, limit)


def _ended(program: Program, name: str, limit: float) -> Trial:
    ending = program.finish(b"", limit)
    if ending.written:
        reason = (
            f"behind its answer it wrote {quoted(ending.written)}; expected what its line announces and nothing else: "
            "other text belongs on standard error"
        )
    elif ending.status is None:
        reason = f"it does not end when its input ends; it was stopped after {limit:g} s"
    elif ending.status:
        reason = f"when its input ends, it {how_it_ended(ending.status)}; expected 0"
    else:
        return Trial(name, "ok")
    return Trial(name, "wrong", reason)


def _refused(program: Program, layer: Layer, limit: float) -> Trial:
    """Ask for a data type that few programs take, then for an ordinary layer."""
    name = _REFUSED
    try:
        program.ask(_request("forward", layer, "float16"), limit)
    except RefusedError:
        program.settle(_MOMENT)
    except TargetContractError as error:
        program.stop()
        return Trial(name, "wrong", f'data type float16: {error}; expected an answer, or "unsupported REASON"')
    try:
        program.ask(_request("forward", layer), limit)
    except TargetContractError as error:
        program.stop()
        return Trial(
            name,
            "wrong",
            f"after a request with the data type float16, the next one is answered wrongly: {error}; a program that "
            "answers unsupported must read the arrays all the same, or end",
        )
    return _ended(program, name, limit)


def _cut_short(program: Program, layer: Layer, limit: float) -> Trial:
    """End the input in the middle of a request."""
    name = "the input ends in the middle of a request"
    ending = program.finish(b"".join(_request("forward", layer).chunks)[:-8], limit)
    if ending.status is None:
        return Trial(name, "wrong", f"it does not end then; it was stopped after {limit:g} s")
    # With which status it ends is its own business.
    return Trial(name, "ok")
