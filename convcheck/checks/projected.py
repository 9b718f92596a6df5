"""A gradient against random directions on integer data: a stated probability of missing a mistake, nothing allowed."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed, shape_of
from convcheck.checks.verdict import compared, faulty, inconclusive
from convcheck.gradients.numeric.projection import Draw, draw_size, project
from convcheck.reports.results import GradientResult, Worst

_OTHER_FORWARD = "the forward pass is not the definition's, and too large to be differenced one entry at a time"


def check(expected: Expected, observed: Observed, gradient: str, note: str | None) -> GradientResult:
    """Compare a gradient with the change of the output along random directions.

    Parameters
    ----------
    observed : Observed
        On integer data.
    note : str or None
        Why this check stands in for a complete one.
    """
    fault = faulty(expected, observed, gradient, "projected")
    if fault:
        return fault
    assert expected.integers is not None
    analytic = observed.arrays[gradient]
    if not draw_size(expected.layer)[0]:
        if not expected.follows_definition:
            return inconclusive(expected, observed.implementation.name, gradient, "projected", _OTHER_FORWARD)
        found = _by_entry(expected, observed, gradient)
        return replace(found, message=found.message or note)
    projection = project(expected.source.forward, expected.layer, expected.integers, expected.start, gradient, analytic)
    draws = projection.draws
    worst = max(draws, key=_relative_error)
    error, relative = abs(worst.analytic - worst.numeric), _relative_error(worst)
    gate = expected.max_error
    unequal = [draw for draw in draws if (not draw.equal if gate is None else not _relative_error(draw) <= gate)]
    if unequal and not expected.follows_definition:
        return inconclusive(expected, observed.implementation.name, gradient, "projected", _OTHER_FORWARD)
    if gate is not None and not all(draw.equal for draw in draws) and expected.follows_definition:
        return _by_entry(expected, observed, gradient)
    scale = max(abs(worst.analytic), abs(worst.numeric))
    return GradientResult(
        implementation=observed.implementation.name,
        gradient=gradient,
        check="projected",
        status="failed" if unequal else "passed",
        entries=prod(shape_of(gradient, expected.layer)),
        evaluations=len(draws),
        max_abs_error=error if np.isfinite(error) else np.inf,
        max_rel_error=relative,
        allowed_error=0.0 if gate is None else gate * scale,
        mismatches=len(unequal),
        on_integers=True,
        false_pass_probability=projection.false_pass_probability,
        worst=Worst((), worst.analytic, worst.numeric) if unequal else None,
        message=f"{len(unequal)} of {len(draws)} random directions disagree" if unequal else note,
    )


def _by_entry(expected: Expected, observed: Observed, gradient: str) -> GradientResult:
    """Compare the entries with those of the built-in backward pass: a gate is about entries, not about their sums."""
    right = getattr(expected.reference, gradient)
    return compared(expected, observed, gradient, "projected", right, 0.0, 0)


def _relative_error(draw: Draw) -> float:
    if not np.isfinite(draw.analytic) or not np.isfinite(draw.numeric):
        return float("inf")
    scale = max(abs(draw.analytic), abs(draw.numeric))
    return abs(draw.analytic - draw.numeric) / scale if scale else 0.0
