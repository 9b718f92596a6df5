"""The judge's side of the processes that start workers: starting them, telling them what to do, hearing of workers."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil

from convcheck.errors import ConvcheckError, Parameter, UsageError
from convcheck.layer.arrays import Array
from convcheck.layer.threads import BRIEFLY
from convcheck.targets.process.wire import Incoming, framed, legible

#: Seconds that a keeper may take to do what it is told.
_PATIENCE = 10.0

#: How a keeper is started: with ``-P``, and the folders of modules first, so that nothing is imported from where the
#: user's code is.
START = "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from convcheck.targets.process.keeper import main; "
START += "main(int(sys.argv[1]))"


#: Where Linux has files that lie in memory.
_IN_MEMORY = ("/memfd:", "/dev/shm/")


class EndedError(ConvcheckError):
    """The worker has ended or was ended before it answered.

    Attributes
    ----------
    costly : bool
        Whether a new worker would take long to end in the same way.
    output : array or None
        Of the forward pass, where the worker has ended in the backward pass.
    modified : list of str
        What the worker said then that the forward pass had written into.
    """

    def __init__(
        self, message: str, *, costly: bool = False, output: Array | None = None, modified: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.costly, self.output, self.modified = costly, output, modified


def supported() -> bool:
    """Whether this system can run code in a worker process."""
    needed = ((os, "fork"), (os, "pwritev"), (os, "preadv"), (socket, "send_fds"), (select, "poll"))
    return all(hasattr(module, name) for module, name in needed)


def require_support(*asked: str | Parameter) -> None:
    """Complain where code cannot run in a worker process and something needs that.

    Raises
    ------
    UsageError
        Beginning with what is asked for.
    """
    if not supported():
        raise UsageError(
            *asked, " needs a process of its own for the code under test, which works on Linux and on macOS from 11 on"
        )


class Keeper:
    """A process that forks workers, one at a time.

    Raises
    ------
    EndedError
        If it cannot be started; by `wait` if it then ends.
    """

    def __init__(self) -> None:
        self._incoming = Incoming()
        #: What it says until it is ready.
        self._words: IO[bytes] | None = tempfile.TemporaryFile()  # noqa: SIM115 - until it is ready
        self.connection, its = socket.socketpair()
        with its:
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-P", "-c", START, str(its.fileno()), json.dumps(_trusted_path())],
                    pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._words,
                    start_new_session=True, env={**dict([BRIEFLY]), **os.environ},
                )  # fmt: skip
            except OSError as error:
                self._words.close()
                self.connection.close()
                raise EndedError(f"a process for the target cannot be started: {error.strerror or error}") from error

    def wait(self) -> None:
        """Wait until it can be told what to do."""
        if self._words is None:
            return
        with self._words as words:
            self._words = None
            if not self._next(60.0).get("ready"):
                self.kill()
                words.seek(0)
                said = words.read().decode(errors="replace")
                raise EndedError(f"a process for the target cannot be started:\n{legible(said)}")

    def fork(self, order: Mapping[str, Any], descriptors: Sequence[int]) -> int:
        """Return the number of a new worker process; raises EndedError if there is none."""
        message = framed(json.dumps(order).encode())
        try:
            sent = socket.send_fds(self.connection, [message], descriptors)
            self.connection.sendall(message[sent:])
        except OSError as error:
            raise EndedError("the process that starts workers has ended") from error
        while news := self._next(_PATIENCE):
            if "pid" in news:
                pid: int = news["pid"]
                return pid
            if "lost" in news:
                break
        raise EndedError("the process that starts workers does not answer")

    def news(self) -> dict[str, Any]:
        """Return what the keeper says of its worker; {"lost": True} where it is gone itself."""
        return self._next(0.0)

    def end_worker(self) -> bool:
        """End the worker and all that came from it; return whether the keeper has done so."""
        with suppress(OSError):
            self.connection.sendall(framed(b'{"end": true}'))
            while news := self._next(_PATIENCE / 5):
                if "ended" in news or "lost" in news:
                    return "ended" in news
        return False

    def preload(self, module: str) -> None:
        """Let the keeper import what its workers will need."""
        with suppress(OSError):
            self.connection.sendall(framed(json.dumps({"preload": module}).encode()))

    def family(self) -> list[int]:
        """Return the numbers of its worker and of all processes that came of that."""
        with suppress(psutil.Error):
            return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]
        return []

    def kill(self) -> None:
        """End the keeper, and thereby its worker."""
        self.connection.close()
        if self._words is not None:
            # Not ready, and without a worker.
            self._words.close()
            self.process.kill()
        # It may have been stopped.
        with suppress(OSError):
            self.process.send_signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE / 5)
            return
        with suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
        self.process.kill()
        self.process.wait()

    def _next(self, seconds: float) -> dict[str, Any]:
        ends = time.monotonic() + seconds
        while (message := self._incoming.take()) is None:
            readable, _, _ = select.select([self.connection], [], [], max(0.0, ends - time.monotonic()))
            if not readable:
                return {}
            try:
                piece = self.connection.recv(4096)
            except OSError:
                piece = b""
            if not piece:
                return {"lost": True}
            self._incoming.add(piece)
        news: dict[str, Any] = json.loads(message)
        return news


def memory_of(processes: Iterable[int], *, shared: bool = False) -> int:
    """Return the bytes of memory that processes use; with ``shared``, what several use counts once, if it can."""
    used = 0
    for number in processes:
        with suppress(psutil.Error):
            process = psutil.Process(number)
            used += process.memory_info().rss
            if shared:
                of_all = process.memory_full_info()
                used += getattr(of_all, "pss", of_all.rss) - of_all.rss
    return used


def memory_of_files(processes: Iterable[int], *, shared: bool = False, but: Iterable[int] = ()) -> int:
    """Return the bytes of open files that lie in memory, beyond what `memory_of` counts of them, where Linux tells.

    Parameters
    ----------
    shared : bool, default False
        As `memory_of` was asked.
    but : iterable of int
        Descriptors of this process's of files that are left out.
    """
    left_out = {(status.st_dev, status.st_ino) for status in map(os.fstat, but)}
    sizes: dict[tuple[int, int], int] = {}
    mapped = 0
    for number in processes:
        with suppress(OSError):
            mapped += _told(number, "smaps_rollup", "Pss_Shmem") if shared else _told(number, "status", "RssShmem")
            for descriptor in os.scandir(f"/proc/{number}/fd"):
                with suppress(OSError):
                    if os.readlink(descriptor).startswith(_IN_MEMORY):
                        file = os.stat(descriptor)
                        sizes[file.st_dev, file.st_ino] = file.st_blocks * 512
    return max(0, sum(size for file, size in sizes.items() if file not in left_out) - mapped)


def _told(process: int, file: str, key: str) -> int:
    """Return the bytes that a file of a process's in ``/proc`` tells in kibibytes; 0 where it does not."""
    for line in Path(f"/proc/{process}/{file}").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    return 0


