"""A gradient against differences on integer data: every entry, and nothing is allowed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convcheck.checks import projected
from convcheck.checks.central import says_nothing
from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed
from convcheck.checks.verdict import compared, faulty, inconclusive
from convcheck.gradients.numeric.directions import OPERAND_OF
from convcheck.reports.results import GradientResult

_OWN_FORWARD = "agrees with the differences of its own forward pass, which is not the definition's"

_OF_DEFINITION = "it is the gradient of the definition's forward pass, not of the target's own"


def check(expected: Expected, observed: Observed, gradient: str, affordable: float) -> GradientResult:
    """Compare every entry of a gradient.

    Parameters
    ----------
    observed : Observed
        On integer data.
    affordable : float
        Evaluations that the check may take where the forward pass is not the definition's, and every entry needs one.
    """
    fault = faulty(expected, observed, gradient, "exact")
    if fault:
        return fault
    if not expected.follows_definition:
        return _against_own_forward(expected, observed, gradient, affordable)
    result = _compare(expected, observed, gradient, packed=True)
    if result.passed or expected.source.builtin:
        return result
    # Packing takes large steps, at which code that computes in a lower precision inside may no longer be exact. Such
    # code is not accused on that ground: the verdict is that of unit steps.
    return _compare(expected, observed, gradient, packed=False)


def _compare(expected: Expected, observed: Observed, gradient: str, *, packed: bool) -> GradientResult:
    numeric = expected.exact(gradient, packed=packed)
    return compared(expected, observed, gradient, "exact", numeric.values, 0.0, numeric.evaluations)


def _against_own_forward(expected: Expected, observed: Observed, gradient: str, affordable: float) -> GradientResult:
    operand = OPERAND_OF[gradient]
    if not expected.linear_in(operand):
        reason = (
            f"the forward pass is not linear in the {gradient}, so that differences are not its derivative; check the "
            "convolution without the nonlinearity around it"
        )
        return inconclusive(expected, observed.implementation.name, gradient, "exact", reason)
    if getattr(expected.operands, operand).size > affordable:
        return projected.check(expected, observed, gradient, None)
    numeric = expected.exact(gradient, packed=False)
    allowed = expected.own_rounding(gradient)
    result = compared(expected, observed, gradient, "exact", numeric.values, allowed, numeric.evaluations)
    sizes = np.maximum(np.abs(numeric.values), np.abs(observed.arrays[gradient]))
    if result.passed and expected.max_error is None and says_nothing(sizes, np.asarray(allowed)):
        reason = "outputs are so large that rounding can change their differences by as much as the gradient itself"
        return inconclusive(expected, observed.implementation.name, gradient, "exact", reason)
    if result.passed:
        return replace(result, message=f"{_OWN_FORWARD}{', up to rounding' if result.max_abs_error else ''}")
    if np.array_equal(observed.arrays[gradient], getattr(expected.reference, gradient)):
        return replace(result, message=f"{_OF_DEFINITION}; {result.message}")
    return result
