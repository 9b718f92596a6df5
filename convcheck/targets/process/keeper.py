"""The process between the one that judges and the one that runs the code under test: it forks workers and ends them.

It has imported what every worker needs and never runs code of the user's, so that a fork of it is clean and quick. It
outlives its worker, so that nothing which that one leaves behind, such as child processes, stays; and it ends with all
of them when the process that judges does, however that ends.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import numpy.random  # noqa: F401 - every worker needs these, and imports them here once for all
import psutil
import threadpoolctl  # noqa: F401

from convcheck.targets.process import keepers
from convcheck.targets.process.hidden import hide_memory, prctl, read_no_memory
from convcheck.targets.process.wire import DISCONNECTED, WHERE, Incoming, framed
from convcheck.targets.process.worker import serve

#: prctl(2).
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

#: Seconds in which everything that a worker left behind must have ended.
_PATIENCE = 5.0

#: Seconds between two looks at that, and after how many looks it is found out which they are.
_MOMENT = 0.001
_MOMENTS = 5

#: What a worker gets: its connection, the files in which arrays come and go, where it prints, where it says where it
#: is, and where it says that it has got half way.
DESCRIPTORS = 6


def main(control: int) -> None:
    """Fork workers, one at a time, as the judge says over a socket, until that is closed."""
    hide_memory()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # Where the code under test has stopped it, it must go on when the judge is gone.
    prctl(_PR_SET_PDEATHSIG, signal.SIGCONT)
    connection = socket.socket(fileno=control)
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # The judge ends it, and nobody else.
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()
    _tell(connection, ready=True)
    worker = 0
    incoming = Incoming()
    while True:
        readable, _, _ = select.select([connection.fileno(), woken], [], [])
        if woken in readable:
            with suppress(BlockingIOError):
                os.read(woken, 4096)
            worker = _reap(connection, worker)
        if connection.fileno() not in readable:
            continue
        try:
            piece, descriptors, _, _ = socket.recv_fds(connection, 2**16, DESCRIPTORS)
        except OSError:
            piece, descriptors = b"", []
        if not piece:
            _end_all(worker)
            return
        incoming.add(piece)
        while (message := incoming.take()) is not None:
            order = json.loads(message)
            if "end" in order:
                _end_all(worker)
                worker = 0
                _tell(connection, ended=True)
            elif "preload" in order:
                with suppress(Exception):
                    __import__(order["preload"])
            else:
                worker = _fork(connection, order, descriptors, (woken, wake))
                for descriptor in descriptors:
                    os.close(descriptor)
                _tell(connection, pid=worker)


def _fork(connection: socket.socket, order: dict[str, Any], descriptors: Sequence[int], unneeded: Sequence[int]) -> int:
    keeper = os.getpid()
    worker = os.fork()
    if worker:
        return worker
    try:
        connection.close()
        for descriptor in unneeded:
            os.close(descriptor)
        _become_worker(keeper, order, list(descriptors))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


def _become_worker(keeper: int, order: dict[str, Any], descriptors: list[int]) -> NoReturn:
    signal.set_wakeup_fd(-1)
    for usual in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(usual, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    read_no_memory()
    # Debuggers and profilers may look at the code under test.
    hide_memory(hidden=False)
    if os.getppid() != keeper:
        os._exit(1)
    # Out of the way of code that closes or uses the first few descriptors.
    descriptors = [_moved(descriptor) for descriptor in descriptors]
    connection, there, back, printed, where, halfway = descriptors
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((null, 0), (printed, 1), (printed, 2)):
        os.dup2(descriptor, number)
    os.close(null)
    os.close(printed)
    # What the keeper's streams wrote to could be of another kind.
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        mode = "w" if number else "r"
        stream = open(number, mode, 1, "utf-8", "replace", closefd=False)  # noqa: SIM115 - as long as the process lives
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    faulthandler.enable(where, all_threads=False)
    faulthandler.register(WHERE, where, all_threads=False)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.path[:] = order["path"]
    keepers.is_worker = True
    # Of code that reads options when it is imported; the keeper's own are none for it.
    sys.argv[:] = ["convcheck"]
    with suppress(OSError):
        os.chdir(order["folder"])
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        # Where the system has no memory left, this process is the first to go.
        score.write("1000")
    if order["memory"] is not None:
        _limit_memory(order["memory"])
    try:
        serve(connection, there, back, where, halfway, order["threads"])
    except OSError:
        os._exit(DISCONNECTED)
    os._exit(0)


def _moved(descriptor: int) -> int:
    """Return the same as another descriptor, with a number above those that programs usually have."""
    import fcntl

    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 200)
    os.close(descriptor)
    return moved


def _limit_memory(size: int) -> None:
    """Let allocations fail that go beyond a number of bytes, on top of what there is already."""
    import resource

    used = psutil.Process().memory_info().vms
    with suppress(ValueError, OSError, AttributeError):
        resource.setrlimit(resource.RLIMIT_DATA, (used + size, used + size))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _reap(connection: socket.socket, worker: int) -> int:
    """Take note of processes that have ended; tell of the worker, and end what it left behind. Return the worker."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return 0
        if not pid:
            return worker
        if pid != worker:
            continue
        if os.WIFSTOPPED(status):
            _tell(connection, stopped=os.WSTOPSIG(status))
            continue
        _end_all(0)
        worker = 0
        _tell(connection, died=True, code=os.waitstatus_to_exitcode(status))


def _end_all(worker: int) -> None:
    """End the worker and all processes that came from it; those that lost their parent are this one's children."""
    if worker:
        with suppress(OSError):
            os.killpg(worker, signal.SIGKILL)
    ends = time.monotonic() + _PATIENCE
    looks = 0
    while not _childless() and time.monotonic() < ends:
        looks += 1
        # Most workers leave nothing, and end in a moment: to look for others takes longer.
        if looks > _MOMENTS:
            for child in _quietly(psutil.Process()):
                with suppress(psutil.Error):
                    child.kill()
        time.sleep(_MOMENT)


def _childless() -> bool:
    """Take note of processes that have ended; return whether none is left that came of this one."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _quietly(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _tell(connection: socket.socket, **words: Any) -> None:
    # Without a judge the next thing to be read is the end.
    with suppress(OSError):
        connection.sendall(framed(json.dumps(words).encode()))
