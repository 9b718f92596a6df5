"""Where targets in another process are asked: several requests under way, and a new process when one has ended."""

from __future__ import annotations

import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from convcheck.errors import ConvcheckError, TargetError, UsageError
from convcheck.layer.arrays import Array
from convcheck.targets.process.host import Worker
from convcheck.targets.process.keepers import EndedError
from convcheck.targets.process.limits import USED_UP, Limits
from convcheck.targets.process.wire import (
    BrokenWireError,
    Slot,
    parsed,
    read_arrays,
    slot_of,
    starts_in,
    text_in,
    texts_in,
)
from convcheck.targets.programs.protocol import RefusedError
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import Misfit, TargetContractError, TargetRaisedError, TargetUnimplementedError

#: Bytes of plain data that a function may give.
_LONGEST = 2**26

#: What is said of an answer that is none.
UNUSABLE = "what the target's process sent cannot be used: {}"

#: Workers that may be started for one layer after its first has ended.
_RESTARTS = 2

#: Lists of texts that an answer may have, which are looked at before anything else is.
_LISTS = frozenset({"loaded", "takes", "unsaid", "untold", "inapplicable", "found", "modified", "modified_at_last"})

#: Requests that may be under way, and bytes of their arrays.
_AT_ONCE = 64
_MOST_AT_ONCE = 2**22

#: What is said of what is asked for after a stop.
_INTERRUPTED = "not run: the run was interrupted"

#: What is said of a backward pass whose forward pass is gone.
ENDED = "not run: the process of the forward pass has ended"


@dataclass(eq=False)
class Turn:
    """One layer's share of a worker.

    Attributes
    ----------
    left : float
        Seconds that it may still take.
    endings : int
        Workers that have ended at it.
    unusable : str or None
        Why it is given no further one.
    """

    left: float
    endings: int = 0
    unusable: str | None = None


@dataclass(eq=False)
class Asked:
    """A request to a target, and what came of it.

    Attributes
    ----------
    turn : Turn
        Of the layer that it is about.
    labels : sequence of str
        What the arrays of an answer are called.
    dtype : str
        Which they should have.
    most : int
        Entries that each may have.
    output : tuple of int, optional
        The shape of the output, where both passes are asked for: it may come alone.
    into : array, optional
        Takes the one array of the answer, where that is like it.
    generation : int
        Which worker it was sent to last.
    number : int
        Under which that one has it.
    answer : dict or None
        Once it has come.
    values : list
        The arrays of the answer, or what is there in their place.
    error : Exception or None
        What there is in place of an answer; raised once.
    """

    turn: Turn
    verb: str
    target: int
    request: dict[str, Any]
    arrays: Sequence[Array | None] = ()
    labels: Sequence[str] = ()
    dtype: str = ""
    most: int = 0
    output: tuple[int, ...] | None = None
    into: Array | None = None
    generation: int = 0
    number: int = 0
    answer: dict[str, Any] | None = None
    values: list[Any] = field(default_factory=list)
    error: Exception | None = None

    @cached_property
    def size(self) -> int:
        """Bytes of its arrays, about."""
        return sum(array.nbytes for array in self.arrays if array is not None)

    def fail(self, message: str) -> None:
        self.error = TargetContractError(message)

    def taken(self) -> Exception:
        """Return the error, which is kept no longer: with its traceback it would keep the worker alive."""
        error, self.error = self.error, TargetContractError("not run")
        assert error is not None
        return error


