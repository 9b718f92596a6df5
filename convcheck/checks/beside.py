"""Several searches at once, each in a process of its own, with code under test of its own.

Each draws other cases. One that has found something ends those that have tried as many cases, so that what is reported
depends on the seed and the number of searches alone, not on which of them is faster.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import IO, Any

from convcheck.checks.hunting import Case, Hunter, Tally
from convcheck.checks.pools import Subjects
from convcheck.checks.running import Progress
from convcheck.errors import TargetError
from convcheck.layer.layer import Layer
from convcheck.targets.probing import Probe

_START = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from convcheck.checks.beside import main; "
_START += "main()"

#: Shares of the work after which a search says how far it is.
_STEP = 0.01

#: Seconds that interrupted searches have to say what they tried.
_LAST_WORDS = 2.0


@dataclass(frozen=True)
class Search:
    """One of several searches, in a form that another process can be sent.

    Attributes
    ----------
    subjects : bytes
        The target, as `sendable` gives it.
    known : dict
        What was found out about it, without the target itself.
    near, seed, seconds, most, max_error, number
        As of `Hunter`.
    threads : int
        That its matrix products may use.
    """

    subjects: bytes
    known: dict[str, Any]
    near: Sequence[Layer]
    seed: int
    seconds: float
    most: float
    max_error: float | None
    threads: int
    number: int = 0


def search_beside(search: Search, count: int, progress: Progress, tried: Tally) -> Case | None:
    """Run a search in so many processes, which share its cases.

    Parameters
    ----------
    tried : Tally
        To which all that was tried is added, after an interruption too.

    Returns
    -------
    Case or None
        The case that took the fewest to find, of the first search where several took as many.

    Raises
    ------
    TargetError
        If a process ended before its search did.
    """
    share, left = (search.most, 0) if search.most == float("inf") else divmod(search.most, count)
    parts = [replace(search, number=n, most=share + (n < left)) for n in range(count)]
    news: SimpleQueue[tuple[int, Any]] = SimpleQueue()
    processes: list[subprocess.Popen[bytes]] = []
    found: dict[int, tuple[Case | None, Tally]] = {}
    shares = dict.fromkeys(range(count), 0.0)
    running = {part.number for part in parts if part.most}
    try:
        for part in (part for part in parts if part.most):
            processes.append(_started(part))
            threading.Thread(target=_listened, args=(part.number, processes[-1], news), daemon=True).start()
        while running - found.keys():
            number, said = news.get()
            if said is None:
                raise TargetError("a process that searched for failures ended abruptly; run with jobs=1 to see why")
            if isinstance(said, float):
                progress.advance((said - shares[number]) / count)
                shares[number] = said
                continue
            found[number] = said
            if said[0] is not None:
                _end(processes, said[1].cases)
    except KeyboardInterrupt:
        _end(processes, 1)
        ends = time.monotonic() + _LAST_WORDS
        with suppress(Empty):
            while running - found.keys():
                number, said = news.get(timeout=max(0.0, ends - time.monotonic()))
                if isinstance(said, tuple):
                    found[number] = said
                elif said is None:
                    running.discard(number)
        raise
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
        for number in sorted(found):
            tried.add(found[number][1])
    hits = [(tally.cases, number) for number, (case, tally) in found.items() if case is not None]
    return found[min(hits)[1]][0] if hits else None


def _end(processes: Sequence[subprocess.Popen[bytes]], cases: int) -> None:
    """Let searches end that have tried so many cases."""
    for process in processes:
        with suppress(OSError):
            _send(process.stdin, cases)


def _started(part: Search) -> subprocess.Popen[bytes]:
    # In a session of its own: Ctrl-C is this process' matter, which ends it. With -P, since what lies in the current
    # folder is the user's.
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    # One that has ended already says so where it is listened to.
    with suppress(OSError):
        _send(process.stdin, [folder for folder in sys.path if folder])
        _send(process.stdin, part)
    return process


def _send(stream: IO[bytes] | None, what: Any) -> None:
    assert stream is not None
    pickle.dump(what, stream)
    stream.flush()


def _listened(number: int, process: subprocess.Popen[bytes], news: SimpleQueue[tuple[int, Any]]) -> None:
    """Pass on what a search says: how far it is, and at last what it has found; None where it ends before."""
    said: Any = 0.0
    while isinstance(said, float):
        try:
            said = pickle.load(process.stdout)  # type: ignore[arg-type]
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            said = None
        news.put((number, said))


class _Told:
    """Tells how far a search is."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell, self._done, self._told = tell, 0.0, 0.0

    def start(self, total_work: float) -> None:
        pass

    def layer(self, name: str) -> None:
        pass

    def advance(self, work: float) -> None:
        self._done += work
        if self._done - self._told >= _STEP:
            self._told = self._done
            self._tell(self._done)


def main() -> None:
    """Run the search that comes on standard input, and say on standard output what it found."""
    from threadpoolctl import threadpool_limits

    from convcheck.targets.isolation import kept_state, output_to_stderr
    from convcheck.targets.process.hidden import hide_memory

    # What it says is taken for what it is.
    hide_memory()
    said = os.fdopen(os.dup(1), "wb")
    search: Search = pickle.load(sys.stdin.buffer)
    with output_to_stderr(), kept_state(), threadpool_limits(search.threads):
        subjects: Subjects = pickle.loads(search.subjects)
        (target,) = subjects.find()
        hunter = Hunter(
            Probe.known(target, search.known), search.near, seed=search.seed, seconds=search.seconds, most=search.most,
            max_error=search.max_error, progress=_Told(lambda share: _send(said, share)), number=search.number,
        )  # fmt: skip
        threading.Thread(target=_ended, args=(hunter,), daemon=True).start()
        case = hunter.drawn()
        target.close()
    _send(said, (case, hunter.tally))
    # The thread that listens cannot be ended otherwise.
    os._exit(0)


def _ended(hunter: Hunter) -> None:
    """Let a search end where another has found something, and at once where nobody waits for it any more."""
    while True:
        try:
            hunter.most = min(hunter.most, pickle.load(sys.stdin.buffer))
        except EOFError:
            os._exit(1)
