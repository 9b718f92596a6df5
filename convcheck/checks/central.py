"""A gradient against central differences on real data, within the bound that rounding implies."""

from __future__ import annotations

from convcheck.checks.case import Case
from convcheck.checks.outcome import Outcome
from convcheck.checks.results import compared, faulty, skipped
from convcheck.report import GradientResult

__all__ = ["check"]


def check(case: Case, outcome: Outcome, gradient: str) -> GradientResult:
    """Compare every entry of a gradient.

    Parameters
    ----------
    case : Case
    outcome : Outcome
        On the case's real data.
    gradient : str
    """
    if not case.follows_definition:
        reason = "colouring assumes the definition's forward pass, and this one differs"
        return skipped(case, outcome.implementation.name, gradient, "central", reason)
    fault = faulty(case, outcome, gradient, "central")
    if fault:
        return fault
    numeric = case.central(gradient)
    allowed = getattr(case.allowed, gradient)
    return compared(case, outcome, gradient, "central", numeric.values, allowed, numeric.evaluations)
