"""The process that runs the code under test: it gets layers and arrays, and gives arrays.

What it says is looked at as anything that the code under test could have said. What it does to keep code that means no
harm from disturbing itself, such as setting back the current folder, it shares with runs in convcheck's own process.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO, cast

import numpy as np

from convcheck.errors import ConvcheckError
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.targets.choice import choose
from convcheck.targets.isolation import Guarded, Unclosable, kept_settings
from convcheck.targets.loading import framework_refusal, last_line, user_traceback
from convcheck.targets.merging import run_each
from convcheck.targets.process.wire import (
    HALFWAY,
    LONGEST_TEXT,
    PASSING,
    Incoming,
    Room,
    Slot,
    framed,
    name_of,
    read_arrays,
    receive,
    write_arrays,
)
from convcheck.targets.target import Misfit, Run, TargetContractError

# The code under test may replace what modules hold.
_write, _getpid, _exit, _dumps, _loads = os.write, os.getpid, os._exit, json.dumps, pickle.loads


def serve(connection: int, there: int, back: int, where: int, halfway: int, threads: int | None) -> None:
    """Answer requests until there are none.

    Parameters
    ----------
    connection : int
        Descriptor of the socket over which requests come and answers go.
    there, back : int
        Shared files in which arrays come, and go.
    where : int
        File in which it is written where the code was when it was stopped.
    halfway : int
        File in which it is written that the forward pass has run, of a request for both.
    threads : int or None
        That matrix products may use.
    """
    if threads is not None:
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)
    # Which code that takes it for its own can close.
    sys.stdout = cast(TextIO, Unclosable())
    np.random.seed()  # noqa: NPY002 - every fork has the same state
    code, incoming, me = _Code(there, back, halfway), Incoming(), _getpid()
    flush = _flusher()
    while (message := receive(connection, incoming)) is not None:
        os.truncate(where, 0)
        verb, request = _loads(message)
        answer = code.answer(verb, request)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        flush()
        if _getpid() != me:
            # A child that the code has forked and not ended.
            _exit(0)
        left = memoryview(framed(_dumps({"number": request["number"], **answer}).encode()))
        while left:
            left = left[_write(connection, left) :]


class _Code:
    """The targets that were asked for, and the forward passes that can be followed by backward passes."""

    def __init__(self, there: int, back: int, halfway: int) -> None:
        self._there, self._halfway = there, halfway
        self._room = Room(back)
        self._files: dict[Path, ModuleType] = {}
        self._targets: dict[int, Guarded] = {}
        self._runs: dict[int, Run] = {}
        #: What their backward passes gave, where these were asked for by themselves.
        self._gave: dict[int, Sequence[Any]] = {}

    def answer(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked for; what the code raises is an answer too."""
        for number in request["released"]:
            self._runs.pop(number, None)
            self._gave.pop(number, None)
        try:
            if verb == "call":
                function, arguments = _loads(request["function"])
                return self._sent(request, [np.frombuffer(_dumps(function(*arguments)).encode(), np.uint8)])
            verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
                "open": self._open, "forward": self._forward, "merged": self._merged, "run": self._run,
                "backward": self._backward, "look": self._look, "second": self._second, "tangent": self._tangent,
            }  # fmt: skip
            if "layer" in request:
                request["layer"] = _layer(request["layer"])
            answer = verbs[verb](request)
            target = self._targets[request["target"]]
            return {**answer, "takes_bias": target.takes_bias(), "found": list(target.found)}
        except BaseException as error:
            return {"raised": _told(error)}

    def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        with kept_settings():
            found = choose(_loads(request["spec"]), Path(request["folder"]), self._files)
        self._targets[request["target"]] = Guarded(found)
        loaded = [name for name in ("torch",) if name in sys.modules]
        return {
            "unsaid": sorted(found.unsaid), "untold": sorted(found.untold), "loaded": loaded,
            "takes": sorted(found.takes), "inapplicable": list(found.inapplicable),
            "differentiable": found.differentiable, "room": found.room,
        }  # fmt: skip

    def _forward(self, request: dict[str, Any]) -> dict[str, Any]:
        x, weight, bias = self._arrays(request)
        return self._sent(request, [self._targets[request["target"]].forward(request["layer"], x, weight, bias)])

    def _merged(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run several forward passes, with inputs of their own, or else with weights."""
        target, layer, copies = self._targets[request["target"]], request["layer"], request["copies"]
        x, weight, bias = self._arrays(request)
        forward, varies = target.unguarded.forward, request["varies"]
        return self._sent(request, [target.call(lambda: run_each(forward, layer, varies, (x, weight, bias), copies))])

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        target, layer = self._targets[request["target"]], request["layer"]
        operands = Operands(*self._arrays(request))
        if request["of"] is None:
            run = target.run(layer, operands, request["how"])
        else:
            run = target.onward(self._runs.get(request["of"]), layer, operands, new_memory=request["new_memory"])
        self._runs[request["run"]] = run
        answer: dict[str, Any] = {"modified": run.modified(), "went_on": run.went_on}
        if not request["both"] or getattr(run.output, "shape", None) != layer.output_shape:
            return {**answer, **self._sent(request, [run.output])}
        # A copy: the backward pass may write into it.
        output = np.array(run.output)
        # Should the process end in the backward pass, the forward pass still counts.
        half = {"number": request["number"], "modified": answer["modified"], **_told_of(output)}
        os.pwrite(self._halfway, _dumps(half).encode().ljust(HALFWAY), 0)
        if "dtype" in half:
            write_arrays(self._halfway, [output], HALFWAY)
        try:
            gradients = run.backward(None)
            answer["modified_at_last"] = run.modified()
        except BaseException as error:
            return {**answer, **self._sent(request, [output]), "raised_at_last": _told(error)}
        return {**answer, **self._sent(request, [output, *gradients])}

    def _backward(self, request: dict[str, Any]) -> dict[str, Any]:
        run = self._runs[request["run"]]
        (grad_output,) = self._arrays(request)
        gradients = self._gave[request["run"]] = run.backward(grad_output)
        return {**self._sent(request, gradients), "modified": run.modified()}

    def _look(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send what a run gave as it is now."""
        number = request["run"]
        return self._sent(request, [self._runs[number].output, *self._gave.get(number, (None, None, None))])

    def _second(self, request: dict[str, Any]) -> dict[str, Any]:
        target = self._targets[request["target"]]
        return self._sent(request, target.second(request["layer"], *self._pair_of_operands(request)))

    def _tangent(self, request: dict[str, Any]) -> dict[str, Any]:
        target = self._targets[request["target"]]
        return self._sent(request, [target.tangent(request["layer"], *self._pair_of_operands(request))])

    def _pair_of_operands(self, request: dict[str, Any]) -> tuple[Operands, Operands]:
        arrays = self._arrays(request)
        return Operands(*arrays[:4]), Operands(*arrays[4:])

    def _arrays(self, request: dict[str, Any]) -> list[Any]:
        """Return the arrays that came with a request."""
        slots = [slot and Slot(*slot) for slot in request["slots"]]
        arrays = iter(read_arrays(self._there, [slot for slot in slots if slot], request["start"]))
        return [slot and next(arrays) for slot in slots]

    def _sent(self, request: dict[str, Any], values: Sequence[Any]) -> dict[str, Any]:
        """Put arrays where the judge finds them; return what an answer tells of them, and of what is no array."""
        given = [value if value is None or isinstance(value, Misfit) else np.asarray(value) for value in values]
        told = [_told_of(value) for value in given]
        arrays: list[Any] = [array for array, one in zip(given, told, strict=True) if "dtype" in one]
        start, _ = self._room.put(request["number"], arrays, request["answered"])
        return {"values": [one or None for one in told], "start": start}


def _told_of(value: Any) -> dict[str, Any]:
    """Return what an answer tells of an array, and of what is none; without ``dtype``, it is not sent."""
    if value is None:
        return {}
    if isinstance(value, Misfit):
        return {"misfit": value.reason, "slug": value.slug}
    if value.dtype.isnative and name_of(value.dtype) in PASSING:
        return {"dtype": name_of(value.dtype), "shape": list(value.shape)}
    return {"foreign": str(value.dtype)[:100]}


@lru_cache(maxsize=64)
def _layer(pickled: bytes) -> Layer:
    """Return the layer of a request: the same object each time, since forms ask whether it is that of the pass before.

    What is computed once per layer is thereby kept too.
    """
    layer: Layer = _loads(pickled)
    return layer


def _told(error: BaseException) -> dict[str, Any]:
    """Return what an answer tells of an exception."""
    try:
        if isinstance(error, ConvcheckError):
            kind = "contract" if isinstance(error, TargetContractError) else "convcheck"
            return {"kind": kind, "text": str(error)[: 4 * LONGEST_TEXT]}
        return {
            "kind": "unimplemented" if isinstance(error, NotImplementedError) else "raised",
            "message": str(error)[:LONGEST_TEXT],
            "text": user_traceback(error)[-2 * LONGEST_TEXT :],
            "refusal": framework_refusal(error),
            "last": last_line(error),
        }
    except BaseException:
        # An exception that cannot even be shown.
        name = type(error).__name__
        return {"kind": "raised", "message": name, "text": name, "refusal": None, "last": name}


def _flusher() -> Callable[[], object]:
    """Return what writes out the text that compiled code has printed."""
    try:
        flush = ctypes.CDLL(None).fflush
    except (OSError, AttributeError, TypeError):
        return lambda: None
    return lambda: flush(None)
