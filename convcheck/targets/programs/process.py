"""A program that is started once, and spoken to over its standard input and output."""

from __future__ import annotations

import io
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import psutil

from convcheck.errors import TargetError
from convcheck.layer.arrays import Array
from convcheck.targets.programs.cases import Cases
from convcheck.targets.programs.protocol import LONGEST_LINE, AnswerError, Request, announced, quoted
from convcheck.targets.target import TargetContractError
from convcheck.wording import counted, one_line

#: Bytes that every system's pipe takes without somebody reading at its other end.
_LEAST_PIPE = 8192

#: Bytes that are asked for where the system lets one ask: starting a thread costs more than a small pass.
_WANTED_PIPE = 1 << 20

#: Bytes of standard error that are read at once.
_CHUNK = 4096

#: Bytes of a program's standard error that messages repeat.
_LAST_WORDS = 2000

#: Seconds that a program gets to end by itself when its input ends.
_GRACE = 1.0

#: Milliseconds between two looks whether a program that does not answer has ended.
_TICK = 100

#: Where a program that computes on a device finds its name, in its environment.
DEVICE = "CONVCHECK_DEVICE"

#: What runs a script that may not be run by itself.
_RUN_BY = {".py": "python3", ".js": "node", ".jl": "julia", ".m": "octave", ".sh": "sh", ".rb": "ruby"}


class Program:
    """A program that answers requests until its input ends; it is started with the first.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    folder : Path
        Where it is started.
    cases : Cases, optional
        Where requests that go wrong are kept.
    echo : bool, default True
        Whether what it writes to standard error is passed on to convcheck's.
    device : str, optional
        On which it is to compute, of which it is told.

    Raises
    ------
    TargetError
        If there is no such program, or it may not be run.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, cases: Cases | None = None, *, echo: bool = True,
        device: str | None = None,
    ) -> None:  # fmt: skip
        self.command = [find_program(command, folder), *command[1:]]
        self._folder, self._cases, self._echo, self._device = folder, cases, echo, device
        self._process: _Process | None = None
        self._may_have_ended = False

    def ask(self, request: Request, limit: float | None = None) -> dict[str, Array]:
        """Send a request and return the arrays of its answer.

        Parameters
        ----------
        limit : float, optional
            Seconds after which the program is stopped.

        Raises
        ------
        RefusedError
            If the program says that it does not take the layer.
        TargetContractError
            If it says that it failed; an `AnswerError` if it breaks the protocol or ends.
        TargetError
            If it cannot be started.
        """
        with nullcontext() if self._cases is None else self._cases.watching(request, _write_request):
            try:
                try:
                    found = self._exchange(request, limit)
                except AnswerError as error:
                    if not (error.silent and self._may_have_ended):
                        raise
                    # One that has no use for the arrays of a layer that it does not take may end instead.
                    self.stop()
                    found = self._exchange(request, limit)
            except BaseException as error:
                kept_to_protocol = isinstance(error, TargetContractError) and not isinstance(error, AnswerError)
                self._may_have_ended = kept_to_protocol
                if not kept_to_protocol:
                    # Its next answer could be this one's.
                    self.stop()
                raise
            self._may_have_ended = False
            if self._cases is not None:
                self._cases.look(request, found)
        return found

    def settle(self, seconds: float) -> None:
        """Wait whether a program that has refused ends; if not, it must answer the next request."""
        if self._process is not None and self._process.ends_within(seconds):
            self.stop()
        self._may_have_ended = False

    def finish(self, begun: bytes, limit: float) -> Ending:
        """Send the beginning of a request, end the program's input there, and see how the program ends.

        Parameters
        ----------
        limit : float
            Seconds after which it is stopped.
        """
        process = self._process or self._start()
        self._process = None
        return process.finish(begun, limit)

    def stop(self) -> None:
        """End the program at once; another request starts it again."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def _start(self) -> _Process:
        return _Process(self.command, self._folder, echo=self._echo, device=self._device)

    def _exchange(self, request: Request, limit: float | None) -> dict[str, Array]:
        if self._process is None:
            self._process = self._start()
        return self._process.exchange(request, limit)


class Ending(NamedTuple):
    """How a program ended when its input did.

    Attributes
    ----------
    status : int or None
        Its exit status; None if it had to be stopped.
    written : bytes
        The beginning of what it still wrote.
    """

    status: int | None
    written: bytes


