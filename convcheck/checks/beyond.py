"""What is wrong because of what lies beyond the arguments: other numbers at every call, or NaN, or a neighbour's.

Ordinary memory holds anything there, so what such code gives looks like a race, or like nothing that is known. Between
bands of zeros and between bands of NaN it shows what it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed
from convcheck.mistakes.conditions import CONDITIONS
from convcheck.mistakes.resemblance import RESEMBLANCES
from convcheck.reports.results import OUT_OF_BOUNDS, GradientResult
from convcheck.targets.calling import How
from convcheck.targets.target import Target

#: Names that say what a wrong result looks like, and not how it came about.
VAGUE = frozenset({"nondeterministic", "non-finite", *RESEMBLANCES})


def with_reading_beyond(
    results: Sequence[GradientResult], plain: Sequence[GradientResult], expected: Expected, observed: Observed
) -> list[GradientResult]:
    """Return the results of a target; those that memory beyond its arguments makes wrong say so.

    The target is run twice more where it is wrong for no known mistake.

    Parameters
    ----------
    results : sequence of GradientResult
        Of one target on one layer, with diagnoses, and with what its behaviour says.
    plain : sequence of GradientResult
        The same results without them.
    """
    failed = [result.status == "failed" and VAGUE.issuperset(d.name for d in result.diagnosis) for result in results]
    asked = {result.gradient for result, unexplained in zip(results, failed, strict=True) if unexplained}
    raised = any(fault.status == "error" for fault in observed.faults.values())
    target = observed.implementation
    possible = asked and not raised and OUT_OF_BOUNDS not in target.inapplicable
    found = reading_beyond({*asked, "output"}, expected, target) if possible else {}
    for gradient in asked - found.keys() if "output" in found else ():
        # It is differences of such outputs that a right gradient disagrees with.
        if np.array_equal(observed.arrays.get(gradient, ()), expected.right(expected.operands)[gradient]):
            found[gradient] = found["output"]
    marked = []
    for result, before, unexplained in zip(results, plain, failed, strict=True):
        message = found.get(result.gradient)
        if not unexplained or message is None:
            marked.append(result)
            continue
        # What was tried to explain it tells of chance.
        chosen = before if before.status == "failed" else replace(result, message=None)
        message = "; ".join(part for part in (message, chosen.message) if part)
        known = (CONDITIONS[OUT_OF_BOUNDS].diagnosis(),)
        marked.append(replace(chosen, diagnosis=known, message=message, single_pass=False))
    return marked


def reading_beyond(gradients: Collection[str], expected: Expected, target: Target) -> dict[str, str]:
    """Run a target twice; say of each of some arrays that depends on what lies beyond the arguments, how."""
    zeros, nan = (
        Observed.of(target, expected.layer, expected.operands, How(around=what)).arrays for what in ("zeros", "nan")
    )
    found = {}
    for gradient in gradients:
        if gradient not in zeros or gradient not in nan:
            continue
        count = int(np.count_nonzero(~np.isfinite(nan[gradient])))
        if count and np.isfinite(zeros[gradient]).all():
            right = np.array_equal(zeros[gradient], expected.right(expected.operands)[gradient])
            label = "output" if gradient == "output" else f"grad_{gradient}"
            found[gradient] = (
                f"the code reads beyond its arguments: with NaN around them, {count:,} of {nan[gradient].size:,} "
                f"entries of {label} are not finite, with zeros all are{' right' * right}"
            )
    return found
