"""Attaching diagnoses to the failed results of one implementation on one layer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from convcheck.checks.comparison import compare
from convcheck.checks.expected import Expected
from convcheck.gradients import FASTEST, formulation
from convcheck.layer.arrays import Array, is_numeric
from convcheck.layer.data import Operands, integer_operands
from convcheck.layer.layer import Layer
from convcheck.mistakes.crashes import crash
from convcheck.mistakes.diagnose import Finding, diagnose
from convcheck.reports.results import Diagnosis, GradientResult, Worst
from convcheck.reports.where import where
from convcheck.targets.target import Target


def attributed(results: Sequence[GradientResult], expected: Expected, implementation: Target) -> list[GradientResult]:
    """Return the results, each failed one with the mistake behind it where one is found.

    A gradient is diagnosed once, on integer data; all its failed results get the same diagnosis. Where the output is
    wrong, a gradient is right or wrong with respect to another function, and only the output is diagnosed; but what is
    off by what is added to every output, such as the bias, is another function with the same dL/dX and dL/dW.

    Parameters
    ----------
    results : sequence of GradientResult
        Of one implementation on one layer.
    """
    # What a condition or a trick explains is explained.
    failed = list(dict.fromkeys(r.gradient for r in results if r.status == "failed" and not r.diagnosis))
    if "output" in failed:
        untouched = ("input", "weight") if expected.right_but_for_bias else ()
        failed = [gradient for gradient in failed if gradient == "output" or gradient in untouched]
    findings = {gradient: diagnosed(expected.layer, gradient, implementation) for gradient in failed}
    crashes = {result.message for result in results if result.status == "error" and result.message}
    causes = {message: crashed(expected.layer, message, implementation) for message in crashes}
    marked = []
    for result in results:
        if result.status == "failed" and not result.diagnosis and result.gradient in findings:
            found = _with_finding(_with_place(result, expected, implementation), findings[result.gradient])
        else:
            cause = causes.get(result.message) if result.status == "error" and result.message else None
            found = replace(result, diagnosis=(cause,)) if cause else result
        marked.append(found)
    return marked


def crashed(layer: Layer, message: str, implementation: Target) -> Diagnosis | None:
    """Find the mistake behind an exception that an implementation raised on a layer."""

    def runs(other: Layer) -> bool:
        operands = integer_operands(other)
        return operands is not None and "input" in arrays_of(implementation, other, operands)

    # What raises now and then only is no matter of the layer.
    return None if runs(layer) else crash(layer, message, runs)


def diagnosed(layer: Layer, gradient: str, implementation: Target) -> Finding:
    """Find the mistake behind a wrong gradient of an implementation."""
    return diagnose(layer, gradient, lambda other, operands: arrays_of(implementation, other, operands))


def arrays_of(implementation: Target, layer: Layer, operands: Operands) -> dict[str, Array]:
    """Return the arrays that an implementation gives; what it cannot do is missing."""
    arrays: dict[str, Array] = {}
    if implementation.unsupported(layer):
        return arrays
    # What a target raises on a layer that it cannot take, or now and then, leaves nothing to compare.
    with suppress(Exception, SystemExit):
        done = implementation.run(layer, operands)
        # A copy: the backward pass may write into it. It may also raise, as for an output of the wrong shape.
        arrays["output"] = np.array(done.output)
        gradients = dict(zip(("input", "weight", "bias"), done.backward(), strict=True))
        arrays |= {name: np.asarray(value) for name, value in gradients.items() if value is not None}
    return {name: array for name, array in arrays.items() if is_numeric(array, layer.dtype)}


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
    observed = arrays_of(implementation, expected.layer, at).get(result.gradient)
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
