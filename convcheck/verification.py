"""Suite -> Report: the one place where the steps meet. Prints nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from pathlib import Path
from typing import Any, Protocol

from convcheck import __version__, memory
from convcheck.attribution import attributed
from convcheck.blind_spots import assessed
from convcheck.checks import central, exact, forward, projected
from convcheck.checks.behaviour import with_behaviour
from convcheck.checks.case import Case
from convcheck.checks.outcome import Outcome, explained
from convcheck.checks.plan import DEFAULT_CHECKS, WORK_BUDGET, Step, plan
from convcheck.checks.results import inconclusive, raised, refused, skipped
from convcheck.config import Suite, load
from convcheck.errors import UsageError
from convcheck.formulations import FASTEST, FORMULATIONS
from convcheck.layer import Layer
from convcheck.report import CHECKS, GradientResult, LayerReport, Report
from convcheck.selection import nothing_selected, selector
from convcheck.suites import shipped
from convcheck.targets import Implementation, builtin, resolve
from convcheck.targets.isolation import kept_state

__all__ = ["Progress", "Subject", "verify"]

#: What can be verified: a layer, a suite, the path of a config file or the name of a suite that ships with convcheck.
Subject = Layer | Suite | str | os.PathLike[str]

#: Multiply-adds that count for a second of a target's time, so that the work budget grants it some ten seconds for
#: each check of a gradient.
_TARGET_RATE = 2e9


_INEXACT = "the target's mapping says exact: false, so that nothing can be expected to be exact"


class Progress(Protocol):
    """Is told how the work goes on; work is counted in multiply-adds."""

    def start(self, total_work: float) -> None:
        """Begin, with the work foreseen."""

    def layer(self, name: str) -> None:
        """A layer begins."""

    def advance(self, work: float) -> None:
        """Some work is done."""


class _Silent:
    def start(self, total_work: float) -> None:
        pass

    def layer(self, name: str) -> None:
        pass

    def advance(self, work: float) -> None:
        pass


@dataclass(frozen=True)
class _Options:
    checks: tuple[str, ...]
    budget: float
    progress: Progress


@dataclass(frozen=True)
class _Job:
    """One layer of one suite, and what is checked on it."""

    layer: Layer
    suite: Suite
    line: int | None
    implementations: tuple[Implementation, ...]
    max_error: float | None


def verify(
    subject: Subject | Sequence[Subject],
    *,
    target: Any = None,
    checks: Collection[str] | None = None,
    formulations: Collection[str] | None = None,
    select: str | None = None,
    exit_first: bool = False,
    max_error: float | None = None,
    seed: int | None = None,
    complete: bool = False,
    blind_spots: bool = False,
    strict: bool = False,
    device: str | None = None,
    timeout: float | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check the backward pass of layers against their forward pass.

    Parameters
    ----------
    subject : Layer, Suite, str, path, or a sequence of these
        Layers, config files, or names of suites that ship with convcheck.
    target : str, mapping or callable, optional
        What to check: ``module:name``, ``path/to/file.py:name``, the class or function itself, or a mapping with the
        keys of `TargetSpec`. By default what the config says, or else the built-in formulations.
    checks : collection of {"forward", "central", "exact", "projected"}, optional
        Kinds of check; by default all that a layer needs.
    formulations : collection of str, optional
        Which built-in formulations to check; by default all.
    select : str, optional
        Check only layers whose names match, as with ``-k``.
    exit_first : bool, default False
        Stop after the first layer that does not pass.
    max_error : float, optional
        Largest allowed relative error; takes the place of the config's gate and of the derived bounds.
    seed : int, optional
        Seed of the data of all layers; by default each layer's own.
    complete : bool, default False
        Compare every entry, however long it takes.
    blind_spots : bool, default False
        Say of a passing run of a target, or of a config of the user's own, what it has ruled out and which known
        mistakes it could not have shown. Not done where only some layers or checks were asked for.
    strict : bool, default False
        Look for blind spots in any case, and fail if there is one.
    device : str, optional
        Where a PyTorch or JAX target runs, such as "cuda"; takes the place of the config's.
    timeout : float, optional
        Seconds that a target may take for each layer.
    progress : Progress, optional

    Returns
    -------
    Report

    Raises
    ------
    ConfigError, UsageError, TargetError
        If a config, an argument or the target cannot be used.
    """
    began = time.perf_counter()
    kinds = _known("check", checks, CHECKS) or DEFAULT_CHECKS
    names = _known("formulation", formulations, FORMULATIONS)
    if names and target is not None:
        raise UsageError("--formulation chooses among the built-in formulations; leave it out to check a target")
    _check_numbers(max_error, seed, timeout)
    subjects = [subject] if isinstance(subject, (Layer, Suite, str, os.PathLike)) else subject
    suites = [_suite(item) for item in subjects]
    options = _Options(kinds, inf if complete else WORK_BUDGET, progress or _Silent())
    with kept_state():
        found = _Targets(target, device, timeout, names)
        jobs = [job for suite in suites for job in _jobs(suite, found, max_error, seed)]
        jobs = _selected(jobs, select, suites)
        memory.require((_where(job), job.layer) for job in jobs)
        options.progress.start(sum(_foreseen_work(job, options) for job in jobs))
        reports = []
        for job in jobs:
            options.progress.layer(job.layer.name)
            reports.append(LayerReport(job.layer, tuple(_check(job, options)), job.suite.name, job.line))
            if exit_first and not reports[-1].passed:
                break
    targets = dict.fromkeys(item.name for job in jobs for item in job.implementations if not item.builtin)
    report = Report(
        layers=tuple(reports),
        config=", ".join(suite.name for suite in suites),
        target=", ".join(targets) or None,
        max_error=max_error if max_error is not None else next((j.max_error for j in jobs if j.max_error), None),
        elapsed_seconds=time.perf_counter() - began,
        convcheck_version=__version__,
        options=_options_again(target, max_error, complete, device, timeout),
        strict=strict,
    )
    partial = select is not None or checks is not None
    own = bool(targets) or any(suite.path is not None and not shipped(suite.path) for suite in suites)
    return assessed(report) if strict or (blind_spots and own and not partial) else report


