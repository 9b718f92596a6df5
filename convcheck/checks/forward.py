"""The output against the definition. It comes first: colouring is a premise about the forward pass."""

from __future__ import annotations

from dataclasses import replace

from convcheck.checks.expected import Case
from convcheck.checks.observed import Outcome
from convcheck.checks.verdict import compared, faulty
from convcheck.reports.results import GradientResult


def check(case: Case, outcome: Outcome, on_reals: Outcome) -> GradientResult:
    """Compare every entry of the output with the definition's, exactly where the data are integers.

    Parameters
    ----------
    case : Case
    outcome : Outcome
        On the data of the forward check.
    on_reals : Outcome
        On real data, where the same must hold within the rounding bound; ``outcome`` itself where that was not run.
    """
    fault = faulty(case, outcome, "output", "forward") or faulty(case, on_reals, "output", "forward")
    if fault:
        return fault
    result = compared(case, outcome, "output", "forward", case.definition, case.forward_allowance, 0)
    if not result.passed or on_reals is outcome:
        return result
    real = compared(case, on_reals, "output", "forward", case.real_output, case.real_output_allowance, 0)
    return result if real.passed else replace(real, message=f"on real data, not on integers: {real.message}")
