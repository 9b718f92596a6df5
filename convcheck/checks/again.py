"""A layer that differs from an earlier one in nothing but its name, on whose data code was found right.

The data are the same, and so are the numeric gradients of the function that the code computes. Where it gives the
output and the gradient of the earlier layer once more, bit for bit, costly differences are not made once more. All else
is checked as on any layer; where it gives anything else, the differences too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from convcheck.checks.observed import Observed
from convcheck.checks.plan import Step
from convcheck.checks.work import PACE
from convcheck.layer.layer import Layer
from convcheck.reports.results import GradientResult

#: Work of differences that are worth sparing: a tenth of a second.
_COSTLY = PACE / 10


@dataclass(frozen=True)
class Earlier:
    """The first of several layers that are equal but for their names, and what was found on it."""

    name: str
    results: tuple[GradientResult, ...]

    def settled(self, steps: Sequence[Step], observed: Observed, on_reals: Observed) -> dict[Step, GradientResult]:
        """Return the results of the checks that need no differences here."""
        known = {(result.check, result.gradient): result for result in self.results if result.passed and result.digest}
        note = f"output and gradient are those of {self.name}, bit for bit, on the same data; no differences were made"
        return {
            step: replace(found, evaluations=0, message=note, draws=None, exercised=None)
            for step in steps
            if (found := known.get((step.check, step.gradient)))
            and found.digest == _digest(on_reals if step.check == "central" else observed, step.gradient)
        }


def costly(layer: Layer, step: Step) -> bool:
    """Whether differences take so much work that they are not made twice for the same arrays."""
    return step.check in ("exact", "central") and step.evaluations * layer.multiply_adds >= _COSTLY


def with_digest(result: GradientResult, observed: Observed) -> GradientResult:
    """Return a result that passed, by which arrays that are given again are known."""
    return replace(result, digest=_digest(observed, result.gradient))


def _digest(observed: Observed, gradient: str) -> str | None:
    arrays = [observed.arrays.get(name) for name in ("output", gradient)]
    hashed = hashlib.blake2b(digest_size=16)
    for array in arrays:
        if array is None:
            return None
        hashed.update(array.tobytes())
    return hashed.hexdigest()
