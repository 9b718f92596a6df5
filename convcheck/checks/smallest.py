"""The smallest case on which a failed target still fails, in the same way, of every distinct failure of a run.

Every trial is one forward and one backward pass, compared with the built-in ones; what is found is judged by
differences, as any layer is. For failures of second derivatives, `second` searches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Any, NamedTuple

import numpy as np

from convcheck.checks import behaviour, central, conditions, exact, forward
from convcheck.checks.attribution import arrays_of, crashed, diagnosed
from convcheck.checks.callings import with_more_samples
from convcheck.checks.double import in_forward_mode
from convcheck.checks.expected import Expected, Given
from convcheck.checks.jobs import Job
from convcheck.checks.observed import Observed
from convcheck.checks.plan import DEFAULT_CHECKS
from convcheck.checks.ran import Ran, run
from convcheck.checks.second import SecondSearch
from convcheck.checks.shrinking import KNOWN, NOT_FINITE, Search, arrays_in, as_lists, kind_of
from convcheck.gradients import FORMULATIONS
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.diagnose import explains
from convcheck.reports.contributions import contributions, entry_name
from convcheck.reports.details import MOST_LEGIBLE_FIRST, headline
from convcheck.reports.results import GRADIENTS, OUT_OF_BOUNDS, GradientResult, LayerReport, Smallest
from convcheck.targets.calling import PLAIN, How
from convcheck.targets.placement import placed
from convcheck.targets.target import Target
from convcheck.wording import told_apart

#: Distinct failures of a run that are shrunk.
MOST_FAILURES = 3

_BEHAVIOUR = frozenset(mistake.name for mistake in MISTAKES if mistake.behaviour is not None)

#: Conditions whose data stay such as are shrunk, and what makes them such.
_HELD: dict[str, Callable[[Operands], bool]] = {
    "real": lambda at: any(bool((array != np.rint(array)).any()) for array in arrays_in(at).values()),
    "sparse": lambda at: any(not array.all() for array in arrays_in(at).values()),
    "zero-grad-output": lambda at: not at.grad_output.any(),
    "one-sign": lambda at: all(bool((part >= 0).all() or (part <= 0).all()) for part in (at.x.real, at.x.imag)),
    "tiny": lambda at: all(bool((np.abs(array) < 2.0**-10).all()) for array in arrays_in(at).values()),
    "broadcast-grad-output": lambda at: 0 in placed(at.grad_output, "broadcast").strides,
    "large": lambda at: any(bool((np.abs(array) > 3).any()) for array in arrays_in(at).values()),
}


class _Failure(NamedTuple):
    """What makes two failures the same.

    Attributes
    ----------
    kind : str
        A wrong value, one that is not finite, or what else is wrong, such as the name of an exception.
    names : tuple of str
        Of the mistakes that explain it.
    behaviour : str or None
        The mistake, for one that a single run does not betray.
    on_reals : bool
        Whether it was seen on real data only.
    of_other : bool
        Whether it was seen, without a condition, beside what the code keeps of other layers: on one of more samples.
    of_second : bool
        Whether it is of a second derivative.
    in_forward_mode : bool
        Whether it is of what forward mode gives.
    beyond : bool
        Whether what lies beyond the arguments makes it wrong, whatever that is; it is shrunk between bands of NaN.
    """

    gradient: str
    kind: str
    names: tuple[str, ...]
    condition: str | None
    behaviour: str | None
    on_reals: bool
    of_other: bool
    of_second: bool
    in_forward_mode: bool
    beyond: bool


@dataclass(frozen=True, eq=False)
class _Case:
    """A layer with data on which the target fails, and what it gave; how it was called, and whether that is all."""

    layer: Layer
    operands: Operands
    observed: Observed
    result: GradientResult
    how: How = PLAIN
    alone: bool = True


def with_smallest(
    reports: Sequence[LayerReport], jobs: Sequence[Job], seconds: float, tell: Callable[[str], None]
) -> list[LayerReport]:
    """Return the reports with the smallest case of each failure of a target.

    Every distinct failure is shrunk once, the first few of them: from the smallest layer that it is on. A layer with
    several gets that of its most legible one. Layers on which one known mistake was made share the case.

    Parameters
    ----------
    jobs : sequence of Job
        What was checked, in the order of the reports.
    seconds : float
        For all of them together.
    tell : callable
        Told the name of a layer that is being shrunk.
    """
    ends = time.monotonic() + seconds
    places: dict[_Failure, list[int]] = {}
    for number, report in enumerate(reports):
        result = _chief(report)
        if result is not None:
            places.setdefault(_failure_of(result), []).append(number)
    chosen = list(places.items())[:MOST_FAILURES]
    found = list(reports)
    for done, (failure, numbers) in enumerate(chosen):
        first = min(numbers, key=lambda number: reports[number].layer.multiply_adds)
        job = jobs[first]
        tell(f"{job.layer.name} · the smallest case that still fails")
        now = time.monotonic()
        result = _chief(reports[first])
        assert result is not None
        case = _search(job, failure, result, now + (ends - now) / (len(chosen) - done)).smallest()
        # Without such a name, that layers fail alike does not mean that they fail for one reason.
        for number in [first] if KNOWN.isdisjoint(failure.names) else numbers:
            found[number] = replace(reports[number], smallest=case)
    return found


def _chief(report: LayerReport) -> GradientResult | None:
    """Return the failure of a target that is shrunk: the output's before that of gradients, the most legible one."""
    own = [r for r in report.results if r.implementation not in FORMULATIONS]
    bad = [r for r in own if r.status in ("failed", "error")]

    def order(result: GradientResult) -> tuple[bool, bool, int, bool, int]:
        legible = MOST_LEGIBLE_FIRST.index(result.check), not result.on_integers
        of_output = result.gradient == "output" and result.check != "double"
        return not of_output, result.status != "failed", *legible, GRADIENTS.index(result.gradient)

    return min(bad, key=order, default=None)


