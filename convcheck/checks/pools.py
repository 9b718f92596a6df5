"""Where batches of orders are carried out: here, in threads of this process, or by anybody's executor."""

from __future__ import annotations

import logging
import os
import pickle
import queue
import re
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from convcheck.checks.parts import Order, Outcome, carry_out
from convcheck.checks.processes import Carrier
from convcheck.errors import Parameter, TargetError, UsageError
from convcheck.gradients import FORMULATIONS
from convcheck.targets import builtin, resolve
from convcheck.targets.process.limits import IN_PROCESS, Limits
from convcheck.targets.target import Target
from convcheck.version import __version__

#: Workers that may be asked for on this machine: more than it has cores, fewer than would leave no room for others.
MOST_WORKERS = 1024

#: What names an executor. Dask's client is given nothing but an address: what is none leaves a thread behind that keeps
#: the process from ending.
_EXECUTOR = re.compile(
    r"dask://(?:\[[^\s\[\]]+\]|[^\s\[\]/:]+):(?P<port>[0-9]{1,5})|loky://(?P<count>[0-9]{1,5})|mpi://"
)

#: Seconds that a thread may take to end once it is not wanted any more.
_PATIENCE = 2.0

#: Seconds in which a cluster has to answer.
_ANSWER = 30.0


@dataclass(frozen=True)
class Subjects:
    """What is checked, in a form that another process can find again.

    Attributes
    ----------
    target : str, mapping, callable or None
        None for the built-in formulations.
    folder : Path
        A relative target starts here.
    device
        As given to `verify`.
    limits : Limits
        Where the target runs, and what it may use there.
    formulations : tuple of str
        Which are checked without a target; all if it is empty.
    """

    target: Any
    folder: Path
    device: str | None = None
    limits: Limits = IN_PROCESS
    formulations: tuple[str, ...] = ()

    def find(self, beside: Target | None = None) -> tuple[Target, ...]:
        """Return the formulations, or the target; it shares what one that was found before runs in.

        Raises
        ------
        TargetError
            If the target cannot be found, imported or used.
        """
        if self.target is None:
            return tuple(builtin(name) for name in self.formulations or FORMULATIONS)
        return (resolve(self.target, self.folder, device=self.device, limits=self.limits, beside=beside),)


@dataclass(frozen=True)
class Batch:
    """Orders that are carried out one after the other.

    Attributes
    ----------
    targets : tuple of Target
        What ``subjects`` found in this process.
    """

    subjects: Subjects
    targets: tuple[Target, ...]
    orders: tuple[Order, ...]


class Pool(ABC):
    """Where batches are carried out.

    Attributes
    ----------
    workers : int
        How many are carried out at a time.
    ahead : int
        How many more are handed over, so that no worker waits for one.
    """

    workers = 1
    ahead = 0

    @abstractmethod
    def submit(self, batch: Batch, advance: Callable[[float], None]) -> Future[list[Outcome]]:
        """Hand a batch over; ``advance`` is told the work as it is done, where that is known before the batch is.

        It is called from the thread that does the work.
        """

    def renew(self, error: BaseException) -> None:
        """Go on after workers were lost; raises TargetError where that is not possible."""
        raise TargetError(
            "a process ended abruptly while it checked layers; run with ", Parameter("jobs", 1), " to see which"
        ) from error

    def settle(self) -> bool:
        """End what has been handed over, so that the targets can be used by others; return whether that was possible.

        No more is handed over then.
        """
        return True

    def close(self) -> None:  # noqa: B027 - some have nothing to end
        """End what has been handed over, and give the workers back."""


class Here(Pool):
    """Carries a batch out when it is handed over."""

    def submit(self, batch: Batch, advance: Callable[[float], None]) -> Future[list[Outcome]]:
        done: Future[list[Outcome]] = Future()
        done.set_result([carry_out(order, batch.targets, advance) for order in batch.orders])
        return done


class _Handed(NamedTuple):
    batch: Batch
    advance: Callable[[float], None]
    done: Future[list[Outcome]]


