"""The output against the definition. It comes first: colouring is a premise about the forward pass."""

from __future__ import annotations

from convcheck.checks.case import Case
from convcheck.checks.outcome import Outcome
from convcheck.checks.results import compared, faulty
from convcheck.report import GradientResult

__all__ = ["check"]


def check(case: Case, outcome: Outcome) -> GradientResult:
    """Compare every entry of the output with the definition's, exactly where the data are integers."""
    fault = faulty(case, outcome, "output", "forward")
    return fault or compared(case, outcome, "output", "forward", case.definition, case.forward_allowance, 0)