def _failure_of(result: GradientResult) -> _Failure:
    names = tuple(dict.fromkeys(diagnosis.name for diagnosis in result.diagnosis))
    # A wrong result says more than what the next call gives.
    of_other = result.check == "conditions" and result.condition is None
    plain = (result.single_pass or of_other) and result.mismatches
    slug = None if plain else next((name for name in names if name in _BEHAVIOUR), None)
    compared = bool(result.entries_checked) and not result.on_integers
    beyond = OUT_OF_BOUNDS in names and result.condition != OUT_OF_BOUNDS
    return _Failure(
        result.gradient, NOT_FINITE if beyond else kind_of(result), names,
        OUT_OF_BOUNDS if beyond else result.condition, slug, compared and not beyond,
        of_other=of_other,
        of_second=result.check == "double", in_forward_mode=in_forward_mode(result), beyond=beyond,
    )  # fmt: skip


def _search(job: Job, failure: _Failure, result: GradientResult, ends: float) -> Search[Any]:
    target, max_error = job.targets[0], job.demand.max_error
    if failure.of_second:
        demanded = job.demand.checks != DEFAULT_CHECKS
        return SecondSearch(target, job.layer, result, failure.names, max_error, ends, demanded=demanded)
    return _Search(target, job.layer, failure, max_error, ends)


