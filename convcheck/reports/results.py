"""What a verification found, as plain data; its shape is the JSON schema of the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from convcheck.layer.layer import Layer

SCHEMA_VERSION = 1

#: Which array a result is about, in the order in which it is checked.
GRADIENTS = ("output", "input", "weight", "bias")

#: Kinds of check, in the order in which they run.
CHECKS = ("forward", "central", "exact", "projected", "conditions")

STATUSES = ("passed", "failed", "skipped", "inconclusive", "error")


@dataclass(frozen=True)
class Worst:
    """The entry that is furthest beyond what is allowed.

    Attributes
    ----------
    index : tuple of int
        Its position; empty for a projected check, which compares two sums instead of entries, unless the entry behind
        the difference was found.
    analytic, numeric : float
        What the backward pass gave and what the forward pass implies.
    """

    index: tuple[int, ...]
    analytic: float
    numeric: float


@dataclass(frozen=True)
class Diagnosis:
    """A known mistake that reproduces a wrong gradient, or what the gradient has in common with the right one.

    Attributes
    ----------
    code, name : str
        The mistake's code and slug.
    explanation, fix : str
        One sentence each.
    """

    code: str
    name: str
    explanation: str
    fix: str


@dataclass(frozen=True)
class GradientResult:
    """The outcome of one check of one array of one implementation.

    Attributes
    ----------
    implementation : str
        A formulation's name, or the target as given.
    gradient : str
        "output" (the forward pass), "input", "weight" or "bias".
    check : str
        "forward", "central", "exact" or "projected".
    status : str
        "passed", "failed", "skipped", "inconclusive" or "error".
    entries, entries_checked : int
        Entries of the array, and how many of them were compared one by one.
    evaluations : int
        Perturbed forward passes that the numeric side took.
    max_abs_error, max_rel_error : float
        max|analytic - numeric|, and the same divided by max(max|analytic|, max|numeric|).
    allowed_error : float
        Allowed |analytic - numeric|: at the entry with the largest error where the check passed, at the worst entry
        where it failed. So ``max_abs_error <= allowed_error`` holds exactly when the check passed.
    mismatches : int
        Entries whose error is larger than their allowance; for a projected check, draws that disagreed.
    false_pass_probability : float or None
        Bound on the probability with which a wrong gradient passes; None where every entry was compared.
    worst : Worst or None
        None where nothing differs.
    diagnosis : tuple of Diagnosis
    message : str or None
        Where the wrong entries lie, or why the check was skipped, is inconclusive or ended in an error.
    waived : bool
        Whether it was skipped because the target is said not to give this gradient at all.
    condition : str or None
        For a check of the kind "conditions": which.
    """

    implementation: str
    gradient: str
    check: str
    status: str
    entries: int = 0
    entries_checked: int = 0
    evaluations: int = 0
    max_abs_error: float = 0.0
    max_rel_error: float = 0.0
    allowed_error: float = 0.0
    mismatches: int = 0
    false_pass_probability: float | None = None
    worst: Worst | None = None
    diagnosis: tuple[Diagnosis, ...] = ()
    message: str | None = None
    waived: bool = False
    condition: str | None = None

    @property
    def passed(self) -> bool:
        """Whether this check ran and found nothing wrong."""
        return self.status == "passed"

    @property
    def acceptable(self) -> bool:
        """Whether this result leaves the layer's verdict alone: passed, or skipped with a reason."""
        return self.status in ("passed", "skipped")


@dataclass(frozen=True)
class LayerReport:
    """Everything that was found for one layer.

    Attributes
    ----------
    layer : Layer
    results : tuple of GradientResult
    config : str or None
        The config file or suite that the layer is from.
    line : int or None
        The line of the config file on which the layer starts, 1-based.
    """

    layer: Layer
    results: tuple[GradientResult, ...]
    config: str | None = None
    line: int | None = None

    @property
    def passed(self) -> bool:
        """True if no result is bad and something was really checked: being skipped is no pass.

        Every gradient must have passed some check; where there are any, the forward pass alone does not count.
        """
        results = [r for r in self.results if r.gradient != "output"] or self.results
        passed = {(r.implementation, r.gradient) for r in results if r.passed}
        needed = {(r.implementation, r.gradient) for r in results if not r.waived}
        return bool(passed) and needed <= passed and all(r.acceptable for r in self.results)


