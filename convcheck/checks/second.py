"""The smallest case of a wrong second derivative, or of a wrong forward mode."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import inf, nan

import numpy as np

from convcheck.checks import conditions, double
from convcheck.checks.double import BY, FORWARD_MODE, TERMS, Derivative, Point
from convcheck.checks.expected import Expected
from convcheck.checks.ran import run
from convcheck.checks.shrinking import KNOWN, Search, arrays_in, as_lists, kind_of
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.mistakes.diagnose import explains
from convcheck.reports.details import headline
from convcheck.reports.results import GradientResult, Smallest
from convcheck.targets.target import Target
from convcheck.wording import told_apart

#: What stands before the name of an array of the weights of the gradients.
_ALONG = "along "


@dataclass(frozen=True, eq=False)
class _Case:
    """A layer and a point at which a derivative is wrong."""

    layer: Layer
    point: Point
    derivative: Derivative


class SecondSearch(Search[_Case]):
    """The search for the smallest case of one wrong derivative of the gradients, or of what forward mode gives.

    A trial takes all derivatives at a point. The gradients themselves must be right there.

    Parameters
    ----------
    failed : GradientResult
        Of the kind ``double``.
    demanded : bool
        Whether that check was asked for by name.
    """

    def __init__(
        self, target: Target, layer: Layer, failed: GradientResult, names: Collection[str], max_error: float | None,
        ends: float, *, demanded: bool,
    ) -> None:  # fmt: skip
        super().__init__(target, layer, names, max_error, ends)
        self._gradient, self._kind, self._demanded = failed.gradient, kind_of(failed), demanded
        self._forward_mode = double.in_forward_mode(failed)
        #: With which its terms add up to what is wrong on the layer itself, where that is all that is wrong.
        self._factors: tuple[int, ...] | None = None

    def start(self) -> None:
        """Find the failure again, on a small layer of the same kind or on the layer itself."""
        self.count()
        self.target.begin()
        point = Point.of(self.layer)
        self._factors = None if point is None else self._found(self._expected(self.layer), point).factors
        super().start()

    def _expected(self, layer: Layer) -> Expected:
        return Expected(layer, self.target, self.max_error, lambda evaluations: None)

    def _found(self, expected: Expected, point: Point) -> Derivative:
        *three, forward_mode = double.derivatives(expected, self.target, point, demanded=self._demanded)
        return forward_mode if self._forward_mode else three[[*BY].index(self._gradient)]

    def run_on(self, layer: Layer) -> tuple[str, _Case | None]:
        if self.target.unsupported(layer):
            return "else", None
        self.count()
        self.target.begin()
        expected, point = self._expected(layer), Point.of(layer)
        if point is None or double.obstacle(expected, self.target, inf):
            return "else", None
        case, passed = self._tried_at(expected, point)
        return ("fails", case) if case is not None else ("passes" if passed else "else", None)

    def _tried_at(self, expected: Expected, point: Point) -> tuple[_Case | None, bool]:
        """Return the case if the derivative is wrong there in the same way, and whether it is right."""
        found = self._found(expected, point)
        if not self._gradients_right(expected, point):
            return None, False
        same = found.result.status in ("failed", "error") and kind_of(found.result) == self._kind
        same &= not found.agrees and (self._factors is None or found.counts(self._factors))
        if same and self.by_name:
            array = double.first_of(self.target, expected.layer, point.at).get(self._gradient)
            same = array is not None and any(
                explains(name, expected.layer, point.at, self._gradient, array) for name in self._names
            )
        return _Case(expected.layer, point, found) if same else None, found.result.passed

    def _gradients_right(self, expected: Expected, point: Point) -> bool:
        """Whether the gradients themselves are right, and so only their derivatives are wrong."""
        try:
            observed = run(expected, self.target, point.at).observed
        except (Exception, SystemExit):
            return False
        results = conditions.against_built_in(expected, point.at, observed, bounded=False)
        return all(result.passed for name, result in results.items() if name not in self.target.absent)

    def arrays(self) -> Mapping[str, Array]:
        assert self.case is not None
        at, along, _ = self.case.point
        weights = {f"{_ALONG}{name}": array for name, array in arrays_in(along).items() if name != "grad_output"}
        own = arrays_in(at)
        return {"grad_output": own.pop("grad_output"), **own, **weights}

    def takes_array(self, name: str, array: Array) -> bool:
        assert self.case is not None
        at, along, step = self.case.point
        if name.startswith(_ALONG):
            along = replace(along, **{name.removeprefix(_ALONG): array})
        else:
            at = replace(at, **{name: array})
        nothing = not any(part.any() for part in (along.x, along.weight, along.bias) if part is not None)
        if nothing or (self._gradient != "output" and not at.grad_output.any()):
            # That derivatives of nothing are wrong is another failure.
            return False
        self.count()
        case, _ = self._tried_at(self._expected(self.case.layer), Point(at, along, step))
        self.case = case or self.case
        return case is not None

    def told(self, case: _Case, notes: list[str]) -> Smallest | None:
        (at, along, _), found = case.point, case.derivative
        index: tuple[int, ...] = ()
        analytic = numeric = nan
        what = headline(found.result)
        if found.value is not None and found.result.worst is not None:
            # An entry that something reaches tells more than one that should be 0.
            telling = np.argwhere((found.value != found.right) & (found.right != 0))
            index = tuple(map(int, telling[0])) if len(telling) else found.result.worst.index
            analytic, numeric = found.value[index].item(), found.right[index].item()
            if self._by_difference(case, index) != numeric:
                return None
            what = self._said(case, index, *told_apart(analytic, numeric))
        if not self.by_name and self._factors is None and not KNOWN.isdisjoint(self._names):
            finding = double.diagnosed(found, self._expected(case.layer), self.target)
            notes += self.lost_name([diagnosis.name for diagnosis in finding.diagnoses])
        weights = as_lists(along)
        del weights["grad_output"]
        return Smallest(
            case.layer.spec(), self._gradient, index, analytic, numeric, as_lists(at), None, self.runs, what,
            "; ".join(notes) or None, weights,
        )  # fmt: skip

    def _by_difference(self, case: _Case, index: tuple[int, ...]) -> int | None:
        """Return how the code's own gradients, weighted and summed, change where one entry is larger by 1."""
        (at, along, _), operand = case.point, BY[self._gradient]
        moved = getattr(at, operand).copy()
        moved[index] += 1
        try:
            before, after = (
                double.weighted_sum(self.target, case.layer, each, along)
                for each in (at, replace(at, **{operand: moved}))
            )
        except (Exception, SystemExit):
            # A target may well run once and raise at the next call.
            return None
        return None if before is None or after is None else after - before

    def _said(self, case: _Case, index: tuple[int, ...], given: str, right: str) -> str:
        place, of = f"[{','.join(map(str, index))}]", TERMS[self._gradient][: len(case.derivative.terms)]
        by = f"{BY[self._gradient]}{place}"
        summed = (
            f"{' and '.join(of)}, weighted and summed, change" if of[1:] else f"the weighted sum of {of[0]} changes"
        )
        if self._forward_mode:
            return f"{FORWARD_MODE} gives {given} for output{place}, should be {right}: by so much {summed} with {by}"
        return f"the derivative by {by} is {given}, should be {right}: by so much {summed} with it"