class _Process:
    """A running program."""

    def __init__(self, command: Sequence[str], folder: Path, *, echo: bool, device: str | None) -> None:
        pipe = subprocess.PIPE
        try:
            # In convcheck's own session: what ends that ends the program as well.
            self._popen = subprocess.Popen(
                command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=environment(device)
            )
        except OSError as error:
            raise cannot_run(command[0], error) from error
        assert self._popen.stdin is not None
        assert isinstance(self._popen.stdout, io.FileIO)
        assert self._popen.stderr is not None
        self._input, self._output = self._popen.stdin, self._popen.stdout
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(self._output, select.POLLIN)
        self._last_words = LastWords(self._popen.stderr, echo=echo)
        self._close = weakref.finalize(self, _end, self._popen, self._last_words)
        # Of the request before this one, which was answered, just as much may still be unread.
        self._fits = _pipe_size(self._input.fileno()) // 2
        self._timed_out = ""
        self._writer: threading.Thread | None = None

    def stop(self) -> None:
        kill_with_children(self._popen)
        self._close()

    def ends_within(self, seconds: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        return self._popen.returncode is not None

    def exchange(self, request: Request, limit: float | None) -> dict[str, Array]:
        """Send a request and read its answer, which may begin before all of the request is read."""
        timer = None if limit is None else self._limited(limit)
        try:
            chunks = request.chunks
            # A program may have answered the request before this one and still be reading it.
            earlier = self._writer if self._writer is not None and self._writer.is_alive() else None
            if earlier is None and sum(map(len, chunks)) <= self._fits:
                _write(self._input, [memoryview(b"".join(chunks))])
            else:
                self._writer = threading.Thread(target=_write, args=(self._input, chunks, earlier), daemon=True)
                self._writer.start()
            return self._answer(request)
        finally:
            if timer is not None:
                timer.cancel()

    def finish(self, begun: bytes, limit: float) -> Ending:
        """See `Program.finish`."""
        timer = self._limited(limit)
        written, chunk = bytearray(), memoryview(bytearray(_CHUNK))
        try:
            _write(self._input, [memoryview(begun)])
            with suppress(OSError):
                self._input.close()
            while size := self._read(chunk):
                written += chunk[: min(size, LONGEST_LINE - len(written))]
            status = self._popen.wait()
        finally:
            timer.cancel()
        self._close()
        return Ending(None if self._timed_out else status, bytes(written))

    def _limited(self, limit: float) -> threading.Timer:
        def stop() -> None:
            self._timed_out = f"was stopped after {limit:g} s"
            kill_with_children(self._popen)

        timer = threading.Timer(limit, stop)
        timer.start()
        return timer

    def _read(self, memory: memoryview) -> int:
        """Wait for some of what the program writes; 0 where there will be no more."""
        while self._poll is not None and not self._poll.poll(_TICK):
            # What the program has started may go on, with the same standard output.
            if self._popen.poll() is not None and not self._poll.poll(0):
                return 0
        return self._output.readinto(memory) or 0

    def _answer(self, request: Request) -> dict[str, Array]:
        begun, chunk = b"", memoryview(bytearray(1 << 16))
        while b"\n" not in begun:
            size = self._read(chunk)
            begun += chunk[:size]
            if not size:
                raise self._no_line(begun)
            if b"\n" not in begun and len(begun) > LONGEST_LINE:
                raise AnswerError(
                    f"the program wrote {counted(len(begun), 'byte')} without a newline, beginning with "
                    f"{quoted(begun)}; expected {request.expected}",
                    begun,
                )
        line, _, rest = begun.partition(b"\n")
        found = {}
        for name, count in announced(line, request, begun).items():
            array = found[name] = np.empty(count, request.dtype)
            view = array.view(np.uint8).data
            done = min(len(rest), len(view))
            view[:done], rest = rest[:done], rest[done:]
            while done < len(view):
                got = self._read(view[done:])
                if not got:
                    whole = line + b"\n" + b"".join(a.tobytes() for a in found.values())
                    raise AnswerError(
                        f"the program {self._ending()} after {done:,} of the {len(view):,} bytes of {name}, of which "
                        f"its line {quoted(line)} announces {counted(count, 'entry', 'entries')}{self._last_words}",
                        whole[: len(whole) - len(view) + done],
                    )
                done += got
        if rest:
            raise AnswerError(
                f"the program wrote {counted(len(rest), 'byte')} more than its line {quoted(line)} announces, "
                f"{quoted(rest)}; standard output is for answers alone, other text belongs on standard error",
                begun,
            )
        return request.shaped(found)

    def _no_line(self, begun: bytes) -> AnswerError:
        if begun:
            what = f"in the middle of its answer's line, {quoted(begun)}; does it write the newline, and flush?"
        elif self._timed_out:
            what = "without an answer; does it read just what is sent, and flush standard output after each answer?"
        else:
            what = "without an answer; expected one to every request, until its input ends"
        silent = not begun and not self._timed_out
        return AnswerError(f"the program {self._ending()} {what}{self._last_words}", begun, silent=silent)

    def _ending(self) -> str:
        if self._timed_out:
            return self._timed_out
        status = None
        with suppress(subprocess.TimeoutExpired):
            status = self._popen.wait(_GRACE)
        # While that is waited for, its time may come to an end.
        return "closed its standard output" if status is None or self._timed_out else how_it_ended(status)


class LastWords:
    """What a program writes to standard error: passed on as it comes, and the end of it kept."""

    def __init__(self, stream: IO[bytes], *, echo: bool = True) -> None:
        self._stream, self._echo, self._kept = stream, echo, bytearray()
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        with suppress(OSError, ValueError):
            while chunk := self._stream.read(_CHUNK):
                self._kept += chunk
                del self._kept[:-_LAST_WORDS]
                if not self._echo:
                    continue
                with suppress(OSError, ValueError, AttributeError):
                    sys.stderr.write(chunk.decode("utf-8", "replace"))
                    sys.stderr.flush()

    def close(self) -> None:
        """Wait until all is read of a program that has ended; not for what its own children may still write."""
        self._thread.join(_GRACE)
        if not self._thread.is_alive():
            self._stream.close()

    def __str__(self) -> str:
        self._thread.join(0.05)
        text = bytes(self._kept).decode("utf-8", "replace").strip()
        return f"\nthe last it wrote on standard error:\n{text}" if text else ""


def find_program(command: Sequence[str], folder: Path) -> str:
    """Return what starts a program, complaining now if there is none.

    Raises
    ------
    TargetError
        If it is not there, or may not be run.
    """
    word, target = command[0], f"target {named(command)}"
    if os.sep not in word and not (os.altsep and os.altsep in word):
        found = shutil.which(word)
        if found is None:
            beside = f'; for the one in {folder} write "./{word}"' if (folder / word).is_file() else ""
            raise TargetError(f"{target}: there is no program {word} on the PATH; install it, or give its path{beside}")
        return found
    path = folder / word
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise TargetError(f"{target}: {path} {what}; expected a program: build it first, or correct the path")
    if not os.access(path, os.X_OK):
        by = _RUN_BY.get(path.suffix)
        hint = f", or name what runs it, as in [{by}, {word}]" if by else ""
        raise TargetError(f"{target}: {path} is not executable; make it so with chmod +x{hint}")
    return str(path.absolute())


def named(command: Sequence[str]) -> str:
    """Return what reports call a program."""
    return one_line(" ".join(command))


def cannot_run(program: str, error: OSError) -> TargetError:
    """Return the error of a program that is there and does not start."""
    script = '; a script needs a first line such as "#!/usr/bin/env python3", or what runs it in front'
    return TargetError(f"{program} cannot be run: {error.strerror or error}{script}")


def how_it_ended(status: int) -> str:
    """Return how a program ended, by its exit status as `subprocess` has it."""
    if status >= 0:
        return f"ended with exit status {status}"
    with suppress(ValueError):
        return f"was ended by the signal {signal.Signals(-status).name}"
    return f"was ended by the signal {-status}"


def environment(device: str | None) -> dict[str, str] | None:
    """Return the environment of a program that computes on a device; None for convcheck's own."""
    return None if device is None else {**os.environ, DEVICE: device}


def kill_with_children(popen: subprocess.Popen[bytes]) -> None:
    """End a program at once, and what it has started."""
    with suppress(psutil.Error):
        for child in psutil.Process(popen.pid).children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    popen.kill()


def _pipe_size(descriptor: int) -> int:
    """Return how many bytes a pipe holds, after having asked for more."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _WANTED_PIPE)
        return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
    return _LEAST_PIPE


def _write(stream: IO[bytes], chunks: Sequence[memoryview], earlier: threading.Thread | None = None) -> None:
    if earlier is not None:
        earlier.join()
    # That a program has ended is told of where its answer is read.
    with suppress(OSError, ValueError):
        for chunk in chunks:
            done = 0
            while done < len(chunk):
                done += stream.write(chunk[done:]) or 0


def _write_request(request: Request, folder: Path) -> None:
    (folder / "request.bin").write_bytes(b"".join(request.chunks))


def _end(popen: subprocess.Popen[bytes], last_words: LastWords) -> None:
    """End the program's input, and the program itself if it does not take the hint."""
    assert popen.stdin is not None
    assert popen.stdout is not None
    with suppress(OSError):
        popen.stdin.close()
    popen.stdout.close()
    try:
        popen.wait(_GRACE)
    except subprocess.TimeoutExpired:
        kill_with_children(popen)
        popen.wait()
    last_words.close()