def _trusted_path() -> list[str]:
    """Return the folders in which this process finds modules, without those that stand for the current one."""
    return [folder for folder in sys.path if folder]


#: Keepers without a worker, to be used again; with the process that they belong to.
_IDLE: list[Keeper] = []
_LOCK = threading.RLock()


#: Whether this process is a worker itself.
is_worker = False


def keeper() -> Keeper:
    """Return a process that starts workers and has none; raises EndedError if there can be none."""
    if is_worker:
        # Each would import the code, and so start the next.
        raise EndedError(
            "code that runs in a process of its own starts another one, as a script does that is checked by itself; "
            'put what it runs under if __name__ == "__main__":'
        )
    with _LOCK:
        while _IDLE:
            one = _IDLE.pop()
            if one.process.poll() is None:
                break
            one.kill()
        else:
            one = Keeper()
    one.wait()
    return one


def start_ahead() -> None:
    """Start a process that starts workers while other things are done, where code will run in one soon."""
    # Whether it can be started is said when it is needed.
    with suppress(EndedError):
        if supported() and not _IDLE:
            give_back(Keeper())


def give_back(one: Keeper) -> None:
    """Keep one whose worker has ended, for the next."""
    with _LOCK:
        _IDLE.append(one)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let no further Ctrl-C interrupt a process that ends, in ending those that it has started."""
    before = None
    # Other threads than the main one get none.
    with suppress(ValueError):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


@atexit.register
def _end_idle() -> None:
    with uninterrupted(), _LOCK:
        while _IDLE:
            _IDLE.pop().kill()


def idle() -> list[int]:
    """Return the numbers of those that have no worker."""
    with _LOCK:
        return [one.process.pid for one in _IDLE]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_IDLE.clear)