class Place:
    """Where targets are opened and run: a worker process, which several targets share, and the next when it has ended.

    Parameters
    ----------
    folder : Path
        Relative targets start here.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.generation = 0
        self.turn = Turn(limits.seconds)
        self._worker: Worker | None = None
        self._stopped = False
        self._released: list[int] = []
        self._opened: dict[int, int] = {}
        self._specs: dict[int, bytes] = {}
        #: What was said last of each target: whether it takes a bias, and what was found out about it.
        self.noted: dict[int, tuple[bool, list[str]]] = {}
        #: What is not answered.
        self._under_way: deque[Asked] = deque()
        self.numbers = count(1)

    def begin(self) -> None:
        """Prepare for another layer; what was asked of the last one may still be under way."""
        self.turn = Turn(self.limits.seconds)

    def open(self, spec: TargetSpec) -> tuple[int, dict[str, Any]]:
        """Open a target; return its number and what the worker says of it.

        Raises
        ------
        TargetError
            If it cannot be found, imported or used.
        """
        number = next(self.numbers)
        self._specs[number] = _portable(spec)
        try:
            return number, self._open(number, self.turn)
        except (TargetError, UsageError):
            raise
        except (ConvcheckError, TargetRaisedError) as error:
            raise TargetError(f'target "{spec.named}" cannot be imported:\n{error}') from error

    def _open(self, number: int, turn: Turn) -> dict[str, Any]:
        opened = Asked(turn, "open", number, {"spec": self._specs[number], "folder": str(self.folder)})
        self._send(opened)
        answer = self.wait(opened)
        self._opened[number] = opened.generation
        assert self._worker is not None
        for module in texts_in(answer, "loaded"):
            if module == "torch":
                self._worker.preload(module)
        return answer

    def ask(self, asked: Asked) -> None:
        """Ask something of a target, which is opened again in a new worker where the last one has ended."""
        while self._under_way and (
            len(self._under_way) >= _AT_ONCE
            or asked.size + sum(other.size for other in self._under_way) > _MOST_AT_ONCE
        ):
            self._receive()
        try:
            if self._worker is None or self._opened.get(asked.target) != self.generation:
                self._open(asked.target, asked.turn)
            self._send(asked)
        except (ConvcheckError, TargetRaisedError) as error:
            asked.error = error.with_traceback(None)

    def wait(self, asked: Asked) -> dict[str, Any]:
        """Return the answer.

        Raises
        ------
        ConvcheckError
            What the target raised, or how its process ended.
        """
        while asked.answer is None and asked.error is None:
            self._receive()
        if asked.error is not None:
            raise asked.taken()
        assert asked.answer is not None
        return asked.answer

    def call(self, function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
        """Return the plain data that a function of convcheck's gives, which runs somebody's code.

        Raises
        ------
        ConvcheckError, TargetRaisedError
            What the code raised, or how its process ended.
        """
        request = {"function": pickle.dumps((function, arguments))}
        asked = Asked(self.turn, "call", 0, request, labels=["text"], dtype="uint8", most=_LONGEST)
        self._send(asked)
        self.wait(asked)
        (text,) = asked.values
        try:
            if not isinstance(text, np.ndarray) or text.dtype != np.uint8:
                raise BrokenWireError("it is no text, or too long")
            return parsed(text.tobytes())
        except BrokenWireError as error:
            self.close()
            raise TargetContractError(UNUSABLE.format(error)) from None

    def _send(self, asked: Asked) -> None:
        if asked.turn.left <= 0:
            raise TargetContractError(USED_UP.format(self.limits.seconds))
        if self._worker is None:
            self._start(asked.turn)
        assert self._worker is not None
        released, self._released = self._released, []
        request = {**asked.request, "target": asked.target, "both": asked.output is not None, "released": released}
        asked.generation = self.generation
        asked.number = self._worker.send(asked.verb, request, asked.arrays)
        self._under_way.append(asked)

    def _receive(self) -> None:
        """Wait for the answer to the first request that is under way."""
        asked, worker = self._under_way.popleft(), self._worker
        assert worker is not None
        began = time.monotonic()
        try:
            asked.answer = worker.receive(asked.number, max(asked.turn.left, 0.0), asked.output)
            self._look_at(asked, worker)
        except EndedError as error:
            self._ended(asked, error)
        except (BrokenWireError, OSError, MemoryError) as error:
            message = UNUSABLE.format(error)
            worker.close(message)
            self._ended(asked, EndedError(message))
        except BaseException:
            for other in (asked, *self._under_way):
                other.fail(_INTERRUPTED)
            self._under_way.clear()
            self._worker = None
            raise
        finally:
            # Only the time in which it is waited for: the code may run while other things are done here.
            asked.turn.left -= time.monotonic() - began

    def _look_at(self, asked: Asked, worker: Worker) -> None:
        """Take what an answer holds; raises BrokenWireError if it is not allowed."""
        assert asked.answer is not None
        for key in _LISTS & asked.answer.keys():
            texts_in(asked.answer, key)
        if "found" in asked.answer:
            self.noted[asked.target] = asked.answer.get("takes_bias") is not False, texts_in(asked.answer, "found")
        raised = asked.answer.get("raised")
        if raised is not None:
            asked.error = raised_by(raised)
        elif asked.verb == "open" and asked.target not in self.noted:
            raise BrokenWireError("it does not say what was opened")
        elif asked.labels:
            told = asked.answer.get("values")
            if not isinstance(told, list) or len(told) not in {len(asked.labels), asked.output is None or 1}:
                raise BrokenWireError("it has not the arrays that were asked for")
            # The output is sent by itself where the backward pass follows.
            parts = [told] if asked.output is None or len(told) == 1 else [told[:1], told[1:]]
            asked.values, labels = [], iter(asked.labels)
            for part, start in zip(parts, starts_in(asked.answer, len(parts)), strict=True):
                slots = [slot_of(one) if isinstance(one, str) else None for one in part]
                sent = [slot for slot in slots if slot is not None]
                fits = all(slot.entries <= asked.most for slot in sent)
                place = asked.into
                if place is not None and [slot[:2] for slot in sent] != [(place.dtype, place.shape)]:
                    place = None
                arrays = iter(read_arrays(worker.back, sent, start, place) if fits else [None] * len(sent))
                asked.values += [
                    _value(one, slot, next(labels), asked.dtype, arrays) for one, slot in zip(part, slots, strict=True)
                ]
            if "raised_at_last" in asked.answer:
                raised_by(asked.answer["raised_at_last"])

    def _ended(self, asked: Asked, error: EndedError) -> None:
        """Note how the worker has ended at a request, and ask the next one for what is left."""
        self._worker, asked.answer = None, None
        asked.turn.endings += 1
        later = list(self._under_way)
        self._under_way.clear()
        if error.costly:
            asked.turn.unusable = str(error)
        if error.output is not None:
            told = {"kind": "contract", "text": str(error)}
            asked.answer = {"modified": list(error.modified), "raised_at_last": told}
            asked.values = [error.output]
        elif asked.request.get("of"):
            # An object that takes no further pass; a new one goes on.
            later.insert(0, asked)
        else:
            asked.fail(str(error))
        for other in later:
            if other.verb == "backward":
                other.fail(ENDED)
                continue
            if other.into is not None and asked.into is not None and other.into.base is asked.into.base:
                # The rest of the same.
                other.fail(str(error))
                continue
            if other.request.get("of"):
                other.request["of"] = 0
            self.ask(other)

    def _start(self, turn: Turn) -> None:
        if self._stopped:
            raise TargetContractError(_INTERRUPTED)
        if turn.unusable is not None:
            raise TargetContractError(f"not run: {turn.unusable}")
        if turn.endings > _RESTARTS:
            raise TargetContractError("not run: the target's process has ended too often on this layer")
        self.generation += 1
        self._released = []
        try:
            self._worker = Worker(self.limits)
        except EndedError as error:
            raise TargetContractError(str(error)) from None
        if self._stopped:
            # Meanwhile, from another thread, which did not see it.
            self.close()
            raise TargetContractError(_INTERRUPTED)

    def runs(self, generation: int) -> bool:
        """Whether the worker is still that of an earlier time."""
        return self._worker is not None and generation == self.generation

    def release(self, run: int, generation: int) -> None:
        """Let go of a forward pass that will not be asked about any more."""
        if generation == self.generation:
            self._released.append(run)

    def resume(self) -> None:
        """Start workers again after a stop."""
        self.close()
        self._stopped = False

    def stop(self) -> None:
        """End the worker from another thread than the one that uses it, and start no other one."""
        self._stopped = True
        worker = self._worker
        if worker is not None:
            worker.kill()

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        while self._under_way:
            self._under_way.popleft().fail(ENDED)

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


def _value(one: Any, slot: Slot | None, label: str, dtype: str, arrays: Iterator[Array | None]) -> Any:
    if slot is not None:
        array = next(arrays)
        return Misfit(f"{label} has shape {slot.shape}, which is far too large") if array is None else array
    if one is None:
        return None
    if not isinstance(one, dict):
        raise BrokenWireError("a value is of no known kind")
    if "misfit" in one:
        slug = one.get("slug")
        return Misfit(text_in(one, "misfit"), text_in(one, "slug") if slug is not None else None)
    foreign = text_in(one, "foreign")
    return Misfit(f"{label} has dtype {foreign}; expected {dtype}; give back the type that came in: .astype(x.dtype)")


def raised_by(raised: Any) -> Exception:
    """Return what the worker says that was raised; raises BrokenWireError if it says nothing of the kind."""
    if not isinstance(raised, dict):
        raise BrokenWireError("what was raised is no object")
    kind, text = raised.get("kind"), text_in(raised, "text")
    if kind in ("unimplemented", "raised"):
        refusal = None if raised.get("refusal") is None else text_in(raised, "refusal")
        error = TargetUnimplementedError if kind == "unimplemented" else TargetRaisedError
        return error(text_in(raised, "message"), text, refusal, text_in(raised, "last"))
    if kind == "refused":
        return RefusedError(text)
    return TargetError(text) if kind == "convcheck" else TargetContractError(text)


def _portable(spec: TargetSpec) -> bytes:
    """Return a mapping such that another process finds the code that it names.

    Raises
    ------
    UsageError
        If it is given as what other processes cannot find.
    """
    try:
        given = {key: _place_of(getattr(spec, key)) for key in ("call", "tensor", "forward", "backward")}
        return pickle.dumps(replace(spec, **given))
    except Exception as error:
        raise UsageError(
            f"the target {spec.named} cannot be sent to other processes; give it as module:name or "
            "path/to/file.py:name, or leave out what needs them, such as jobs"
        ) from error


def _place_of(code: Any) -> Any:
    """Return where code of the program that runs stands, since there it is called __main__; other code as it is."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    if getattr(code, "__module__", None) == "__main__" and file is not None:
        return f"{Path(file).resolve()}:{code.__qualname__}"
    return code
