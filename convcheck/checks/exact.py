"""A gradient against differences on integer data: every entry, and nothing is allowed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convcheck.checks import projected
from convcheck.checks.expected import Case
from convcheck.checks.observed import Outcome
from convcheck.checks.verdict import compared, faulty, inconclusive
from convcheck.gradients.numeric.directions import OPERAND_OF
from convcheck.reports.results import GradientResult

_OWN_FORWARD = "agrees with the differences of its own forward pass, which is not the definition's"

_OF_DEFINITION = "it is the gradient of the definition's forward pass, not of the target's own"


def check(case: Case, outcome: Outcome, gradient: str, affordable: float) -> GradientResult:
    """Compare every entry of a gradient.

    Parameters
    ----------
    case : Case
    outcome : Outcome
        On the case's integer data.
    gradient : str
    affordable : float
        Evaluations that the check may take where the forward pass is not the definition's, and every entry needs one.
    """
    fault = faulty(case, outcome, gradient, "exact")
    if fault:
        return fault
    if not case.follows_definition:
        return _against_own_forward(case, outcome, gradient, affordable)
    result = _compare(case, outcome, gradient, packed=True)
    if result.passed or case.source.builtin:
        return result
    # Packing takes large steps, at which code that computes in a lower precision inside may no longer be exact. Such
    # code is not accused on that ground: the verdict is that of unit steps.
    return _compare(case, outcome, gradient, packed=False)


def _compare(case: Case, outcome: Outcome, gradient: str, *, packed: bool) -> GradientResult:
    numeric = case.exact(gradient, packed=packed)
    return compared(case, outcome, gradient, "exact", numeric.values, 0.0, numeric.evaluations)


def _against_own_forward(case: Case, outcome: Outcome, gradient: str, affordable: float) -> GradientResult:
    operand = OPERAND_OF[gradient]
    if not case.linear_in(operand):
        reason = (
            f"the forward pass is not linear in the {gradient}, so that differences are not its derivative; check the "
            "convolution without the nonlinearity around it"
        )
        return inconclusive(case, outcome.implementation.name, gradient, "exact", reason)
    if getattr(case.operands, operand).size > affordable:
        return projected.check(case, outcome, gradient, None)
    numeric = case.exact(gradient, packed=False)
    allowed = case.own_rounding(gradient)
    result = compared(case, outcome, gradient, "exact", numeric.values, allowed, numeric.evaluations)
    if result.passed:
        return replace(result, message=f"{_OWN_FORWARD}{', up to rounding' if result.max_abs_error else ''}")
    if np.array_equal(outcome.arrays[gradient], getattr(case.reference, gradient)):
        return replace(result, message=f"{_OF_DEFINITION}; {result.message}")
    return result