class Threads(Pool):
    """Threads that share the cores, each with a process of its own, for the target or for small layers.

    What layers cost that a process does not survive, it costs them alone.
    """

    def __init__(self, count: int) -> None:
        from threadpoolctl import threadpool_limits

        self.workers = count
        self._handed: queue.SimpleQueue[_Handed | None] = queue.SimpleQueue()
        # By the identity of what is checked: a mapping has no hash. The first thread takes what was found before.
        self._known: list[dict[int, tuple[Target, ...]]] = [{} for _ in range(count)]
        self._threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(count)]
        share = max(1, (os.cpu_count() or 1) // count)
        self._carriers = [Carrier(share) for _ in range(count)]
        self._limits = threadpool_limits(share)
        self._undone: set[Future[list[Outcome]]] = set()
        self._over = False
        for thread in self._threads:
            thread.start()

    def submit(self, batch: Batch, advance: Callable[[float], None]) -> Future[list[Outcome]]:
        done: Future[list[Outcome]] = Future()
        self._undone.add(done)
        done.add_done_callback(self._undone.discard)
        self._handed.put(_Handed(batch, advance, done))
        return done

    def _work(self, number: int) -> None:
        known, carrier = self._known[number], self._carriers[number]
        while (handed := self._handed.get()) is not None and not self._over:
            batch, advance, done = handed
            if not done.set_running_or_notify_cancel():
                continue
            try:
                subjects = id(batch.subjects)
                if subjects not in known:
                    known[subjects] = batch.targets if number == 0 else batch.subjects.find()
                done.set_result(carrier.carry_out(batch.orders, known[subjects], advance))
            except BaseException as error:
                done.set_exception(error)
        # What it found, it gives back itself, however late it ends.
        carrier.close()
        if number:
            for target in _all_of([known]):
                target.close()

    def settle(self) -> bool:
        stopped = self._stop()
        for thread in self._threads:
            thread.join(_PATIENCE)
        if any(thread.is_alive() for thread in self._threads):
            return False
        for target in stopped:
            target.resume()
        self._undone.clear()
        return True

    def close(self) -> None:
        stopped = self._stop()
        for thread in self._threads:
            thread.join(_PATIENCE)
        for target in stopped:
            target.close()
        self._limits.restore_original_limits()

    def _stop(self) -> list[Target]:
        """Let the threads end; return the targets that were stopped for that."""
        self._over = True
        for _ in self._threads:
            self._handed.put(None)
        stopped = _all_of(self._known) if self._undone else []
        for target in stopped:
            target.stop()
        for carrier in self._carriers if self._undone else []:
            carrier.stop()
        return stopped


def _all_of(known: Sequence[dict[int, tuple[Target, ...]]]) -> list[Target]:
    return [target for targets in known for group in list(targets.values()) for target in group]


class Opened(NamedTuple):
    """An executor, how many workers it has, and what gives it back."""

    executor: Executor
    workers: int
    close: Callable[[], None]


class Elsewhere(Pool):
    """Any `concurrent.futures.Executor`: a pool of processes, or one that a cluster's engine provides.

    Parameters
    ----------
    open : callable
        Returns the executor.
    again : bool, default True
        Whether it can be opened again when its workers are lost.
    threads : int, optional
        Threads that the matrix products of a batch may use; by default, that is left to the executor's side.
    """

    def __init__(self, open: Callable[[], Opened], *, again: bool = True, threads: int | None = None) -> None:  # noqa: A002
        self._open, self._again, self._granted = open, again, threads
        self._opened = open()
        self._sent: dict[int, bytes] = {}
        self.workers = self.ahead = self._opened.workers

    def submit(self, batch: Batch, advance: Callable[[float], None]) -> Future[list[Outcome]]:
        key = id(batch.subjects)
        if key not in self._sent:
            self._sent[key] = sendable(batch.subjects)
        # Dask warns of large arguments, such as the gradients of a large layer that were put together.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self._opened.executor.submit(
                carry_out_elsewhere, __version__, self._sent[key], batch.orders, self._granted
            )

    def renew(self, error: BaseException) -> None:
        if not self._again:
            super().renew(error)
        self.close()
        self._opened = self._open()
        self.workers = self.ahead = self._opened.workers

    def close(self) -> None:
        with suppress(Exception):
            self._opened.close()


def sendable(subjects: Subjects) -> bytes:
    """Return what is checked as it is sent to another process; raises UsageError where it cannot be."""
    try:
        return pickle.dumps(subjects)
    except Exception as error:
        raise UsageError(
            f"the target {subjects.target!r} cannot be sent to other processes; give it as module:name or "
            "path/to/file.py:name, or leave out ",
            Parameter("jobs"),
            " or ", Parameter("executor")
        ) from error  # fmt: skip


