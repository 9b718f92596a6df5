"""The judge's side of a worker process: starting it, asking it, waiting for its answers, and ending it."""

from __future__ import annotations

import atexit
import os
import pickle
import select
import signal
import socket
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, NoReturn

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.threads import at_most
from convcheck.targets.process.keepers import (
    EndedError,
    give_back,
    keeper,
    memory_of,
    memory_of_files,
    uninterrupted,
)
from convcheck.targets.process.limits import Limits, free_memory
from convcheck.targets.process.wire import (
    DISCONNECTED,
    HALFWAY,
    LONGEST_ANSWER,
    SPAN,
    WHERE,
    BrokenWireError,
    Incoming,
    Room,
    framed,
    legible,
    parsed,
    read_arrays,
    shared_file,
    slot_of,
    texts_in,
    told_of,
)
from convcheck.targets.programs.one_shot import remove_folders_of
from convcheck.wording import visible

#: Seconds between two looks at how much memory a worker uses.
_TICK = 0.05

#: Seconds between two looks at how much those use that came of it.
_FAMILY_TICK = 0.5

#: Bytes of what a worker prints that are passed on, and that are kept as its last words.
_PASSED_ON = 2**16
_LAST_WORDS = 2000

#: Workers that have not ended.
_LIVE: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    with uninterrupted():
        for worker in list(_LIVE):
            worker.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_LIVE.clear)


