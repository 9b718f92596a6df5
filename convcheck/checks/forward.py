"""The output against the definition. It comes first: colouring is a premise about the forward pass."""

from __future__ import annotations

from dataclasses import replace

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed
from convcheck.checks.verdict import compared, faulty
from convcheck.reports.results import GradientResult


def check(expected: Expected, observed: Observed, on_reals: Observed) -> GradientResult:
    """Compare every entry of the output with the definition's, exactly where the data are integers.

    Parameters
    ----------
    observed : Observed
        On the data of the forward check.
    on_reals : Observed
        On real data, where the same must hold within the rounding bound; ``observed`` itself where that was not run.
    """
    fault = faulty(expected, observed, "output", "forward") or faulty(expected, on_reals, "output", "forward")
    if fault:
        return fault
    result = compared(expected, observed, "output", "forward", expected.definition, expected.forward_allowance, 0)
    if not result.passed or on_reals is observed:
        return result
    real = compared(expected, on_reals, "output", "forward", expected.real_output, expected.real_output_allowance, 0)
    return result if real.passed else replace(real, message=f"on real data, not on integers: {real.message}")
