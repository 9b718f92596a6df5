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
from convcheck.targets.choice import choose
from convcheck.targets.concurrency import OneThread
from convcheck.targets.isolation import Guarded, Unclosable, kept_settings
from convcheck.targets.loading import framework_refusal, last_line, user_traceback
from convcheck.targets.process.wire import (
    LONGEST_TEXT,
    Incoming,
    Mapped,
    Room,
    framed,
    read_arrays,
    receive,
    slot_of,
    told_of,
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
        # Of the libraries that are loaded; those that are not find it in the environment.
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
        self._came = Mapped(there)
        self._room = Room(back)
        self._files: dict[Path, ModuleType] = {}
        self._targets: dict[int, Guarded] = {}
        self._runs: dict[int, Run] = {}
        #: What their backward passes gave, where these were asked for by themselves.
        self._gave: dict[int, Sequence[Any]] = {}
        #: What was said last of each target.
        self._said: dict[int, tuple[bool, tuple[str, ...]]] = {}
        self._one_thread = OneThread()
        self._verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "open": self._open, "forward": self._forward, "merged": self._merged, "run": self._run,
            "backward": self._backward, "look": self._look, "second": self._second, "tangent": self._tangent,
        }  # fmt: skip

    def answer(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked for; what the code raises is an answer too."""
        for number in request["released"]:
            self._runs.pop(number, None)
            self._gave.pop(number, None)
        try:
            if verb == "call":
                function, arguments = _loads(request["function"])
                return self._sent(request, [np.frombuffer(_dumps(function(*arguments)).encode(), np.uint8)])
            if "layer" in request:
                layer = request["layer"] = _unpickled(request["layer"])
                self._one_thread.suit(layer)
            answer = self._verbs[verb](request)
            number = request["target"]
            target = self._targets[number]
            said = target.takes_bias(), tuple(target.found)
            if self._said.get(number) != said:
                self._said[number] = said
                answer = {**answer, "takes_bias": said[0], "found": said[1]}
            return answer
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
        x, weight, bias = self._lying(request)
        return self._sent(request, [self._targets[request["target"]].forward(request["layer"], x, weight, bias)])

    def _merged(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run several forward passes, with inputs of their own, or else with weights."""
        target, layer, copies = self._targets[request["target"]], request["layer"], request["copies"]
        x, weight, bias = self._lying(request)
        told = told_of(np.dtype(layer.dtype), (copies, *layer.output_shape))
        assert told is not None
        start, outputs = self._room.lend(request["number"], slot_of(told), request["answered"])
        target.each(layer, request["varies"], (x, weight, bias), outputs)
        return {"values": [told], "starts": [start]}

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        target, layer = self._targets[request["target"]], request["layer"]
        operands = Operands(*self._arrays(request))
        if request["of"] is None:
            run = target.run(layer, operands, _unpickled(request["how"]))
        else:
            run = target.onward(self._runs.get(request["of"]), layer, operands, new_memory=request["new_memory"])
        self._runs[request["run"]] = run
        answer: dict[str, Any] = {}
        if run.went_on:
            answer["went_on"] = True
        both = request["both"] and getattr(run.output, "shape", None) == layer.output_shape
        modified = run.modified() if request["phases"] or not both else ()
        if modified:
            answer["modified"] = modified
        # Sent now: the backward pass may write into it.
        sent = self._sent(request, [run.output])
        if not both:
            return {**answer, **sent}
        (told,), (start,) = sent["values"], sent["starts"]
        if isinstance(told, str):
            # Should the process end in the backward pass, the forward pass still counts.
            half = f"{request['number']} {start} {told}\n{','.join(modified)}\n"
            os.pwrite(self._halfway, half.encode(), 0)
        try:
            gradients = run.backward(None)
            if modified := run.modified():
                answer["modified_at_last"] = modified
        except BaseException as error:
            return {**answer, **sent, "raised_at_last": _told(error)}
        rest = self._sent(request, gradients)
        return {**answer, "values": sent["values"] + rest["values"], "starts": sent["starts"] + rest["starts"]}

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
        slots = [slot_of(one) for one in request["slots"] if one]
        arrays = iter(read_arrays(self._there, slots, request["start"]))
        return [one and next(arrays) for one in request["slots"]]

    def _lying(self, request: dict[str, Any]) -> list[Any]:
        """Return the same where they lie, for as long as the request is not answered."""
        slots = [slot_of(one) for one in request["slots"] if one]
        arrays = iter(self._came.arrays(slots, request["start"]))
        return [one and next(arrays) for one in request["slots"]]

    def _sent(self, request: dict[str, Any], values: Sequence[Any]) -> dict[str, Any]:
        """Put arrays where the judge finds them; return what an answer tells of them, and of what is no array."""
        told: list[Any] = []
        arrays = []
        for value in values:
            if value is None:
                told.append(None)
            elif isinstance(value, Misfit):
                told.append({"misfit": value.reason, "slug": value.slug})
            else:
                array = np.asarray(value)
                slot = told_of(array.dtype, array.shape)
                told.append(slot or {"foreign": str(array.dtype)[:100]})
                if slot:
                    arrays.append(np.ascontiguousarray(array))
        return {"values": told, "starts": [self._room.put(request["number"], arrays, request["answered"])]}


@lru_cache(maxsize=64)
def _unpickled(pickled: bytes) -> Any:
    """Return the layer of a request: the same object each time, since forms ask whether it is that of the pass before.

    What is computed once per layer is thereby kept too. So with how a pass is called.
    """
    return _loads(pickled)


def _told(error: BaseException) -> dict[str, Any]:
    """Return what an answer tells of an exception."""
    try:
        if isinstance(error, ConvcheckError):
            kind = "contract" if isinstance(error, TargetContractError) else "convcheck"
            kind = "refused" if isinstance(error, NotImplementedError) else kind
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