class Worker:
    """A process in which somebody's code runs, and what it says.

    Raises
    ------
    EndedError
        If it cannot be started; and by every method from when it has ended.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._numbers = count(1)
        self._incoming = Incoming(LONGEST_ANSWER)
        self._words, self._line = bytearray(), b""
        self._passed_on = 0
        self._silent = False
        self._most_memory = free_memory() if limits.memory is None else limits.memory
        self._family_after = time.monotonic() + _FAMILY_TICK
        self.ended: str | None = None
        self._keeper = keeper()
        mine, its = socket.socketpair()
        heard, printed = os.pipe()
        self._connection, self._heard = mine, heard
        self.there, self.back, self._where, self._halfway = map(shared_file, (SPAN, SPAN, 0, 0))
        self._room = Room(self.there)
        #: The last request that was answered.
        self._answered = 0
        os.set_blocking(heard, False)
        order = {
            "environment": at_most(limits.threads, os.environ), "path": sys.path, "folder": _current_folder(),
            "memory": limits.memory, "threads": limits.threads,
        }  # fmt: skip
        try:
            self.pid = self._keeper.fork(
                order, [its.fileno(), self.there, self.back, printed, self._where, self._halfway]
            )
        except EndedError:
            self._keeper.kill()
            self._close_files()
            raise
        finally:
            its.close()
            os.close(printed)
        _LIVE.add(self)
        self._poll = select.poll()
        for descriptor in (mine.fileno(), heard, self._keeper.connection.fileno()):
            self._poll.register(descriptor, select.POLLIN)

    def send(self, verb: str, request: Mapping[str, Any], arrays: Sequence[Array | None]) -> int:
        """Send a request; return its number."""
        if self.ended is not None:
            raise EndedError(self.ended)
        try:
            number = next(self._numbers)
            whole = [np.ascontiguousarray(array) for array in arrays if array is not None]
            start = self._room.put(number, whole, self._answered)
            slots = [None if array is None else told_of(array.dtype, array.shape) for array in arrays]
            told = {**request, "number": number, "answered": self._answered, "start": start, "slots": slots}
            with suppress(OSError):
                self._connection.sendall(framed(pickle.dumps((verb, told))))
        except BaseException:
            self._interrupted()
            raise
        return number

    def receive(self, number: int, seconds: float, output: tuple[int, ...] | None = None) -> dict[str, Any]:
        """Wait for an answer; those to earlier requests have come.

        Parameters
        ----------
        seconds : float
            After which the worker is ended.
        output : tuple of int, optional
            Shape of the output, of a request for both passes, of which the worker may tell the first one by itself.
        """
        if self.ended is not None:
            raise EndedError(self.ended)
        self._half = number, output
        try:
            answer = parsed(self._answer(time.monotonic() + seconds))
            if answer.get("number") != number:
                raise BrokenWireError("it answers another request")
            self._answered = number
            return answer
        except BrokenWireError as error:
            self._fail(f"the target's process was ended, for what it sent to convcheck is no answer: {error}")
        except BaseException:
            self._interrupted()
            raise

    def _interrupted(self) -> None:
        # What it says later would be taken for another answer.
        self.close("the target's process was ended, for convcheck was interrupted")

    def _answer(self, ends: float) -> bytes:
        while (message := self._incoming.take()) is None:
            if self._receive():
                continue
            left = ends - time.monotonic()
            events = {descriptor for descriptor, _ in self._poll.poll(1000 * max(0.0, min(_TICK, left)))}
            if self._heard in events:
                self._listen()
            if self._connection.fileno() not in events and self._keeper.connection.fileno() in events:
                self._told(self._keeper.news())
            if not events:
                self._check_memory()
            if left <= 0:
                place = self._place(ask=True)
                self._fail(
                    f"the target did not return within its timeout of {self._limits.seconds:g} s; it was "
                    f"stopped{place}",
                    costly=True,
                )
        self._listen()
        return message

    def _receive(self) -> bool:
        """Take what the worker has sent; return whether there was any."""
        try:
            piece = self._connection.recv(2**16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""
        if not piece:
            self._lost()
        self._incoming.add(piece)
        return True

    def _lost(self) -> NoReturn:
        # It has ended, of which the keeper tells, or has closed the connection and goes on.
        ends = time.monotonic() + 1.0
        while time.monotonic() < ends:
            self._listen()
            select.select([self._keeper.connection], [], [], 0.05)
            if news := self._keeper.news():
                self._told(news)
        self._fail("the target's process has closed its connection to convcheck and was ended")

    def _told(self, news: Mapping[str, Any]) -> None:
        """Act on what the keeper says."""
        if "lost" in news:
            self._fail("the process that started the target's was ended, and the target's with it", costly=True)
        if "stopped" in news:
            self._fail(f"the target's process has stopped itself ({_signal(news['stopped'])}) and was ended")
        if "died" in news:
            self._listen()
            code = news["code"]
            if code == DISCONNECTED:
                self._fail("the target's process has lost its connection to convcheck, which it closed, and has ended")
            how = f"was ended by {_signal(-code)}" if code < 0 else f"has ended itself with exit status {code}"
            self._fail(f"the target's process {how}{self._place()}")

    def _check_memory(self) -> None:
        used = memory_of([self.pid])
        if used <= self._most_memory and time.monotonic() >= self._family_after:
            # To find the processes that came of it takes longer.
            self._family_after = time.monotonic() + _FAMILY_TICK
            family = self._keeper.family()
            used = memory_of(family)
            # Those that were forked share memory, which was counted several times.
            shared = used > self._most_memory
            if shared:
                used = memory_of(family, shared=True)
            used += memory_of_files(family, shared=shared, but=(self.there, self.back))
        if used > self._most_memory:
            self._fail(
                f"the target's process, with those that it started, used {used / 2**20:,.0f} MiB of memory, more than "
                f"its limit of {self._most_memory / 2**20:,.0f} MiB, and was ended{self._place(ask=True)}"
            )

    def _listen(self) -> None:
        """Pass on what the worker prints, up to some amount, and keep the end of it."""
        while not self._silent:
            try:
                piece = os.read(self._heard, 2**16)
            except BlockingIOError:
                return
            if not piece:
                self._poll.unregister(self._heard)
                self._silent = True
                return
            self._words = (self._words + piece)[-_LAST_WORDS:]
            if self._passed_on < _PASSED_ON:
                self._passed_on += len(piece)
                # Whole lines: what a CI system obeys could come in parts.
                whole, end, self._line = (self._line + piece).rpartition(b"\n")
                self._pass_on(whole + end)
                if self._passed_on >= _PASSED_ON:
                    self._pass_on(self._line + b"\n[the target prints more than is passed on]\n")
                    self._line = b""

    def _pass_on(self, printed: bytes) -> None:
        text = visible(printed.decode("utf-8", "replace").replace("\t", "    ").replace("\r\n", "\n"))
        with suppress(Exception):
            sys.stderr.write(text)
            sys.stderr.flush()

    def _place(self, *, ask: bool = False) -> str:
        """Return where the code was when it ended, or is, as the end of a sentence; nothing if that is not known."""
        if ask:
            with suppress(OSError):
                os.kill(self.pid, WHERE)
                time.sleep(0.1)
        with suppress(OSError):
            written = os.pread(self._where, 2**14, 0).decode("utf-8", "replace")
            lines = frames_of(written)
            if lines:
                return " here:\n" + "\n".join(lines)
        return ""

    def _fail(self, message: str, *, costly: bool = False) -> NoReturn:
        self._listen()
        words = legible(bytes(self._words).decode("utf-8", "replace")).strip()
        if words and "the target's process" in message:
            message += f"\nThe last that it printed:\n{words}"
        output, modified = self._output()
        self.close(message)
        raise EndedError(message, costly=costly, output=output, modified=modified)

    def _output(self) -> tuple[Array | None, list[str]]:
        """Return the output and what was written into, where the forward pass has run of a request for both."""
        number, shape = self._half
        with suppress(BrokenWireError, OSError, MemoryError, ValueError, OverflowError):
            first, modified, _ = os.pread(self._halfway, HALFWAY, 0).decode().split("\n", 2)
            of, start, told = first.split(" ", 2)
            slot = slot_of(told)
            if int(of) == number and slot.shape == shape:
                (output,) = read_arrays(self.back, [slot], int(start))
                return output, texts_in({"modified": modified.split(",")}, "modified")
        return None, []

    def close(self, why: str = "the target's process was ended") -> None:
        """End the worker, and everything that it left behind."""
        if self.ended is not None:
            return
        self.ended = why
        _LIVE.discard(self)
        self._connection.close()
        if self._keeper.end_worker():
            give_back(self._keeper)
        else:
            self.kill()
            self._keeper.kill()
        self._listen()
        if self._line:
            self._pass_on(self._line + b"\n")
        self._close_files()
        remove_folders_of(self.pid)

    def kill(self) -> None:
        """End the process, from any thread; the one that uses it learns of it."""
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def preload(self, module: str) -> None:
        """Let later workers find a module imported."""
        self._keeper.preload(module)

    def _close_files(self) -> None:
        for descriptor in (self._heard, self.there, self.back, self._where, self._halfway):
            with suppress(OSError):
                os.close(descriptor)
        self._connection.close()


def frames_of(written: str) -> list[str]:
    """Return the user's frames of what Python's faulthandler wrote, the last call last, with their lines of code."""
    import linecache
    import re

    from convcheck.targets.loading import is_internal

    frames = re.findall(r'^  File "(.+)", line (\d+) in (.+)$', written, re.MULTILINE)
    while frames and (frames[-1][0].startswith("<") or is_internal(frames[-1][0])):
        frames.pop()
    lines = []
    for file, number, name in reversed(frames):
        lines.append(f'  File "{visible(file)}", line {number}, in {visible(name)}')
        code = linecache.getline(file, int(number)).strip()
        lines += [f"    {visible(code)}"] if code else []
    return lines


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    said = signal.strsignal(number)
    return f"{name} ({said.partition(' (')[0].lower()})" if said else name


def _current_folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"