class _Search(Search[_Case]):
    """The search for the smallest case of one failure, by single runs of the target."""

    def __init__(self, target: Target, layer: Layer, failure: _Failure, max_error: float | None, ends: float) -> None:
        super().__init__(target, layer, () if failure.condition else failure.names, max_error, ends)
        self.failure = failure

    def starts(self) -> Iterator[Layer]:
        yield from super().starts()
        if self.failure.of_other:
            yield with_more_samples(self.layer)

    def arrays(self) -> Mapping[str, Array]:
        assert self.case is not None
        arrays = arrays_in(self.case.operands)
        return {name: arrays[name] for name in ("grad_output", "x", "weight", "bias") if name in arrays}

    @property
    def data_matter(self) -> bool:
        return self.failure.behaviour is None and self.case is not None and self.case.alone

    def takes_array(self, name: str, array: Array) -> bool:
        assert self.case is not None
        return self.takes_data(replace(self.case.operands, **{name: array}))

    def takes_data(self, operands: Operands) -> bool:
        """Whether the target fails on other data of the smallest layer; they are then the plainest so far."""
        assert self.case is not None
        held = _HELD.get(self.failure.condition or "")
        if held is not None and not held(operands):
            return False
        if self.case.operands.grad_output.any() and not operands.grad_output.any():
            # That gradients of nothing are wrong is another failure.
            return False
        self.count()
        expected = Given(self.case.layer, self.target, self.max_error, operands)
        case = self._case(run(expected, self.target, operands, self.case.how))
        self.case = case or self.case
        return case is not None

    def run_on(self, layer: Layer) -> tuple[str, _Case | None]:
        if self.target.unsupported(layer):
            return "else", None
        self.count()
        self._begin()
        expected = Expected(layer, self.target, self.max_error, lambda evaluations: None)
        try:
            passed = True
            for ran in self._runs(expected):
                case = self._case(ran)
                if case is not None:
                    # Under a condition, the layer must be right otherwise.
                    right = (
                        self.failure.condition is None
                        or self.failure.beyond
                        or (self._passes(expected) and not conditions.wrong_by_itself(ran, expected, self.target))
                    )
                    return ("fails", case) if right else ("else", None)
                passed &= self._right(ran)
        except (Exception, SystemExit):
            # What the target raises where nothing catches it, as in a further forward pass.
            return "else", None
        return "passes" if passed else "else", None

    def _begin(self) -> None:
        self.target.begin()
        condition = self.failure.condition
        if condition is not None and conditions.RUNS[condition].lasting:
            # Each trial needs a process of its own.
            self.target.forget()

    def _runs(self, expected: Expected) -> Iterator[Ran]:
        if self.failure.condition is not None:
            yield from conditions.runs_of(self.failure.condition, expected, self.target)
            return
        at = expected.reals if self.failure.on_reals else expected.operands
        observed = Observed.of(self.target, expected.layer, at, twice=self.failure.behaviour is not None)
        yield Ran(expected, at, lambda: observed)

    def _compared(self, ran: Ran) -> dict[str, GradientResult]:
        bounded = self.failure.on_reals or self.failure.condition == "real" or not ran.expected.exact_data
        return conditions.against_built_in(ran.expected, ran.operands, ran.observed, bounded=bounded)

    def _right(self, ran: Ran) -> bool:
        return all(result.passed for name, result in self._compared(ran).items() if name not in self.target.absent)

    def _passes(self, expected: Expected) -> bool:
        self._begin()
        return self._right(run(expected, self.target, expected.operands))

    def _case(self, ran: Ran) -> _Case | None:
        """Return the case if it is the same failure."""
        gradient = self.failure.gradient
        if self.failure.behaviour is not None:
            return self._misbehaved(ran.expected, ran.operands, ran.observed)
        results = self._compared(ran)
        result = results.get(gradient)
        if result is None or ran.observed.refusal or (gradient != "output" and not results["output"].passed):
            return None
        if result.status not in ("failed", "error") or kind_of(result) != self.failure.kind:
            return None
        if self.by_name and not self._explained(ran.expected.layer, ran.operands, ran.observed):
            return None
        return _Case(ran.expected.layer, ran.operands, ran.observed, result, ran.how, ran.alone)

    def _explained(self, layer: Layer, at: Operands, observed: Observed) -> bool:
        gradient = self.failure.gradient
        array = observed.arrays.get(gradient)
        if array is None:
            # Of a wrong shape; only what can be compared was kept.
            array = arrays_of(self.target, layer, at).get(gradient)
        return array is not None and any(explains(name, layer, at, gradient, array) for name in self.failure.names)

    def _misbehaved(self, expected: Expected, at: Operands, observed: Observed) -> _Case | None:
        if observed.faults or observed.refusal:
            return None
        for found in behaviour.findings_of(expected, observed):
            named = found.diagnosis is not None and found.diagnosis.name == self.failure.behaviour
            if named and found.gradient == self.failure.gradient:
                result = GradientResult(self.target.name, found.gradient, "exact", "failed", message=found.message)
                return _Case(expected.layer, at, observed, result)
        return None

    def told(self, case: _Case, notes: list[str]) -> Smallest | None:
        gradient, result = self.failure.gradient, case.result
        index: tuple[int, ...] = ()
        analytic = numeric = nan
        what = headline(result)
        if self.failure.behaviour is None and result.entries_checked:
            try:
                result, right_ones = self._judged(case)
            except (Exception, SystemExit):
                # A target may well run once and raise at the next call.
                return None
            if result.passed or result.worst is None:
                return None
            # An entry that something reaches tells more than one that should be 0.
            array = case.observed.arrays[gradient]
            telling = np.argwhere((array != right_ones) & (right_ones != 0))
            index = tuple(map(int, telling[0])) if result.on_integers and len(telling) else result.worst.index
            analytic, numeric = array[index].item(), right_ones[index].item()
            given, right = told_apart(analytic, numeric)
            reason = contributions(case.layer, case.operands, gradient, index)
            what = f"{entry_name(gradient, index)} is {given}, should be {right}: {reason}"
        notes += self._lost_name(case)
        return Smallest(
            case.layer.spec(), gradient, index, analytic, numeric, as_lists(case.operands), self.failure.condition,
            self.runs, what,
            "; ".join(notes) or None,
        )  # fmt: skip

    def _judged(self, case: _Case) -> tuple[GradientResult, Array]:
        """Return the verdict by differences of the target's own forward pass, and what they give."""
        expected = Given(case.layer, self.target, self.max_error, case.operands)
        gradient = self.failure.gradient
        if gradient == "output":
            return forward.check(expected, case.observed, case.observed), expected.definition
        if expected.exact_data and not self.failure.on_reals:
            return exact.check(expected, case.observed, gradient, inf), expected.exact(gradient).values
        return central.check(expected, case.observed, gradient), expected.central(gradient).values

    def _lost_name(self, case: _Case) -> Iterator[str]:
        """Say where the case is not known by the name that the failure has."""
        if self.by_name or self.failure.behaviour or self.failure.condition or KNOWN.isdisjoint(self.failure.names):
            return
        if case.result.status == "error":
            cause = crashed(case.layer, case.result.message or "", self.target)
            names = [cause.name] if cause else []
        else:
            names = [found.name for found in diagnosed(case.layer, self.failure.gradient, self.target).diagnoses]
        yield from self.lost_name(names)
