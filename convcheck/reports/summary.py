"""What a report says beyond its rows: failures, reasons and totals, gathered for every text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from convcheck.reports.reproduce import command
from convcheck.reports.results import GradientResult, LayerReport, ReportData

#: The statuses, from what decides most to what decides least.
GRAVEST_FIRST = ("failed", "error", "inconclusive", "passed", "skipped")

NOTHING_CHECKED = "no gradient was checked, so the layer has not passed"


@dataclass(frozen=True)
class Failure:
    """A failed check.

    Attributes
    ----------
    layer : LayerReport
    result : GradientResult
    command : str or None
        Runs just this check again; None where no command can.
    """

    layer: LayerReport
    result: GradientResult
    command: str | None


@dataclass(frozen=True)
class Finding:
    """A reason for which checks were skipped, are inconclusive or ended in an error.

    Attributes
    ----------
    status : str
    reason : str
    layers, gradients, checks, implementations : tuple of str
        Where the reason holds, in the order of the report.
    command : str or None
        Runs the first of the checks again; None where there is nothing to see or no command can.
    """

    status: str
    reason: str
    layers: tuple[str, ...]
    gradients: tuple[str, ...]
    checks: tuple[str, ...]
    implementations: tuple[str, ...]
    command: str | None


@dataclass(frozen=True)
class Totals:
    """Counts over a report.

    Attributes
    ----------
    passed : bool
    layers, layers_passed : int
    gradients : Counter of str
        Gradients of layers by status, the gravest first; one each, however many checks and implementations it had.
    compared_exactly, compared_within_bound : int
        Entries that were compared with zero tolerance, and with the derived one; once per check and implementation.
    projected_entries : int
        Entries of the gradients that were checked by projection, each counted once.
    projected_gradients : int
    false_pass_probability : float
        Largest bound on the probability with which one of those passes although it is wrong.
    evaluations : int
    elapsed_seconds : float
    """

    passed: bool
    layers: int
    layers_passed: int
    gradients: Counter[str]
    compared_exactly: int
    compared_within_bound: int
    projected_gradients: int
    projected_entries: int
    false_pass_probability: float
    evaluations: int
    elapsed_seconds: float


def failures_of(report: ReportData) -> list[Failure]:
    """Return the failed checks, in the order of the report.

    Of a gradient that failed both on real and on integer data, only the latter, which says the same in whole numbers.
    """
    failed = [(layer, result) for layer, result in _pairs(report.layers) if result.status == "failed"]
    exactly = {(id(layer), r.implementation, r.gradient) for layer, r in failed if r.check == "exact"}
    return [
        Failure(layer, result, command(report, layer, result))
        for layer, result in failed
        if result.check != "central" or (id(layer), result.implementation, result.gradient) not in exactly
    ]


def findings_of(report: ReportData) -> list[Finding]:
    """Return the reasons of all checks that neither passed nor failed, equal ones together, the gravest first."""
    places: dict[tuple[str, str], list[tuple[LayerReport, GradientResult]]] = {}
    for layer, result in _pairs(report.layers):
        if result.status not in ("passed", "failed"):
            reason = result.message or "no reason was given"
            places.setdefault((result.status, reason), []).append((layer, result))
    findings = [
        Finding(
            status,
            reason,
            layers=_unique(layer.layer.name for layer, _ in where),
            gradients=_unique(result.gradient for _, result in where),
            checks=_unique(result.check for _, result in where),
            implementations=_unique(result.implementation for _, result in where),
            command=None if status == "skipped" else command(report, *where[0]),
        )
        for (status, reason), where in places.items()
    ]
    # A layer can fail without any result that says so.
    unchecked = _unique(
        layer.layer.name for layer in report.layers if not layer.passed and all(r.acceptable for r in layer.results)
    )
    if unchecked:
        findings.append(Finding("failed", NOTHING_CHECKED, unchecked, (), (), (), None))
    return sorted(findings, key=lambda finding: GRAVEST_FIRST.index(finding.status))


def totals_of(report: ReportData) -> Totals:
    """Count what was checked, and how."""
    statuses = [status for layer in report.layers for status in _gradient_statuses(layer)]
    results = [result for _, result in _pairs(report.layers) if result.status in ("passed", "failed")]
    exactly = [result for result in results if result.allowed_error == 0 and result.check != "central"]
    compared = sum(result.entries_checked for result in results)
    compared_exactly = sum(result.entries_checked for result in exactly)
    projected = [result for result in results if result.check == "projected"]
    sizes = {
        (number, result.gradient): result.entries
        for number, layer in enumerate(report.layers)
        for result in layer.results
        if result.check == "projected" and result.status in ("passed", "failed")
    }
    return Totals(
        passed=report.passed,
        layers=len(report.layers),
        layers_passed=sum(layer.passed for layer in report.layers),
        gradients=Counter(sorted(statuses, key=GRAVEST_FIRST.index)),
        compared_exactly=compared_exactly,
        compared_within_bound=compared - compared_exactly,
        projected_gradients=len(sizes),
        projected_entries=sum(sizes.values()),
        false_pass_probability=max((result.false_pass_probability or 0.0 for result in projected), default=0.0),
        evaluations=sum(result.evaluations for _, result in _pairs(report.layers)),
        elapsed_seconds=report.elapsed_seconds,
    )


def _gradient_statuses(report: LayerReport) -> list[str]:
    """Return the status of each gradient of a layer: that of its gravest result."""
    statuses: dict[str, str] = {}
    for result in report.results:
        if result.gradient != "output":
            known = statuses.get(result.gradient, result.status)
            statuses[result.gradient] = min(known, result.status, key=GRAVEST_FIRST.index)
    return list(statuses.values())


def _pairs(layers: Iterable[LayerReport]) -> Iterator[tuple[LayerReport, GradientResult]]:
    return ((layer, result) for layer in layers for result in layer.results)


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