#: What a batch sets back at its end is the process's, and so is standard output: one batch at a time.
_ONE = threading.RLock()


def carry_out_elsewhere(version: str, subjects: bytes, orders: Sequence[Order], threads: int | None) -> list[Outcome]:
    """Carry out a batch in a process that the submitting one knows nothing of.

    Raises
    ------
    TargetError
        If another convcheck is installed there, or the target is not found there.
    """
    from threadpoolctl import threadpool_limits

    from convcheck.targets.isolation import kept_state, output_to_stderr

    if version != __version__:
        raise TargetError(f"a worker has convcheck {__version__}; expected {version}, as where the run was started")
    with _ONE, output_to_stderr(), kept_state(), threadpool_limits(threads):
        targets = _found(subjects, threads)
        return [carry_out(order, targets, _untold) for order in orders]


@lru_cache(maxsize=8)
def _found(subjects: bytes, threads: int | None) -> tuple[Target, ...]:
    """Find what is checked once per process, not once per layer."""
    chosen: Subjects = pickle.loads(subjects)
    if chosen.limits.threads is None:
        chosen = replace(chosen, limits=replace(chosen.limits, threads=threads))
    return chosen.find()


def _untold(work: float) -> None:
    """Of what is done in another process, progress is told by whole batches."""


def is_loss(error: BaseException) -> bool:
    """Whether an executor's error says that workers, or the way to them, were lost; not what a batch raised."""
    return isinstance(error, (BrokenExecutor, CancelledError)) or type(error).__module__.startswith("distributed.")


def opened(executor: str) -> Pool:
    """Open what an option such as ``dask://HOST:PORT`` names.

    Raises
    ------
    UsageError
        If there is nothing of the kind, its package is not installed, or nobody answers there.
    """
    kind, _, where = executor.partition("://")
    openers: dict[str, Callable[[str], Opened]] = {"dask": _dask, "loky": _loky, "mpi": _mpi}
    wrong = Parameter("executor", executor)
    written = _EXECUTOR.fullmatch(executor)
    if (
        written is None
        or not 1 <= int(written["port"] or 1) <= 65_535
        or not 1 <= int(written["count"] or 1) <= MOST_WORKERS
    ):
        number = f"loky://N with 1 to {MOST_WORKERS:,} processes"
        raise UsageError(wrong, f" is not allowed; expected dask://HOST:PORT, {number}, or mpi://")
    try:
        threads = max(1, (os.cpu_count() or 1) // int(where)) if kind == "loky" else None
        return Elsewhere(lambda: openers[kind](where), threads=threads)
    except ImportError as error:
        hint = {"dask": "the extra dask", "mpi": "the package mpi4py"}.get(kind, f"the package {kind}")
        raise UsageError(wrong, f" needs {hint}, which is not installed here ({error})") from error


def _dask(address: str) -> Opened:
    from distributed import Client

    again = (
        ". If they went away in the middle of a run, start them again: with ", Parameter("state", "FILE"),
        " the same command goes on where it was",
    )  # fmt: skip
    with ExitStack() as stack:
        # Dask logs every connection that is lost, with a traceback; what that means for the run, the run says itself.
        for name in ("distributed", "distributed.client"):
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
        try:
            client = stack.enter_context(closing(Client(f"tcp://{address}", timeout=_ANSWER, set_as_default=False)))
        except (OSError, ValueError) as error:
            started = "expected one that was started with: dask scheduler, and workers with: dask worker"
            raise UsageError(f"no Dask scheduler answers at {address} ({error}); {started}", *again) from error
        try:
            client.wait_for_workers(1, timeout=_ANSWER)
        except (OSError, TimeoutError) as error:
            start = f"start some with: dask worker tcp://{address}"
            raise UsageError(f"the Dask scheduler at {address} has no workers; {start}", *again) from error
        return Opened(client.get_executor(pure=False), len(client.nthreads()), stack.pop_all().close)


def _loky(count: str) -> Opened:
    from loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(int(count))
    return Opened(executor, int(count), lambda: executor.shutdown(kill_workers=True))


def _mpi(_: str) -> Opened:
    from mpi4py.futures import MPIPoolExecutor

    executor = MPIPoolExecutor()
    return Opened(executor, max(1, executor.num_workers), lambda: executor.shutdown(cancel_futures=True))