@dataclass(frozen=True)
class BlindSpot:
    """A known mistake, or some forms of it, that a suite cannot show.

    Attributes
    ----------
    code, name : str
        The mistake's code and slug.
    forms : tuple of str
        Which gradients, and which variants of the mistake, go unseen.
    change : str
        What the suite lacks, for example "a stride".
    layer : str
        A layer that shows them, as one line of a config file.
    """

    code: str
    name: str
    forms: tuple[str, ...]
    change: str
    layer: str


@dataclass(frozen=True)
class Power:
    """What a report that passed has ruled out.

    Attributes
    ----------
    entries_compared_exactly : int
        Entries that were compared with zero tolerance; once per check and implementation.
    false_pass_probability : float
        Largest bound on the probability with which a wrong gradient passed; 0 where every entry was compared.
    mistakes_shown, mistakes : int
        Known mistakes that would have shown in each of their forms, of all that can be made on layers with as many
        axes.
    """

    entries_compared_exactly: int
    false_pass_probability: float
    mistakes_shown: int
    mistakes: int


@dataclass(frozen=True)
class ReportData:
    """The outcome of a verification.

    Attributes
    ----------
    layers : tuple of LayerReport
    config : str
        The config files or suites that were verified.
    target : str or None
        What was checked; None for the built-in formulations.
    max_error : float or None
        The gate: largest allowed relative error; None where the derived bounds decide.
    elapsed_seconds : float
    convcheck_version : str
    options : tuple of str
        Options of ``convcheck verify`` that the run of any part of this report again needs, for example
        ``("--target", "my.py:MyConv", "--complete")``.
    power : Power or None
        What has been ruled out; None where that was not asked for or something failed.
    blind_spots : tuple of BlindSpot
        Looked for only where `power` is.
    strict : bool
        Whether a blind spot is a failure.
    unchecked : tuple of str
        Names of the layers that were not checked, because the run was interrupted or stopped at the first failure.
    """

    layers: tuple[LayerReport, ...]
    config: str
    target: str | None = None
    max_error: float | None = None
    elapsed_seconds: float = 0.0
    convcheck_version: str = ""
    options: tuple[str, ...] = ()
    power: Power | None = None
    blind_spots: tuple[BlindSpot, ...] = ()
    strict: bool = False
    unchecked: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if there is a layer, every layer was checked and passed, and, where that is strict, nothing is blind."""
        blind = self.strict and bool(self.blind_spots)
        complete = bool(self.layers) and not self.unchecked
        return complete and all(layer.passed for layer in self.layers) and not blind

    def to_dict(self) -> dict[str, Any]:
        """Return the report as the versioned JSON envelope; NaN and infinity become None, as JSON has neither.

        ``power`` and ``blind_spots`` are there where they were asked for, ``unchecked`` where some layers were not.
        """
        envelope: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "convcheck_version": self.convcheck_version,
            "config": self.config,
            "passed": self.passed,
            "elapsed_seconds": self.elapsed_seconds,
            "layers": [_layer_to_dict(layer) for layer in self.layers],
        }
        if self.power is not None:
            envelope["power"] = vars(self.power)
            envelope["blind_spots"] = [vars(spot) | {"forms": list(spot.forms)} for spot in self.blind_spots]
        if self.unchecked:
            envelope["unchecked"] = list(self.unchecked)
        return envelope


def _layer_to_dict(report: LayerReport) -> dict[str, Any]:
    return {
        "name": report.layer.name,
        "config": report.config,
        "line": report.line,
        "passed": report.passed,
        "spec": report.layer.spec(),
        "results": [_result_to_dict(result) for result in report.results],
    }


def _result_to_dict(result: GradientResult) -> dict[str, Any]:
    worst = result.worst
    return {
        "implementation": result.implementation,
        "gradient": result.gradient,
        "check": result.check,
        "status": result.status,
        "entries": result.entries,
        "entries_checked": result.entries_checked,
        "evaluations": result.evaluations,
        "max_abs_error": _finite(result.max_abs_error),
        "max_rel_error": _finite(result.max_rel_error),
        "allowed_error": _finite(result.allowed_error),
        "mismatches": result.mismatches,
        "false_pass_probability": result.false_pass_probability,
        "worst": None
        if worst is None
        else {"index": list(worst.index), "analytic": _finite(worst.analytic), "numeric": _finite(worst.numeric)},
        "diagnosis": [vars(diagnosis) for diagnosis in result.diagnosis],
        "message": result.message,
        **({} if result.condition is None else {"condition": result.condition}),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
