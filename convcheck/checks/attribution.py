"""Attaching diagnoses to the failed results of one implementation on one layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from convcheck.checks.comparison import compare
from convcheck.checks.expected import Expected
from convcheck.gradients import FASTEST, formulation
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.mistakes.diagnose import Finding, diagnose
from convcheck.reports.results import GradientResult, Worst
from convcheck.reports.where import where
from convcheck.targets.target import Target


def attributed(results: Sequence[GradientResult], expected: Expected, implementation: Target) -> list[GradientResult]:
    """Return the results, each failed one with the mistake behind it where one is found.

    A gradient is diagnosed once, on integer data; all its failed results get the same diagnosis. Where the output is
    wrong, only the output is diagnosed: a gradient is then right or wrong with respect to another function.

    Parameters
    ----------
    results : sequence of GradientResult
        Of one implementation on one layer.
    """
    failed = list(dict.fromkeys(result.gradient for result in results if result.status == "failed"))
    if "output" in failed:
        failed = ["output"]
    findings = {gradient: diagnosed(expected.layer, gradient, implementation) for gradient in failed}
    return [
        _with_finding(_with_place(result, expected, implementation), findings[result.gradient])
        if result.status == "failed" and result.gradient in findings
        else result
        for result in results
    ]


def diagnosed(layer: Layer, gradient: str, implementation: Target) -> Finding:
    """Find the mistake behind a wrong gradient of an implementation."""
    return diagnose(layer, gradient, lambda other, operands: _run(implementation, other, operands))


def _run(implementation: Target, layer: Layer, operands: Operands) -> dict[str, Array]:
    """Return the arrays that an implementation gives; what it cannot do is missing."""
    if implementation.unsupported(layer):
        return {}
    try:
        done = implementation.run(layer, operands)
        gradients = dict(zip(("input", "weight", "bias"), done.backward(), strict=True))
    except (Exception, SystemExit):
        # A layer that the target cannot take, or a target that raises now and then: there is nothing to compare.
        return {}
    arrays = {
        name: np.asarray(value) for name, value in {"output": done.output, **gradients}.items() if value is not None
    }
    return {name: array for name, array in arrays.items() if array.dtype.kind in "fiu"}


def _with_finding(result: GradientResult, finding: Finding) -> GradientResult:
    # Under a condition, that the gradient is right on the layer's own data is known.
    note = finding.note if finding.diagnoses or result.condition is None else None
    message = "; ".join(part for part in (result.message, note) if part)
    return replace(result, diagnosis=finding.diagnoses, message=message or None)


def _with_place(result: GradientResult, expected: Expected, implementation: Target) -> GradientResult:
    """Find the worst entry behind a projected check, which by itself only says that some entry is wrong.

    The built-in backward pass stands in for the numeric gradient.
    """
    if result.check != "projected" or expected.integers is None:
        return result
    at = expected.integers
    observed = _run(implementation, expected.layer, at).get(result.gradient)
    right = getattr(formulation(FASTEST).backward(expected.layer, at.x, at.weight, at.grad_output), result.gradient)
    if observed is None or observed.shape != right.shape:
        return result
    comparison = compare(observed, right, 0.0)
    worst: Worst | None = comparison.worst
    if worst is None:
        return result
    place = f"{comparison.mismatches:,} of {right.size:,} entries differ from the built-in backward pass"
    message = "; ".join(part for part in (result.message, place, where(comparison.wrong, result.gradient)) if part)
    return replace(result, worst=worst, message=message)
