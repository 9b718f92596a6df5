"""Further data for layers whose sums are longer than a format holds: with zeros elsewhere, until every entry counted.

On data with zeros a gradient can be right by chance where it is wrong. So what was found to be right is run on further
draws, of which every array is compared with the built-in passes, exactly, until each entry of the input, of the weight
and of grad_output was no zero in one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed
from convcheck.checks.plan import TARGET_CALLS
from convcheck.checks.verdict import compared, faulty
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands, nonzero_terms
from convcheck.reports.results import GradientResult
from convcheck.targets.target import Target

#: Forward passes that a draw is worth: both passes of the code, and those that it is compared with.
_PASSES = 6

_EXACTLY = ("exact", "projected")


def with_draws(
    results: Sequence[GradientResult], expected: Expected, implementation: Target, budget: float
) -> list[GradientResult]:
    """Return the results, those on integers after as many draws as it takes, or as the budget allows.

    Parameters
    ----------
    results : sequence of GradientResult
        Of one implementation on the layer's own integer data.
    budget : float
        Multiply-adds that this may take.
    """
    layer = expected.layer
    good = {result.gradient for result in results if result.check in _EXACTLY and result.passed}
    if not good or not nonzero_terms(layer) or not expected.exact_data or not expected.follows_definition:
        return list(results)
    affordable = min(budget / (_PASSES * layer.multiply_adds), TARGET_CALLS)
    seen = _Seen(expected.operands)
    wrong: dict[str, GradientResult] = {}
    while not seen.all and seen.draws < affordable and not wrong:
        at = expected.draw(seen.draws)
        observed = Observed.of(implementation, layer, at)
        right = expected.right(at)
        for gradient in ("output", *sorted(good)):
            check = "forward" if gradient == "output" else "exact"
            found = faulty(expected, observed, gradient, check)
            if found is None and gradient in observed.arrays:
                found = compared(expected, observed, gradient, check, right[gradient], 0.0, 0)
            if found is not None and not found.passed:
                message = f"in draw {seen.draws + 1} of the data, whose zeros are elsewhere: {found.message}"
                wrong[gradient] = replace(found, message=message)
        seen.add(at)
    marked = [wrong["output"]] if "output" in wrong else []
    for result in results:
        if result.check in _EXACTLY and result.gradient in good:
            found = wrong.get(result.gradient)
            result = replace(found, check=result.check) if found else result
            note = "; ".join(part for part in (result.message, seen.lacking) if part)
            result = replace(result, draws=seen.draws, exercised=seen.share, message=note or None)
        marked.append(result)
    return marked


class _Seen:
    """Which entries were no zero in some draw."""

    def __init__(self, at: Operands) -> None:
        self._entries: dict[str, Array] = {}
        self.draws = 0
        self.add(at)

    def add(self, at: Operands) -> None:
        """Take another draw."""
        for name in ("x", "weight", "grad_output"):
            there = getattr(at, name) != 0
            self._entries[name] = there | self._entries.get(name, False)
        self.draws += 1

    @property
    def all(self) -> bool:
        """Whether each was."""
        return all(entries.all() for entries in self._entries.values())

    @property
    def share(self) -> float:
        """The share of them, in the array of which it is smallest."""
        return min(float(entries.mean()) for entries in self._entries.values())

    @property
    def lacking(self) -> str | None:
        """Return what did not count, in words."""
        shares = {name: float(np.mean(entries)) for name, entries in self._entries.items()}
        # Rounded down: what is short of all of them is not all.
        parts = [f"{int(1000 * share) / 10:g} % of {name}" for name, share in shares.items() if share < 1]
        counted = f"in {self.draws} draws with zeros no more than {' and '.join(parts)} was nonzero"
        return f"{counted}; --complete makes more draws" if parts else None
