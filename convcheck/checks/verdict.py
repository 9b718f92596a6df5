"""Making results: the fields that every kind of check fills in the same way."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

from convcheck.checks.comparison import compare
from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed, shape_of
from convcheck.checks.plan import gradients_of
from convcheck.layer.arrays import Array
from convcheck.reports.results import GradientResult
from convcheck.reports.where import where


def faulty(expected: Expected, observed: Observed, gradient: str, check: str) -> GradientResult | None:
    """Return the result for an array that the implementation did not give, or None if it did."""
    fault = observed.faults.get(gradient)
    if fault is None:
        return None
    entries = prod(shape_of(gradient, expected.layer))
    name = observed.implementation.name
    mismatches = entries if fault.status == "failed" else 0
    return GradientResult(name, gradient, check, fault.status, entries, mismatches=mismatches, message=fault.message)


def skipped(
    expected: Expected, name: str, gradient: str, check: str, reason: str | None, *, waived: bool = False
) -> GradientResult:
    """Return the result of a check that did not run."""
    entries = prod(shape_of(gradient, expected.layer))
    return GradientResult(name, gradient, check, "skipped", entries, message=reason, waived=waived)


def refused(expected: Expected, name: str, checks: Collection[str], reason: str) -> list[GradientResult]:
    """Return the results of a layer that an implementation does not take."""
    results = [skipped(expected, name, "output", "forward", reason)] if "forward" in checks else []
    # What says nothing of a first derivative has nothing to say of a second one.
    kinds = [check for check in checks if check not in ("forward", "double")] or ["double"] * ("double" in checks)
    return results + [
        skipped(expected, name, gradient, kind, reason) for gradient in gradients_of(expected.layer) for kind in kinds
    ]


def inconclusive(expected: Expected, name: str, gradient: str, check: str, reason: str) -> GradientResult:
    """Return the result of a check that ran and cannot say."""
    return GradientResult(
        name, gradient, check, "inconclusive", prod(shape_of(gradient, expected.layer)), message=reason
    )


def raised(expected: Expected, name: str, gradient: str, check: str, message: str) -> GradientResult:
    """Return the result of a check during which the implementation raised."""
    return GradientResult(name, gradient, check, "error", prod(shape_of(gradient, expected.layer)), message=message)


def compared(
    expected: Expected,
    observed: Observed,
    gradient: str,
    check: str,
    numeric: Array,
    allowed: Array | float,
    evaluations: int,
) -> GradientResult:
    """Return the result of comparing every entry of an array."""
    comparison = compare(
        observed.arrays[gradient], numeric, allowed, None if check == "forward" else expected.max_error
    )
    place = where(comparison.wrong, gradient, transposed=expected.layer.transposed) if comparison.mismatches else None
    return GradientResult(
        implementation=observed.implementation.name,
        gradient=gradient,
        check=check,
        status="failed" if comparison.mismatches else "passed",
        entries=comparison.wrong.size,
        entries_checked=comparison.wrong.size,
        evaluations=evaluations,
        max_abs_error=comparison.max_abs_error,
        max_rel_error=comparison.max_rel_error,
        allowed_error=comparison.allowed_error,
        mismatches=comparison.mismatches,
        worst=comparison.worst,
        on_integers=isinstance(allowed, float) and allowed == 0,
        message=place,
    )
