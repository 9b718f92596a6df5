"""Suite -> Report: the one place where the steps meet. Prints nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal

from convcheck.checks.beside import Search, search_beside
from convcheck.checks.check_layer import Demand
from convcheck.checks.hunting import Hunter
from convcheck.checks.jobs import Job, Subject, jobs_of, of_their_kind, require_code, selected, suite_of
from convcheck.checks.memory import require as require_memory
from convcheck.checks.memory import require_room
from convcheck.checks.parts import Results
from convcheck.checks.plan import DEFAULT_CHECKS, WORK_BUDGET
from convcheck.checks.pools import MOST_WORKERS, Elsewhere, Here, Opened, Pool, Subjects, Threads, opened, sendable
from convcheck.checks.running import Progress, run
from convcheck.checks.smallest import with_smallest
from convcheck.checks.state import State, identity, seed_of
from convcheck.errors import Parameter, UsageError
from convcheck.gradients import FORMULATIONS
from convcheck.layer.fields import COMPLEX, DTYPES, RANDOM
from convcheck.layer.layer import Layer, drawn_seed
from convcheck.layer.similar import as_yaml
from convcheck.mistakes.blind_spots import assessed
from convcheck.mistakes.conditions import CONDITIONS
from convcheck.reports.report import Report
from convcheck.reports.results import CHECKS, LayerReport
from convcheck.suites.config import Suite
from convcheck.suites.fitting import Fit, as_option, fit, taken
from convcheck.suites.shipped import shipped
from convcheck.targets.isolation import kept_state
from convcheck.targets.probing import Probe
from convcheck.targets.process.limits import Limits
from convcheck.version import __version__
from convcheck.wording import did_you_mean

#: What a hunt calls the layer on which the target differed.
_FOUND = "found"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a verification.

    Attributes
    ----------
    report : Report
        What was found until then; `Report.unchecked` names the layers that were not checked.
    """

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report


class _Silent:
    def start(self, total_work: float) -> None:
        pass

    def layer(self, name: str) -> None:
        pass

    def advance(self, work: float) -> None:
        pass


