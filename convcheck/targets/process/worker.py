"""The process that runs the code under test: it gets layers and arrays, and gives arrays.

What it says is looked at as anything that the code under test could have said. What it does to keep code that means no
harm from disturbing itself, such as setting back the current folder, it shares with runs in convcheck's own process.
"""

from __future__ import annotations

import ctypes
import json
import mmap
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
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.targets.choice import choose
from convcheck.targets.isolation import Guarded, Unclosable, kept_settings
from convcheck.targets.loading import framework_refusal, last_line, user_traceback
from convcheck.targets.process.wire import (
    HALFWAY,
    LONGEST_TEXT,
    PASSING,
    Incoming,
    Slot,
    framed,
    places,
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
        number, verb, request = _loads(message)
        answer = code.answer(verb, {**request, "number": number})
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        flush()
        if _getpid() != me:
            # A child that the code has forked and not ended.
            _exit(0)
        left = memoryview(framed(_dumps({"number": number, **answer}).encode()))
        while left:
            left = left[_write(connection, left) :]


class _Code:
    """The targets that were asked for, and the forward passes that can be followed by backward passes."""

    def __init__(self, there: int, back: int, halfway: int) -> None:
        self._there, self._back, self._halfway = there, back, halfway
        self._memory = mmap.mmap(-1, 1)
        self._files: dict[Path, ModuleType] = {}
        self._targets: dict[int, Guarded] = {}
        self._runs: dict[int, Run] = {}

    def answer(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked for; what the code raises is an answer too."""
        for number in request["released"]:
            self._runs.pop(number, None)
        try:
            if verb == "call":
                return self._call(request)
            verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
                "open": self._open, "forward": self._forward, "merged": self._merged, "run": self._run,
                "backward": self._backward, "again": self._again, "second": self._second, "tangent": self._tangent,
            }  # fmt: skip
            if request.get("layer") is not None:
                request = {**request, "layer": _layer(request["layer"])}
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
            "differentiable": found.differentiable,
        }  # fmt: skip

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a function of convcheck's that runs somebody's code, and give the plain data that it returns, as JSON."""
        function, arguments = _loads(request["function"])
        return {"values": self._sent([np.frombuffer(_dumps(function(*arguments)).encode(), np.uint8)])}

    def _forward(self, request: dict[str, Any]) -> dict[str, Any]:
        arrays: Any = self._arrays(request["slots"])
        x, weight, bias = arrays
        return {"values": self._sent([self._targets[request["target"]].forward(request["layer"], x, weight, bias)])}

    def _merged(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run several forward passes, with inputs of their own, or else with weights."""
        target, layer, copies = self._targets[request["target"]], request["layer"], request["copies"]
        arrays: Any = self._arrays(request["slots"])
        x, weight, bias = arrays
        outputs = np.empty((copies, *layer.output_shape), layer.dtype)
        for number in range(copies):
            at = x[number] if request["varies"] == "x" else x, weight if request["varies"] == "x" else weight[number]
            output = np.asarray(target.forward(layer, *at, bias))
            if output.shape != layer.output_shape or output.dtype != layer.dtype:
                # The one before was of the right kind.
                raise TargetContractError(
                    f"a further forward pass gives an output of shape {output.shape} and dtype {output.dtype}; "
                    f"expected {layer.output_shape} and {layer.dtype}"
                )
            outputs[number] = output
        return {"values": self._sent([outputs])}

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        target = self._targets[request["target"]]
        return self._done(request, target.run(request["layer"], self._operands(request), request["how"]))

    def _again(self, request: dict[str, Any]) -> dict[str, Any]:
        earlier, at = self._runs[request["of"]], self._operands(request)
        return self._done(request, earlier.again(at, request["layer"], new_memory=request["new_memory"]))

    def _done(self, request: dict[str, Any], run: Run) -> dict[str, Any]:
        self._runs[request["run"]] = run
        values = self._sent([run.output])
        answer = {"values": values, "modified": run.modified()}
        both: Slot | None = request["both"]
        if both is None or values != [{"dtype": both.dtype, "shape": list(both.shape)}]:
            return answer
        # Should the process end in the backward pass, the forward pass still counts.
        half = {"number": request["number"], "modified": answer["modified"]}
        os.pwrite(self._halfway, _dumps(half).encode().ljust(HALFWAY), 0)
        try:
            gradients = self._sent(run.backward(None), after=[both])
            return {**answer, "values": values + gradients, "modified_at_last": run.modified()}
        except BaseException as error:
            return {**answer, "raised_at_last": _told(error)}

    def _backward(self, request: dict[str, Any]) -> dict[str, Any]:
        run = self._runs[request["run"]]
        (grad_output,) = self._arrays(request["slots"])
        gradients = run.backward(None if grad_output is None else grad_output.copy())
        return {"values": self._sent(gradients), "modified": run.modified()}

    def _second(self, request: dict[str, Any]) -> dict[str, Any]:
        target = self._targets[request["target"]]
        return {"values": self._sent(target.second(request["layer"], *self._pair_of_operands(request)))}

    def _tangent(self, request: dict[str, Any]) -> dict[str, Any]:
        target = self._targets[request["target"]]
        return {"values": self._sent([target.tangent(request["layer"], *self._pair_of_operands(request))])}

    def _pair_of_operands(self, request: dict[str, Any]) -> tuple[Operands, Operands]:
        first, second = request["slots"][:4], request["slots"][4:]
        arrays: Any = [None if array is None else array.copy() for array in self._arrays([*first, *second])]
        return Operands(*arrays[:4]), Operands(*arrays[4:])

    def _arrays(self, slots: Sequence[Slot | None]) -> list[Array | None]:
        """Return the arrays that came with a request, in memory that the next request uses again."""
        given = [slot for slot in slots if slot is not None]
        starts, end = places(given)
        if len(self._memory) < end:
            self._memory = mmap.mmap(self._there, end, access=mmap.ACCESS_READ)
        found = iter(
            np.frombuffer(self._memory, np.dtype(slot.dtype), count=slot.size // np.dtype(slot.dtype).itemsize,
                          offset=start).reshape(slot.shape)
            for slot, start in zip(given, starts, strict=True)
        )  # fmt: skip
        return [None if slot is None else next(found) for slot in slots]

    def _operands(self, request: dict[str, Any]) -> Operands:
        # Copies: a run keeps them.
        return Operands(*(None if array is None else array.copy() for array in self._arrays(request["slots"])))  # type: ignore[arg-type]

    def _sent(self, values: Sequence[Any], after: Sequence[Slot] = ()) -> list[Any]:
        """Put arrays where the judge finds them; return what an answer tells of them, and of what is no array.

        Those that lie there already stay.
        """
        told: list[Any] = []
        arrays: list[Array] = []
        for value in values:
            if value is None:
                told.append(None)
                continue
            if isinstance(value, Misfit):
                told.append({"misfit": value.reason, "slug": value.slug})
                continue
            array = np.asarray(value)
            if array.dtype.isnative and array.dtype.name in PASSING:
                told.append({"dtype": array.dtype.name, "shape": list(array.shape)})
                arrays.append(array)
            else:
                told.append({"foreign": str(array.dtype)[:100]})
        write_arrays(self._back, arrays, after)
        return told


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
