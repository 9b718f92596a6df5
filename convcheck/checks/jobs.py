"""What there is to check: every layer that is asked for, with the code that it is checked on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convcheck.checks.check_layer import Demand, foreseen_work
from convcheck.checks.pools import Subjects
from convcheck.errors import Parameter, UsageError
from convcheck.layer.layer import Layer
from convcheck.suites.config import Suite, load
from convcheck.suites.fitting import Fit
from convcheck.suites.select import nothing_selected, selector
from convcheck.suites.shipped import DEFAULT_FILE, shipped
from convcheck.targets.target import Target

#: What can be verified: a layer, a suite, the path of a config file or the name of a suite that ships with convcheck.
Subject = Layer | Suite | str | os.PathLike[str]


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

    @property
    def work(self) -> float:
        """The work that it will take."""
        return foreseen_work(self.layer, self.demand, self.targets)


def suite_of(subject: Subject) -> Suite:
    if isinstance(subject, Suite):
        return subject
    if isinstance(subject, Layer):
        return Suite(name=subject.name, layers=(subject,), lines=(None,))
    if isinstance(subject, (str, os.PathLike)):
        return load(subject)
    raise UsageError(f"{subject!r} cannot be verified; expected a Layer, a Suite, a path or the name of a suite")


def jobs_of(
    suites: Sequence[Suite], asked: Subjects, demand: Demand, changes: Mapping[str, Any], fitted: Fit | None
) -> list[Job]:
    jobs: list[Job] = []
    for suite in suites:
        subjects = _subjects(suite, asked)
        # What is asked for all suites is found once.
        shared = jobs and jobs[-1].subjects is subjects
        targets = jobs[-1].targets if shared else subjects.find(fitted.probe.target if fitted else None)
        gated = replace(demand, max_error=suite.max_error if demand.max_error is None else demand.max_error)
        layers = [replace(layer, **changes) for layer in suite.layers] if changes else suite.layers
        jobs += [
            Job(layer, subjects, targets, gated, suite.name, suite.path, line)
            for layer, line in zip(layers, suite.lines, strict=True)
        ]
    return jobs


def _subjects(suite: Suite, asked: Subjects) -> Subjects:
    """Return what is checked on a suite: the caller's target, or else the suite's, or else what is built in."""
    if asked.target is not None or asked.formulations:
        return asked
    if suite.target is None:
        if asked.device is not None:
            raise UsageError(
                Parameter("device"), " is for a target, not for what is built in; give one with ", Parameter("target")
            )
        if asked.limits.keep_case is not None:
            raise UsageError(Parameter("keep_case"), " is for a program; give one with ", Parameter("target"))
        return asked
    # A target on the command line is relative to the current folder, one in a config to that config.
    return replace(asked, target=suite.target, folder=asked.folder if suite.path is None else suite.path.parent)


def require_code(suites: Sequence[Suite], target: Any, formulations: Sequence[str], asked_by: Parameter) -> None:
    """Complain where only the built-in formulations would be checked."""
    nothing = "no code of yours would be checked, only convcheck's own formulations, and "
    if formulations:
        raise UsageError(nothing, asked_by, " does not allow that; leave out ", Parameter("formulations"))
    unnamed = [suite for suite in suites if suite.target is None]
    if target is not None or not unnamed:
        return
    own = [suite.name for suite in unnamed if suite.path is not None and not shipped(suite.path)]
    example = "my_conv.py:MyConv"
    raise UsageError(
        f"{', '.join(suite.name for suite in unnamed)}: {nothing}", asked_by, " expects some; give it with ",
        Parameter("target", example), f', or with a line such as "target: {example}" in ',
        ", ".join(own) or f"a config of your own; {DEFAULT_FILE} in the current folder is found by itself",
    )  # fmt: skip


def selected(jobs: list[Job], select: str | None, suites: Sequence[Suite]) -> list[Job]:
    if not jobs:
        raise UsageError("there is nothing to verify; expected at least one layer or config")
    if select is None:
        return jobs
    selects = selector(select)
    chosen = [job for job in jobs if selects(job.layer.name)]
    if not chosen:
        raise nothing_selected(select, suites)
    return chosen


def of_their_kind(jobs: list[Job]) -> tuple[list[Job], tuple[str, ...]]:
    """Leave out layers of a kind that a target is no code for: a shipped suite has them for other code.

    They are told. Where nothing would be left, all stay and say why they cannot be checked, as layers of one's own do.
    """
    kept: list[Job] = []
    others: dict[tuple[str, str], list[str]] = {}
    for job in jobs:
        own = job.path is None or not shipped(job.path)
        kinds = [] if own else [kind for target in job.targets for kind in target.other_kinds(job.layer)]
        if kinds:
            others.setdefault((job.config, ", ".join(kinds)), []).append(job.layer.name)
        else:
            kept.append(job)
    if not kept:
        return jobs, ()
    texts = [
        f"{', '.join(names)} of {config}: the target is not said to take {kinds}"
        for (config, kinds), names in others.items()
    ]
    return kept, tuple(texts)
