"""A gradient against central differences on real data, within the bound that rounding implies."""

from __future__ import annotations

import numpy as np

from convcheck.checks.expected import Case
from convcheck.checks.observed import Outcome
from convcheck.checks.verdict import compared, faulty, skipped
from convcheck.layer.arrays import Array
from convcheck.reports.results import GradientResult


def _says_nothing(numeric: Array, allowed: Array) -> bool:
    """Whether a gradient of zeros would be within the bound, or there is no bound at some entry."""
    sizes = np.abs(numeric)
    return not np.isfinite(allowed).all() or (bool(sizes.any()) and bool((sizes <= allowed).all()))


def check(case: Case, outcome: Outcome, gradient: str) -> GradientResult:
    """Compare every entry of a gradient.

    Parameters
    ----------
    case : Case
    outcome : Outcome
        On the case's real data.
    gradient : str
    """
    fault = faulty(case, outcome, gradient, "central")
    if fault:
        return fault
    if not case.follows_definition:
        reason = "colouring assumes the definition's forward pass, and this one differs"
        return skipped(case, outcome.implementation.name, gradient, "central", reason)
    allowed = getattr(case.allowed, gradient)
    numeric = case.central(gradient)
    if case.max_error is None and _says_nothing(numeric.values, allowed):
        reason = f"rounding in {case.layer.dtype} can be as large as the gradient itself, so real data say nothing"
        return skipped(case, outcome.implementation.name, gradient, "central", reason)
    return compared(case, outcome, gradient, "central", numeric.values, allowed, numeric.evaluations)
