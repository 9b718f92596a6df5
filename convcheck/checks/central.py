"""A gradient against central differences on real data, within the bound that rounding implies."""

from __future__ import annotations

import numpy as np

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed
from convcheck.checks.verdict import compared, faulty, skipped
from convcheck.layer.arrays import Array
from convcheck.reports.results import GradientResult


def says_nothing(numeric: Array, allowed: Array) -> bool:
    """Whether a gradient of zeros would be within the bound, or there is no bound at some entry."""
    sizes = np.abs(numeric)
    return not np.isfinite(allowed).all() or (bool(sizes.any()) and bool((sizes <= allowed).all()))


def check(expected: Expected, observed: Observed, gradient: str) -> GradientResult:
    """Compare every entry of a gradient.

    Parameters
    ----------
    observed : Observed
        On real data.
    """
    fault = faulty(expected, observed, gradient, "central")
    if fault:
        return fault
    if not expected.follows_definition:
        reason = "colouring assumes the definition's forward pass, and this one differs"
        return skipped(expected, observed.implementation.name, gradient, "central", reason)
    allowed = getattr(expected.allowed, gradient)
    numeric = expected.central(gradient)
    if expected.max_error is None and says_nothing(numeric.values, allowed):
        reason = f"rounding in {expected.layer.dtype} can be as large as the gradient itself, so real data say nothing"
        return skipped(expected, observed.implementation.name, gradient, "central", reason)
    return compared(expected, observed, gradient, "central", numeric.values, allowed, numeric.evaluations)
