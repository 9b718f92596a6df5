"""Running the checks of many layers, wherever that is: one way to hand out the work, and to collect what comes of it.

Layers are independent, and portions of a numeric gradient are too, so neither the results nor their order depend on
where they are computed. Large layers are cut into spans of differences, small ones are sent several at a time. The
built-in formulations give the same on layers that differ in nothing but their names, so that these are checked once.
What somebody's code gives may depend on its calls: it is run on each, after the first of them, and spared no more than
the differences of what it gives again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass, field, replace
from typing import Protocol

from convcheck.checks.again import Earlier, costly
from convcheck.checks.check_layer import Demand, steps_of
from convcheck.checks.expected import Expected
from convcheck.checks.jobs import Job
from convcheck.checks.parts import Order, Outcome, Partial, Results, Span, spans_of
from convcheck.checks.plan import Step, gradients_of
from convcheck.checks.pools import Batch, Here, Pool, is_loss
from convcheck.checks.state import State
from convcheck.checks.verdict import raised
from convcheck.checks.work import PACE
from convcheck.layer.layer import Layer

#: Work of a span or a batch, about: two seconds, beside which it counts little to send it and to draw its data. It
#: does not depend on the workers, so that spans that one run has kept are those that another looks for.
GRAIN = 2 * PACE

#: Batches that each worker should get at least, where layers are small.
_BATCHES = 8

#: Times that a batch may be lost with others before it is tried by itself.
_LOSSES = 2


class Progress(Protocol):
    """Is told how the work goes on; work is counted in seconds, as foreseen."""

    def start(self, total_work: float) -> None:
        """Begin, with the work foreseen."""

    def layer(self, name: str) -> None:
        """A layer begins."""

    def advance(self, work: float) -> None:
        """Some work is done."""


@dataclass(eq=False)
class _Part:
    """The check of a layer, or a span of it."""

    number: int
    order: Order
    work: float


@dataclass(eq=False)
class _Handed:
    """Parts that are sent together, how often they were lost, and the work that has been told of them."""

    parts: list[_Part]
    losses: int = 0
    told: float = 0.0

    @property
    def work(self) -> float:
        return sum(part.work for part in self.parts)


@dataclass(eq=False)
class _Cut:
    """A layer that is cut: what has come of its spans, and how many are missing."""

    known: dict[Span, Partial | None] = field(default_factory=dict)
    missing: int = 0


def run(
    jobs: Sequence[Job],
    progress: Progress,
    pool: Pool,
    finished: dict[int, Results],
    state: State | None = None,
) -> Generator[Results]:
    """Check layers; yields the results in their order.

    Parameters
    ----------
    finished : dict of int to Results
        Takes up what is found, by the number of its job, until it is yielded: what is in it at the end, after an
        interruption, was found and never yielded.
    state : State, optional
        What is already known, and keeps what is found.

    Raises
    ------
    UsageError, TargetError
        If a target cannot be sent to workers, or is not found there; if workers are lost and cannot be replaced.
    """
    yield from _Running(jobs, progress, pool, finished, state).results()


class _Running:
    def __init__(
        self,
        jobs: Sequence[Job],
        progress: Progress,
        pool: Pool,
        finished: dict[int, Results],
        state: State | None,
    ) -> None:
        self._jobs, self._progress, self._pool, self._finished, self._state = jobs, progress, pool, finished, state
        #: For a layer of which an equal one stands before it, the number of the first of them.
        self._equal = _equal(jobs)
        self._last = {first: number for number, first in self._equal.items()}
        #: Of the first ones, until the last that is equal is done; and those that wait for a first one.
        self._shared: dict[int, Results] = {}
        self._waiting: dict[int, list[int]] = {}
        self._work = [self._foreseen(number) for number in range(len(jobs))]
        self._cut: dict[int, _Cut] = {}
        for job in jobs:
            job.layer.forget()
        self._fresh = self._batches()
        self._again: deque[_Handed] = deque()
        self._alone: deque[_Handed] = deque()
        self._running: dict[Future[list[Outcome]], _Handed] = {}
        self._broken: BaseException | None = None
        self._telling = threading.Lock()

    def results(self) -> Generator[Results]:
        self._progress.start(sum(self._work) / PACE)
        try:
            for number, job in enumerate(self._jobs):
                first = self._equal.get(number)
                if first is not None and _built_in(job):
                    self._finished[number] = self._shared[first]
                else:
                    evaluations = sum(step.evaluations for step in self._steps(number))
                    self._progress.layer(f"{job.layer.name} · {evaluations:,} evaluations")
                while number not in self._finished:
                    self._hand_out()
                    if number not in self._finished:
                        for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                            self._collect(future)
                if first is not None and self._last[first] == number:
                    del self._shared[first]
                yield self._finished.pop(number)
        finally:
            # It refers to this object, which refers to it: targets would be given back whenever that is noticed.
            self._fresh.close()
            for future in self._running:
                future.cancel()

    def _steps(self, number: int) -> list[Step]:
        """Return the numeric checks that a layer is foreseen to take."""
        job = self._jobs[number]
        steps = steps_of(job.layer, job.demand, job.targets)
        return [step for step in steps if number not in self._equal or not costly(job.layer, step)]

    def _foreseen(self, number: int) -> float:
        job = self._jobs[number]
        if number not in self._equal:
            return job.work
        return 0.0 if _built_in(job) else job.work - _costly_work(job)

    def _batches(self) -> Generator[_Handed]:
        """Yield what has to be done, in the order of the jobs: the spans of a large one, several small ones."""
        size = 0.0 if isinstance(self._pool, Here) else min(GRAIN, sum(self._work) / (_BATCHES * self._pool.workers))
        batch = _Handed([])
        for number, job in enumerate(self._jobs):
            first = self._equal.get(number)
            if first is not None and _built_in(job):
                continue
            if self._state is not None and (results := self._state.results(number)) is not None:
                self._finish(number, results)
                self._advance(self._work[number])
                continue
            if first is not None and first not in self._shared:
                self._waiting.setdefault(first, []).append(number)
                continue
            for part in self._parts(number):
                other = batch.parts and self._jobs[batch.parts[0].number].subjects is not job.subjects
                if batch.parts and (other or batch.work + part.work > size):
                    yield batch
                    batch = _Handed([])
                batch.parts.append(part)
        if batch.parts:
            yield batch

    def _parts(self, number: int) -> list[_Part]:
        """Return what a layer is cut into; not where code was right on the first one that is equal."""
        job, first = self._jobs[number], self._equal.get(number)
        spared = first is not None and all(result.acceptable for result in self._shared[first])
        here = isinstance(self._pool, Here) and self._state is None
        # A time limit is about a layer, which one target must then check as a whole.
        whole = here or spared or job.subjects.limits.timeout is not None
        spans = {} if whole else spans_of(job.layer, job.targets, job.demand, GRAIN)
        return self._begun(number, spans) if spans else [self._rest(number)]

    def _begun(self, number: int, spans: dict[Span, float]) -> list[_Part]:
        """Return the parts of a layer that is cut of which nothing is known."""
        job, cut = self._jobs[number], _Cut()
        parts = []
        # Less is foreseen for a layer that is equal to another.
        share = self._work[number] / job.work
        for span, work in spans.items():
            work *= share
            self._work[number] -= work
            known = None if self._state is None else self._state.partial(number, span)
            cut.known[span] = known
            if known is None:
                parts.append(_Part(number, Order(job.layer, job.demand, span), work))
            else:
                self._advance(work)
        self._cut[number] = cut
        cut.missing = len(parts)
        return parts or [self._rest(number)]

    def _rest(self, number: int) -> _Part:
        """Return what is left of a layer all of whose spans are done, and what was found on the first of equal ones."""
        job, first = self._jobs[number], self._equal.get(number)
        known = self._cut.pop(number).known if number in self._cut else {}
        earlier = None if first is None else Earlier(self._jobs[first].layer.name, self._shared[first])
        return _Part(number, Order(job.layer, job.demand, known=known, earlier=earlier), self._work[number])

    def _hand_out(self) -> None:
        """Hand out as much as keeps the workers busy; what was lost too often by itself."""
        if self._broken is not None:
            if self._running:
                return
            self._pool.renew(self._broken)
            self._broken = None
        while self._broken is None and len(self._running) < self._pool.workers + self._pool.ahead:
            if self._alone:
                if self._running:
                    return
                self._submit(self._alone.popleft())
                return
            handed = self._again.popleft() if self._again else next(self._fresh, None)
            if handed is None:
                return
            self._submit(handed)

    def _submit(self, handed: _Handed) -> None:
        job = self._jobs[handed.parts[0].number]
        batch = Batch(job.subjects, job.targets, tuple(part.order for part in handed.parts))

        def advance(work: float) -> None:
            work = min(work, handed.work - handed.told)
            handed.told += work
            self._advance(work)

        try:
            future = self._pool.submit(batch, advance)
        except Exception as error:
            if not is_loss(error):
                raise
            self._again.appendleft(handed)
            self._broken = error
            return
        self._running[future] = handed

    def _advance(self, work: float) -> None:
        """Tell of work that is done, from whichever thread, one after the other."""
        with self._telling:
            self._progress.advance(work / PACE)

    def _collect(self, future: Future[list[Outcome]]) -> None:
        handed = self._running.pop(future)
        try:
            outcomes = future.result()
        except (Exception, CancelledError) as error:
            if not is_loss(error):
                raise
            self._lost(handed, error)
            return
        self._advance(handed.work - handed.told)
        for part, outcome in zip(handed.parts, outcomes, strict=True):
            self._take(part, outcome)

    def _take(self, part: _Part, outcome: Outcome) -> None:
        number, span = part.number, part.order.span
        if isinstance(outcome, tuple):
            self._finish(number, outcome)
            if self._state is not None:
                self._state.keep_results(number, outcome)
            return
        assert span is not None
        cut = self._cut[number]
        cut.known[span] = outcome
        cut.missing -= 1
        if self._state is not None and outcome is not None:
            self._state.keep_partial(number, span, outcome)
        if not cut.missing:
            self._again.appendleft(_Handed([self._rest(number)]))

    def _finish(self, number: int, results: Results) -> None:
        """Take the results of a layer; those that are equal to it go on."""
        self._finished[number] = results
        if number in self._last:
            self._shared[number] = results
            for each in self._waiting.pop(number, ()):
                self._again.extend(_Handed([part]) for part in self._parts(each))

    def _lost(self, handed: _Handed, error: BaseException) -> None:
        """Have parts done again whose worker was lost: elsewhere, then by themselves, to see which of them did that."""
        if isinstance(error, (BrokenExecutor, CancelledError)):
            self._broken = error
        if handed.losses >= _LOSSES:
            (part,) = handed.parts
            self._advance(part.work)
            self._take(part, None if part.order.span else self._given_up(self._jobs[part.number], error))
        elif handed.losses + 1 >= _LOSSES:
            self._alone.extend(_Handed([part], _LOSSES) for part in handed.parts)
        else:
            self._again.append(replace(handed, losses=handed.losses + 1))

    @staticmethod
    def _given_up(job: Job, error: BaseException) -> Results:
        """Return the results of a layer whose workers are lost whenever they check it."""
        reason = (
            f"the process that checked this layer was lost, {_LOSSES + 1} times, the last time when nothing else was "
            f"checked beside it; for want of memory, perhaps ({type(error).__name__})"
        )
        results = []
        for target in job.targets:
            expected = Expected(job.layer, target, None, lambda evaluations: None)
            kinds = [(gradient, "exact") for gradient in gradients_of(job.layer)]
            for gradient, kind in [("output", "forward"), *kinds]:
                results.append(raised(expected, target.name, gradient, kind, reason))
        return tuple(results)


def _built_in(job: Job) -> bool:
    return all(target.builtin for target in job.targets)


def _costly_work(job: Job) -> float:
    """Return the work of differences that are not made on a layer that is equal to one on which code was right."""
    steps = steps_of(job.layer, job.demand, job.targets)
    return sum(step.evaluations for step in steps if costly(job.layer, step)) * job.layer.multiply_adds


def _equal(jobs: Sequence[Job]) -> dict[int, int]:
    """Return which layers are like one before them, where that spares work, and which one is the first."""
    first: dict[tuple[Layer, Demand, tuple[str, ...] | int], int] = {}
    equal = {}
    for number, job in enumerate(jobs):
        if _built_in(job):
            of: tuple[str, ...] | int = tuple(target.name for target in job.targets)
        elif _costly_work(job):
            of = id(job.subjects)
        else:
            continue
        key = job.layer.alike(name="any"), job.demand, of
        if first.setdefault(key, number) != number:
            equal[number] = first[key]
    return equal
