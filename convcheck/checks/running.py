"""Running the checks of many layers: one after the other, or side by side in other processes.

Side by side means any `concurrent.futures.Executor`: a pool of processes on this machine, or one that a cluster's
engine provides. Layers are independent, so neither the results nor their order depend on how they are run.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from convcheck.checks.check_layer import Demand, check_layer, foreseen_evaluations
from convcheck.errors import Parameter, TargetError, UsageError
from convcheck.gradients import FORMULATIONS
from convcheck.layer.layer import Layer
from convcheck.reports.results import GradientResult
from convcheck.targets import builtin, resolve
from convcheck.targets.target import Target

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
    device, timeout
        As given to `verify`.
    formulations : tuple of str
        Which are checked without a target; all if it is empty.
    """

    target: Any
    folder: Path
    device: str | None = None
    timeout: float | None = None
    formulations: tuple[str, ...] = ()

    def find(self) -> tuple[Target, ...]:
        """Return the formulations, or the target.

        Raises
        ------
        TargetError
            If the target cannot be found, imported or used.
        """
        if self.target is None:
            return tuple(builtin(name) for name in self.formulations or FORMULATIONS)
        return (resolve(self.target, self.folder, device=self.device, timeout=self.timeout),)


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
    """Return the multiply-adds that the numeric checks of a job will take."""
    return float(job.layer.multiply_adds * foreseen_evaluations(job.layer, job.demand, job.targets))


def run_in_turn(jobs: Sequence[Job], progress: Progress) -> Iterator[Results]:
    """Check one layer after the other in this process."""
    for job in jobs:
        evaluations = foreseen_evaluations(job.layer, job.demand, job.targets)
        progress.layer(f"{job.layer.name} · {evaluations:,} evaluations")

        def advance(count: int, size: int = job.layer.multiply_adds) -> None:
            progress.advance(count * size)

        yield check_layer(job.layer, job.targets, job.demand, advance)


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
        executor.submit(_check_elsewhere, job.layer, _sendable(job.subjects), job.demand, threads) for job in jobs
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


def process_pool(processes: int) -> tuple[Executor, int]:
    """Return a pool of so many processes, and how many threads each may use so that they share the cores."""
    # A forked process would inherit the locks of the parent's threads.
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    return pool, max(1, (os.cpu_count() or 1) // processes)


def _sendable(subjects: Subjects) -> bytes:
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