def verify(
    subject: Subject | Sequence[Subject] | Fit | None = None,
    *,
    # What is checked, and on what.
    target: Any = None,
    device: str | None = None,
    select: str | None = None,
    seed: int | Literal["random"] | None = None,
    dtype: str | None = None,
    # How, and when it fails.
    checks: Collection[str] | None = None,
    skip_conditions: Collection[str] = (),
    formulations: Collection[str] | None = None,
    complete: bool = False,
    max_error: float | None = None,
    blind_spots: bool = False,
    shrink: bool = True,
    shrink_seconds: float = 5.0,
    strict: bool = False,
    require_target: bool = False,
    # How it runs.
    exit_first: bool = False,
    timeout: float | None = None,
    memory: int | None = None,
    in_process: bool | None = None,
    keep_case: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    executor: Executor | str | None = None,
    state: str | os.PathLike[str] | None = None,
    each: Callable[[LayerReport], None] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check the backward pass of layers against their forward pass.

    Parameters
    ----------
    subject : Layer, Suite, str, path, or a sequence of these, optional
        Layers, config files, or names of suites that ship with convcheck. Left out: a suite fitted to what the target
        takes, which is found out by trying its forward pass on a ladder of tiny layers; or what that gave before.
    target : str, mapping or callable, optional
        What to check: ``module:name``, ``path/to/file.py:name``, the class or function itself, or a mapping with the
        keys of `TargetSpec`. By default what the config says, or else the built-in formulations.
    device : str, optional
        Where a target of PyTorch or JAX, a library or a program computes, such as "cuda"; takes the place of the
        config's.
    select : str, optional
        Check only layers whose names match, as with ``-k``.
    seed : int or "random", optional
        Seed of the data of all layers; by default each layer's own. "random" draws one, which the report tells.
    dtype : str, optional
        Data type in which all layers are checked, such as "float32"; by default each layer's own.
    checks : collection of {"forward", "central", "exact", "projected", "accumulate", "conditions", "double"}, optional
        Kinds of check; by default all that a layer needs.
    skip_conditions : collection of str, optional
        Conditions under which code is not run, by their slugs, such as "negative-strides"; the report says so.
    formulations : collection of str, optional
        Which built-in formulations to check; by default all.
    complete : bool, default False
        Compare every entry, however long it takes.
    max_error : float, optional
        Largest allowed relative error; takes the place of the config's gate and of the derived bounds.
    blind_spots : bool, default False
        Say of a passing run of a target, or of a config of the user's own, what it has ruled out and which known
        mistakes it could not have shown. Not done where only some checks were asked for.
    shrink : bool, default True
        Look for the smallest case on which a target that failed still fails; the first few distinct failures.
    shrink_seconds : float, default 5
        How long that may take in all; a call of the target that has begun is waited for.
    strict : bool, default False
        Look for blind spots in any case, and fail if there is one; requires a target too.
    require_target : bool, default False
        Raise an error where no code of the caller's would be checked, only the built-in formulations: without
        ``target``, where a suite names none.
    exit_first : bool, default False
        Stop after the first layer that does not pass.
    timeout : float, optional
        Seconds that all calls of a target may take for each layer; in a worker process by default an hour, or a day
        where every entry is checked.
    memory : int, optional
        Bytes that a target may use; runs it in a worker process.
    in_process : bool, optional
        Whether a target runs in this process. In a worker process, nothing that it does can change the report, a crash
        or an endless loop costs one layer, and between the two pass arrays only. By default True, unless ``memory`` or
        ``jobs`` needs processes.
    keep_case : path, optional
        Folder in which requests are kept that a target that is a program answered wrongly, or not at all.
    jobs : int, default 1
        Layers that are checked side by side, a target in so many worker processes that share the cores. A large layer
        is cut into parts, so that all of them work on it.
    executor : Executor or str, optional
        Where layers are checked side by side instead: that of a cluster's engine, or ``dask://HOST:PORT``,
        ``loky://N``, ``mpi://``.
    state : path, optional
        File that keeps what is finished; the same call goes on with it after it was ended in whatever way.
    each : callable, optional
        Told the report of each layer once it and all before it are done, without its smallest case.
    progress : Progress, optional

    Returns
    -------
    Report

    Raises
    ------
    ConfigError, UsageError, TargetError
        If a config, an argument or the target cannot be used.
    Interrupted
        At Ctrl-C; carries the report of what was checked until then.
    """
    began = time.perf_counter()
    kinds = _known("check", checks, CHECKS) or DEFAULT_CHECKS
    skipped = _known("condition", skip_conditions, tuple(CONDITIONS))
    names = _known("formulation", formulations, FORMULATIONS)
    _known("dtype", None if dtype is None else [dtype], tuple(DTYPES))
    if names and target is not None:
        raise UsageError(
            Parameter("formulations"), " chooses among the built-in formulations; leave it out to check a target"
        )
    drawn = None
    if isinstance(seed, str):
        if seed != RANDOM:
            raise UsageError(Parameter("seed", seed), f' is not allowed; expected an integer, or "{RANDOM}"')
        known = None if state is None else seed_of(Path(state))
        seed = drawn = drawn_seed() if known is None else known
    _check_numbers(max_error, seed, timeout, jobs)
    if executor is not None and jobs > 1:
        raise UsageError(Parameter("executor"), " says itself how many run side by side; leave out ", Parameter("jobs"))
    # What is sent to other machines runs in a process of its own there too.
    apart = isinstance(executor, str) and in_process is None
    limits = _limits(timeout, memory, False if apart else in_process, jobs, keep_case)
    limits = replace(limits, complete=complete)
    if not (isfinite(shrink_seconds) and shrink_seconds > 0):
        raise UsageError(
            Parameter("shrink_seconds", shrink_seconds), " is not allowed; expected a positive number such as 5"
        )
    if subject is None:
        if target is None:
            raise UsageError("there is nothing to verify; expected layers, a config, or ", Parameter("target"))
        subject = fit(target, device=device, limits=limits)
        if dtype in COMPLEX and not subject.probe.usable:
            # The one layer of such a suite would pass for a whole one.
            raise UsageError(
                Parameter("dtype", dtype), f" needs a config for {subject.spec.named}: a suite is fitted to code that "
                f"takes real numbers, and this does not take {subject.probe.limits[0]}"
            )  # fmt: skip
    fitted = subject if isinstance(subject, Fit) else None
    subjects: Sequence[Any] = subject if isinstance(subject, (list, tuple)) else [subject]
    suites = [fitted.suite] if fitted else [suite_of(item) for item in subjects]
    for suite in suites:
        _check_numbers(suite.max_error, seed, timeout, jobs)
    changes = {key: value for key, value in (("seed", seed), ("dtype", dtype)) if value is not None}
    if strict or require_target:
        require_code(
            suites,
            fitted.spec if fitted else target,
            names,
            Parameter("require_target" if require_target else "strict"),
        )
    demand = Demand(kinds, inf if complete else WORK_BUDGET, max_error, skipped)
    reports: dict[int, LayerReport] = {}
    finished: dict[int, Results] = {}
    interrupted = False
    probes = [fitted.probe] if fitted else []
    with kept_state():
        asked = Subjects(fitted.spec if fitted else target, Path.cwd(), device, limits, names)
        work = selected(jobs_of(suites, asked, demand, changes, fitted), select, suites)
        work, left_out = of_their_kind(work)
        require_memory([(job.place, job.layer) for job in work], at_once=jobs)
        require_room([(job.place, job.layer, target) for job in work for target in job.targets], at_once=jobs)
        progress = progress or _Silent()

        def take(number: int, found: Results) -> LayerReport:
            job = work[number]
            report = LayerReport(job.layer, found, job.config if job.path else None, job.line)
            reports[number] = report
            if each is not None:
                each(report)
            job.layer.forget()
            return report

        with ExitStack() as stack:
            kept = None if state is None else stack.enter_context(_state(Path(state), work, drawn))
            pool = stack.enter_context(closing(_pool(jobs, executor)))
            try:
                with closing(run(work, progress, pool, finished, kept)) as results:
                    for number, found in enumerate(results):
                        if not take(number, found).passed and exit_first:
                            break
                # After an end before all was checked, layers are under way whose targets the search uses too.
                if shrink and pool.settle():
                    shrunk = with_smallest([*reports.values()], work, shrink_seconds, progress.layer)
                    reports = dict(enumerate(shrunk))
            except KeyboardInterrupt:
                interrupted = True
                for number in sorted(finished):
                    take(number, finished[number])
    again = as_option(fitted.spec, target) if fitted else target
    report = Report(
        layers=tuple(reports.values()),
        config=", ".join(suite.name for suite in suites),
        target=", ".join(dict.fromkeys(t.name for job in work for t in job.targets if not t.builtin)) or None,
        max_error=next((gate for job in work if (gate := job.demand.max_error) is not None), None),
        elapsed_seconds=time.perf_counter() - began,
        convcheck_version=__version__,
        as_object=not (again is None or isinstance(again, str)),
        options=_options_again(
            again,
            max_error,
            complete,
            device,
            timeout,
            dtype,
            skipped,
        ),
        strict=strict,
        seed=seed,
        unchecked=tuple(job.layer.name for number, job in enumerate(work) if number not in reports),
        fitted=fitted is not None,
        found=tuple(dict.fromkeys(words for job in work for target in job.targets for words in target.found)),
        left_out=left_out,
    )
    if interrupted:
        raise Interrupted(_with_limits(report, probes))
    # A choice of layers is a suite of its own where code is checked on it; a choice of checks is no whole check.
    partial = checks is not None or (select is not None and report.target is None)
    own = report.target is not None or any(suite.path is not None and not shipped(suite.path) for suite in suites)
    if report.passed and (strict or (blind_spots and own and not partial)):
        targets = {target.name: target for job in work for target in job.targets if not target.builtin}
        with kept_state():
            probes = probes or [Probe(target) for target in targets.values()]
            report = assessed(report, probes)
    return _with_limits(report, probes)


def hunt(
    target: Any,
    subject: Subject | Sequence[Subject] = (),
    *,
    seconds: float = 60.0,
    cases: int | None = None,
    seed: int = 0,
    device: str | None = None,
    max_error: float | None = None,
    shrink: bool = True,
    shrink_seconds: float = 5.0,
    timeout: float | None = None,
    memory: int | None = None,
    in_process: bool | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Search for a layer and a condition on which a target fails, within what it takes.

    What it takes is found out by trying, and its plainest layer is verified. Then layers and conditions are drawn by
    Hypothesis, whose database of examples that failed (the folder ``.hypothesis``) makes a second hunt begin with what
    the first one found. The first case that differs from the built-in gradients is verified like any other layer, and
    the search ends.

    Parameters
    ----------
    target : str, mapping or callable
        As for `verify`.
    subject : Layer, Suite, str, path, or a sequence of these, optional
        Layers, config files, or names of suites. The search begins with these layers; half of the others are near them.
    seconds : float, default 60
        How long to search.
    cases : int, optional
        How many cases to try at most.
    seed : int, default 0
        From which the cases and their data are drawn. The same seed gives the same cases.
    jobs : int, default 1
        How many searches run at once, each in a process of its own that draws other cases. What they find depends on
        the seed and their number, not on which is faster. Every target then runs in a worker process.
    device, max_error, shrink, shrink_seconds, timeout, memory, in_process, progress
        As for `verify`.

    Returns
    -------
    Report
        Of the plainest layer and, where one was found, of the layer on which the target fails, which comes last;
        `Report.hunt` says what was tried. A case that differed and could not be confirmed is inconclusive, no pass.

    Raises
    ------
    ConfigError, UsageError, TargetError
        If a config, an argument or the target cannot be used, or Hypothesis is not installed.
    Interrupted
        At Ctrl-C; carries the report of what was tried until then.
    """
    began = time.perf_counter()
    from convcheck.suites import strategies  # noqa: F401 - a hunt without Hypothesis ends here, before code is run
    from convcheck.targets.process.remote import Remote

    _check_numbers(max_error, seed, timeout, jobs)
    for name, value in (("seconds", seconds), ("cases", cases)):
        if value is not None and not (isfinite(value) and value > 0):
            raise UsageError(Parameter(name, value), " is not allowed; expected a positive number")
    subjects: Sequence[Any] = subject if isinstance(subject, (list, tuple)) else [subject]
    near = [layer for item in subjects for layer in suite_of(item).layers]
    require_memory([(f"layer {layer.name}", layer) for layer in near])
    limits = _limits(timeout, memory, in_process, jobs, None)
    spec, probe = taken(target, device=device, limits=limits)
    options: dict[str, Any] = {
        "device": device, "max_error": max_error, "shrink": shrink, "shrink_seconds": shrink_seconds,
        "timeout": timeout, "memory": memory, "in_process": in_process, "target": target,
    }  # fmt: skip

    def checked(layer: Layer) -> Report:
        return verify(Fit(spec, probe, Suite("a hunt", (layer,), (None,), target=spec)), **options)

    report = checked(replace(probe.base, name="plainest", seed=seed))
    how: dict[str, Any] = {
        "seed": seed, "seconds": seconds, "most": inf if cases is None else cases, "max_error": max_error,
    }  # fmt: skip
    told = progress or _Silent()
    hunter = Hunter(probe, near, **how, progress=told)
    beside = None
    if jobs > 1:
        code = sendable(Subjects(spec, Path.cwd(), device, limits))
        search = Search(code, probe.knowledge(), near, **how, threads=limits.threads or 1)
        beside = partial(search_beside, search, jobs, told)
    try:
        with kept_state():
            found = hunter.search(beside) if report.passed else None
            if found is not None:
                verdict = checked(replace(found[0], name=_FOUND))
                # What is wrong is told of this layer; the plainest one passed.
                report = replace(report, layers=(*report.layers, *_confirmed(verdict, found[1])))
            hunted = hunter.account()
    except KeyboardInterrupt as interruption:
        hunted = hunter.account(at_once=True)
        report = replace(report, elapsed_seconds=time.perf_counter() - began, hunt=hunted)
        raise Interrupted(_until_now(report, hunter, interruption)) from None
    finally:
        # Hypothesis keeps the frames of its last run for a while, and what they know.
        if isinstance(probe.target, Remote):
            probe.target.close()
    return replace(report, elapsed_seconds=time.perf_counter() - began, hunt=hunted)


def _under(condition: str | None) -> str:
    return f" under the condition {condition}" if condition else ""


def _confirmed(verdict: Report, condition: str | None) -> Iterator[LayerReport]:
    """Return the report on a layer on which the target differed; where it now passes, that is no pass."""
    for report in verdict.layers:
        yield _unconfirmed(report, condition) if report.passed else report


def _until_now(report: Report, hunter: Hunter, interruption: KeyboardInterrupt) -> Report:
    """Return the report of a hunt with what was found when it was interrupted."""
    left = ["the rest of the hunt"]
    if hunter.suspect is not None and report.layers[-1].layer.name != _FOUND:
        layer, condition = hunter.suspect
        verdict = tuple(_confirmed(interruption.report, condition)) if isinstance(interruption, Interrupted) else ()
        report = replace(report, layers=(*report.layers, *verdict))
        if not verdict:
            left.insert(0, f"{as_yaml(layer)}, on which the target differs{_under(condition)}")
    return replace(report, unchecked=tuple(left))


def _unconfirmed(report: LayerReport, condition: str | None) -> LayerReport:
    reason = (
        f"the search saw another gradient here{_under(condition)}, and these checks do not: what the target gives "
        "depends on what ran before, or on chance"
    )
    results = [replace(r, status="inconclusive", message=reason) if r.passed else r for r in report.results]
    return replace(report, results=tuple(results))


def _with_limits(report: Report, probes: Sequence[Probe]) -> Report:
    """Return the report with what was found out about its target by trying."""
    return replace(
        report,
        limits=tuple(dict.fromkeys(limit for probe in probes for limit in probe.limits)),
        found=tuple(dict.fromkeys([*(words for probe in probes for words in probe.found), *report.found])),
        left_out=tuple(dict.fromkeys([*report.left_out, *(words for probe in probes for words in probe.left_out)])),
    )


def _pool(jobs: int, executor: Executor | str | None) -> Pool:
    """Return where the work is to be done."""
    if isinstance(executor, str):
        return opened(executor)
    if executor is not None:
        given = Opened(executor, getattr(executor, "_max_workers", None) or os.cpu_count() or 1, lambda: None)
        return Elsewhere(lambda: given, again=False)
    return Threads(jobs) if jobs > 1 else Here()


def _state(path: Path, work: Sequence[Job], drawn: int | None) -> State:
    subjects = {id(job.subjects): job.subjects for job in work}
    run = identity([job.layer for job in work], [*subjects.values()], [job.demand for job in work])
    return State(path, {**run, "seed": "" if drawn is None else str(drawn)})


def _limits(
    timeout: float | None,
    memory: int | None,
    in_process: bool | None,
    jobs: int,
    keep_case: str | os.PathLike[str] | None,
) -> Limits:
    """Return where targets run, and what they may use."""
    asking = next((name for name, asks in (("memory", memory is not None), ("jobs", jobs > 1)) if asks), None)
    if in_process and asking is not None:
        raise UsageError(Parameter(asking), " needs worker processes; leave out ", Parameter("in_process"))
    if memory is not None and memory <= 0:
        raise UsageError(Parameter("memory", memory), " is not allowed; expected a positive number of bytes")
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None
    kept = None if keep_case is None else Path(keep_case)
    return Limits(timeout, memory, threads, asking is None if in_process is None else in_process, kept)


def _options_again(
    target: Any,
    max_error: float | None,
    complete: bool,
    device: str | None,
    timeout: float | None,
    dtype: str | None,
    skipped: Sequence[str],
) -> tuple[str, ...]:
    """Return the command line's options that every part of this run shares; what the config says needs none."""
    options = ["--target", target] if isinstance(target, str) else []
    if max_error is not None:
        options += ["--max-error", repr(max_error)]
    if device is not None:
        options += ["--device", device]
    if timeout is not None:
        options += ["--timeout", f"{timeout:g}"]
    if dtype is not None:
        options += ["--dtype", dtype]
    options += [word for condition in skipped for word in ("--skip-condition", condition)]
    return (*options, "--complete") if complete else tuple(options)


def _known(kind: str, given: Collection[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the names given in their usual order, or complain about one that does not exist."""
    unknown = [name for name in given or () if name not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise UsageError(f'unknown {kind} "{unknown[0]}";{hint} expected one of {", ".join(known)}')
    return tuple(name for name in known if name in (given or ()))


def _check_numbers(max_error: float | None, seed: int | None, timeout: float | None, jobs: int) -> None:
    if max_error is not None and not (isfinite(max_error) and max_error > 0):
        raise UsageError(Parameter("max_error", max_error), " is not allowed; expected a positive number such as 1e-9")
    if seed is not None and seed < 0:
        raise UsageError(Parameter("seed", seed), " is not allowed; expected an integer of at least 0")
    if timeout is not None and not (isfinite(timeout) and timeout > 0):
        raise UsageError(Parameter("timeout", timeout), " is not allowed; expected a positive number of seconds")
    if not 1 <= jobs <= MOST_WORKERS:
        raise UsageError(
            Parameter("jobs", jobs), f" is not allowed; expected an integer of at least 1 and at most {MOST_WORKERS:,}"
        )
