"""Running the checks of many layers: one after the other, or side by side in other processes.

Side by side means any `concurrent.futures.Executor`: a pool of processes on this machine, or one that a cluster's
engine provides. Layers are independent, so neither the results nor their order depend on how they are run.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from convcheck.checks import check_layer as layers
from convcheck.checks.check_layer import Demand, check_layer, steps_of
from convcheck.errors import Parameter, TargetError, UsageError
from convcheck.gradients import FORMULATIONS
from convcheck.layer.layer import Layer
from convcheck.reports.results import GradientResult
from convcheck.targets import builtin, resolve
from convcheck.targets.process.limits import IN_PROCESS, Limits
from convcheck.targets.target import Target

#: Seconds that a thread may take to end once it is not wanted any more.
_PATIENCE = 2.0

Results = tuple[GradientResult, ...]


class Progress(Protocol):
    """Is told how the work goes on; work is counted in multiply-adds."""

    def start(self, total_work: float) -> None:
        """Begin, with the work foreseen."""

    def layer(self, name: str) -> None:
        """A layer begins."""

    def advance(self, work: float) -> None:
        """Some work is done."""


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
class Job:
    """The check of one layer.

    Attributes
    ----------
    targets : tuple of Target
        What ``subjects`` found in this process.
    config : str
        What the layer is from: the suite as it was named.
    path : Path or None
        The suite's file.
    line : int or None
        Where the layer stands in it.
    """

    layer: Layer
    subjects: Subjects
    targets: tuple[Target, ...]
    demand: Demand
    config: str
    path: Path | None
    line: int | None

    @property
    def place(self) -> str:
        """Where the layer stands, and what it is called, as messages begin."""
        return (
            f"{self.path or self.config}:{self.line}: layer {self.layer.name}"
            if self.line
            else f"layer {self.layer.name}"
        )


def foreseen_work(job: Job) -> float:
    """Return the work that a job will take, in multiply-adds."""
    return layers.foreseen_work(job.layer, job.demand, job.targets)


def run_in_turn(jobs: Sequence[Job], progress: Progress) -> Iterator[Results]:
    """Check one layer after the other in this process."""
    for job in jobs:
        evaluations = sum(step.evaluations for step in steps_of(job.layer, job.demand, job.targets))
        progress.layer(f"{job.layer.name} · {evaluations:,} evaluations")
        yield check_layer(job.layer, job.targets, job.demand, progress.advance)


def run_in_threads(jobs: Sequence[Job], progress: Progress, count: int) -> Iterator[Results]:
    """Check so many layers at a time, each in a thread with a worker process of its own for the target.

    What layers cost that a process does not survive, it costs them alone. Results come in the order of the jobs.
    """
    from threadpoolctl import threadpool_limits

    left = iter(enumerate(jobs))
    found: list[Future[Results]] = [Future() for _ in jobs]
    taken = threading.Lock()
    over = threading.Event()
    # By the identity of what is checked: a mapping has no hash.
    known: list[dict[int, tuple[Target, ...]]] = [{} for _ in range(count)]
    known[0] = {id(job.subjects): job.targets for job in jobs}

    def work(targets: dict[int, tuple[Target, ...]]) -> None:
        while not over.is_set():
            with taken:
                number, job = next(left, (None, None))
            if job is None or number is None:
                break
            try:
                subjects = id(job.subjects)
                if subjects not in targets:
                    targets[subjects] = job.subjects.find()
                found[number].set_result(check_layer(job.layer, targets[subjects], job.demand))
            except BaseException as error:
                found[number].set_exception(error)

    threads = [threading.Thread(target=work, args=(targets,), daemon=True) for targets in known]
    with threadpool_limits(max(1, (os.cpu_count() or 1) // count)):
        try:
            for thread in threads:
                thread.start()
            for job, future in zip(jobs, found, strict=True):
                progress.layer(job.layer.name)
                results = future.result()
                progress.advance(foreseen_work(job))
                yield results
        finally:
            over.set()
            if any(not future.done() for future in found):
                for target in _all_of(known):
                    target.stop()
            for thread in threads:
                thread.join(_PATIENCE)
            for target in _all_of(known[1:]):
                target.close()


def _all_of(known: Sequence[dict[int, tuple[Target, ...]]]) -> list[Target]:
    return [target for targets in known for group in list(targets.values()) for target in group]


def run_side_by_side(
    jobs: Sequence[Job], progress: Progress, executor: Executor, threads: int | None
) -> Iterator[Results]:
    """Check layers in an executor; results come in the order of the jobs.

    Parameters
    ----------
    threads : int or None
        Threads that the matrix products of one job may use; None leaves that to the executor's side.

    Raises
    ------
    UsageError
        If a target cannot be sent to another process.
    TargetError
        If a process ended while it checked a layer.
    """
    futures = [
        executor.submit(_check_elsewhere, job.layer, sendable(job.subjects), job.demand, threads) for job in jobs
    ]
    try:
        for job, future in zip(jobs, futures, strict=True):
            progress.layer(job.layer.name)
            try:
                results = future.result()
            except BrokenExecutor as error:
                raise TargetError(
                    f"a process ended abruptly while it checked layer {job.layer.name} or one beside it; run with ",
                    Parameter("jobs", 1),
                    " to see which",
                ) from error
            progress.advance(foreseen_work(job))
            yield results
    finally:
        for future in futures:
            future.cancel()


def sendable(subjects: Subjects) -> bytes:
    """Return what is checked as it is sent to another process; raises UsageError where it cannot be."""
    try:
        return pickle.dumps(subjects)
    except Exception as error:
        raise UsageError(
            f"the target {subjects.target!r} cannot be sent to other processes; give it as module:name or "
            "path/to/file.py:name, or leave out jobs"
        ) from error


def _check_elsewhere(layer: Layer, subjects: bytes, demand: Demand, threads: int | None) -> Results:
    from threadpoolctl import threadpool_limits

    from convcheck.targets.isolation import kept_state, output_to_stderr

    with output_to_stderr(), kept_state(), threadpool_limits(threads):
        return check_layer(layer, _found(subjects), demand)


@lru_cache(maxsize=8)
def _found(subjects: bytes) -> tuple[Target, ...]:
    """Find what is checked once per process, not once per layer."""
    chosen: Subjects = pickle.loads(subjects)
    return chosen.find()