def _options_again(
    target: Any, max_error: float | None, complete: bool, device: str | None, timeout: float | None
) -> tuple[str, ...]:
    """Return the command line's options that every part of this run shares; what the config says needs none."""
    options = ["--target", target] if isinstance(target, str) else []
    if max_error is not None:
        options += ["--max-error", repr(max_error)]
    if device is not None:
        options += ["--device", device]
    if timeout is not None:
        options += ["--timeout", f"{timeout:g}"]
    return (*options, "--complete") if complete else tuple(options)


def _known(kind: str, given: Collection[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the names given in their usual order, or complain about one that does not exist."""
    unknown = [name for name in given or () if name not in known]
    if unknown:
        raise UsageError(f'unknown {kind} "{unknown[0]}"; expected one of {", ".join(known)}')
    return tuple(name for name in known if name in (given or ()))


def _check_numbers(max_error: float | None, seed: int | None, timeout: float | None) -> None:
    if max_error is not None and not (isfinite(max_error) and max_error > 0):
        raise UsageError(f"--max-error {max_error} is not allowed; expected a positive number such as 1e-9")
    if seed is not None and seed < 0:
        raise UsageError(f"--seed {seed} is not allowed; expected an integer of at least 0")
    if timeout is not None and not (isfinite(timeout) and timeout > 0):
        raise UsageError(f"--timeout {timeout} is not allowed; expected a positive number of seconds")


def _suite(subject: Subject) -> Suite:
    if isinstance(subject, Suite):
        return subject
    if isinstance(subject, Layer):
        return Suite(name=subject.name, layers=(subject,), lines=(None,))
    return load(subject)


@dataclass(frozen=True)
class _Targets:
    """What the caller asked to be checked."""

    target: Any
    device: str | None
    timeout: float | None
    formulations: tuple[str, ...]

    def of(self, suite: Suite) -> tuple[Implementation, ...]:
        """Return what is checked on a suite: the caller's target, or else the suite's, or else what is built in."""
        chosen = self.target if self.target is not None else suite.target
        if chosen is None or self.formulations:
            if self.device is not None and not self.formulations:
                raise UsageError("--device is for a target of PyTorch or JAX; give one with --target")
            return tuple(builtin(name) for name in self.formulations or FORMULATIONS)
        # A target on the command line is relative to the current folder, one in a config to that config.
        folder = Path.cwd() if self.target is not None or suite.path is None else suite.path.parent
        return (resolve(chosen, folder, device=self.device, timeout=self.timeout),)


def _jobs(suite: Suite, targets: _Targets, max_error: float | None, seed: int | None) -> list[_Job]:
    implementations = targets.of(suite)
    gate = suite.max_error if max_error is None else max_error
    layers = suite.layers if seed is None else [replace(layer, seed=seed) for layer in suite.layers]
    return [_Job(layer, suite, line, implementations, gate) for layer, line in zip(layers, suite.lines, strict=True)]


def _selected(jobs: list[_Job], select: str | None, suites: Sequence[Suite]) -> list[_Job]:
    if not jobs:
        raise UsageError("there is nothing to verify; expected at least one layer or config")
    if select is None:
        return jobs
    selects = selector(select)
    chosen = [job for job in jobs if selects(job.layer.name)]
    if not chosen:
        raise nothing_selected(select, suites)
    return chosen


def _where(job: _Job) -> str:
    place = f"{job.suite.path or job.suite.name}:{job.line}: " if job.line else ""
    return f"{place}layer {job.layer.name}"


def _foreseen_work(job: _Job, options: _Options) -> float:
    steps = plan(job.layer, options.checks, options.budget / job.layer.multiply_adds)
    return job.layer.multiply_adds * sum(step.evaluations for step in steps)


def _check(job: _Job, options: _Options) -> list[GradientResult]:
    """Check one layer: every implementation, every gradient, every kind of check that was planned."""
    layer = job.layer

    def advance(evaluations: int) -> None:
        options.progress.advance(evaluations * layer.multiply_adds)

    shared = Case(layer, builtin(FASTEST), job.max_error, advance)
    results: list[GradientResult] = []
    for implementation in job.implementations:
        if implementation.builtin:
            results += _check_implementation(shared, implementation, options)
        else:
            results += _check_target(job, implementation, options, advance)
    return results


def _check_target(
    job: _Job, target: Implementation, options: _Options, advance: Callable[[int], None]
) -> list[GradientResult]:
    """Check a layer on a target, or as much of it as the target takes."""
    layer = job.layer
    case = Case(layer, target, job.max_error, advance)
    refusal = target.unsupported(layer)
    if refusal:
        return refused(case, target.name, options.checks, refusal)
    target.begin()
    if target.takes_bias() or not layer.bias:
        return _check_implementation(case, target, options)
    without = Case(replace(layer, bias=False), target, job.max_error, advance)
    results = _check_implementation(without, target, options)
    if any(result.gradient != "output" for result in results):
        reason = "the target takes no bias, so the layer was checked without one"
        results.append(skipped(case, target.name, "bias", results[-1].check, reason))
    return results


def _check_implementation(case: Case, implementation: Implementation, options: _Options) -> list[GradientResult]:
    outcome = Outcome.of(implementation, case.layer, case.operands, twice=not implementation.builtin)
    if outcome.refusal:
        return refused(case, implementation.name, options.checks, outcome.refusal)
    results = [forward.check(case, outcome)] if "forward" in options.checks else []
    cost = case.layer.multiply_adds
    if not implementation.builtin:
        cost = max(cost, int(_forward_seconds(case, outcome) * _TARGET_RATE))
    affordable = options.budget / cost
    steps = plan(case.layer, options.checks, affordable)
    needs_reals = any(step.check == "central" and not step.skipped for step in steps)
    on_reals = Outcome.of(implementation, case.layer, case.reals) if needs_reals else outcome
    for step in steps:
        results.append(_run(step, case, outcome, on_reals, affordable))
    results = attributed(results, case, implementation)
    return results if implementation.builtin else with_behaviour(results, case, outcome)


def _forward_seconds(case: Case, outcome: Outcome) -> float:
    """Return the time of a target's forward pass; the first may have compiled or loaded something, so take two."""
    began = time.perf_counter()
    try:
        # The differences start here, so it is evaluated in any case.
        _ = case.start
    except Exception:
        # Said where it matters: it is a finding about the forward pass.
        return outcome.forward_seconds
    return min(outcome.forward_seconds, time.perf_counter() - began)


def _run(step: Step, case: Case, outcome: Outcome, on_reals: Outcome, affordable: float) -> GradientResult:
    name = outcome.implementation.name
    absent = outcome.implementation.absent.get(step.gradient)
    if step.skipped or absent:
        return skipped(case, name, step.gradient, step.check, absent or step.note)
    if step.check != "central" and not case.source.exact:
        return skipped(case, name, step.gradient, step.check, _INEXACT)
    if "output" in outcome.faults and step.gradient not in outcome.faults:
        return inconclusive(case, name, step.gradient, step.check, "the forward pass gave no output to difference")
    runs: dict[str, Callable[[], GradientResult]] = {
        "central": lambda: central.check(case, on_reals, step.gradient),
        "exact": lambda: exact.check(case, outcome, step.gradient, affordable),
        "projected": lambda: projected.check(case, outcome, step.gradient, step.note),
    }
    try:
        return runs[step.check]()
    except Exception as error:
        if outcome.implementation.builtin:
            raise
        # A target may well run once and raise at the next call.
        return raised(case, name, step.gradient, step.check, explained(error))
