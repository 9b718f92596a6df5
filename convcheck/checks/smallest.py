"""The smallest case on which a failed target still fails, in the same way: first the layer, then its data.

The search is greedy: a step is taken where the target then still fails, and it ends where no single step does. Every
trial is one forward and one backward pass, compared with the built-in ones; what is found is judged by differences, as
any layer is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, nan
from typing import NamedTuple

import numpy as np

from convcheck.checks import behaviour, central, conditions, exact, forward
from convcheck.checks.attribution import arrays_of, crashed, diagnosed
from convcheck.checks.check_layer import as_taken
from convcheck.checks.expected import Expected, Given
from convcheck.checks.observed import Observed
from convcheck.checks.ran import Ran, run
from convcheck.checks.running import Job
from convcheck.gradients import FORMULATIONS
from convcheck.layer.arrays import Array, nested
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.layer.plainer import STEPS
from convcheck.layer.similar import changed, shrunk
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.conditions import CONDITIONS
from convcheck.mistakes.crashes import CRASHES
from convcheck.mistakes.diagnose import explains
from convcheck.mistakes.tricks import TRICKS
from convcheck.reports.contributions import contributions, entry_name
from convcheck.reports.details import MOST_LEGIBLE_FIRST, headline
from convcheck.reports.results import GRADIENTS, GradientResult, LayerReport, Smallest
from convcheck.targets.calling import PLAIN, How
from convcheck.targets.placement import placed
from convcheck.targets.target import Target
from convcheck.wording import told_apart

#: Distinct failures of a run that are shrunk.
MOST_FAILURES = 3

#: Trials that one failure may take.
MOST_RUNS = 3000

#: Small layers are tried with so many draws of data: of few numbers, two happen to be equal now and then.
_DRAWS = 3

#: Multiply-adds up to which a layer is small in that sense.
_FEW = 1000

#: A size above this is said to matter, where the code is right on the next smaller one.
_REMARKABLE = 4

#: Sizes that can matter, and what they count.
_SIZES = {
    "channels": "channels", "filters": "filters", "batch": "samples", "kernel": "taps", "input": "input samples",
}  # fmt: skip

_ARRAYS = ("x", "weight", "bias", "grad_output")

#: How entries are made plainer: zeros; ones; of complex numbers, the real ones, and i where that does not do.
_PLAIN: tuple[Callable[[Array], Array], ...] = (
    np.zeros_like,
    lambda array: (array != 0).astype(array.dtype),
    lambda array: array.real.astype(array.dtype),
    lambda array: np.where(array.imag != 0, np.asarray(1j, array.dtype), array) if array.dtype.kind == "c" else array,
)

#: A case with more numbers than this is nothing to look at.
_MOST_ENTRIES = 20_000

#: Names that say what was done wrong; a resemblance does not.
_KNOWN = frozenset({*(mistake.name for mistake in MISTAKES), *CRASHES, *CONDITIONS, *TRICKS})

_BEHAVIOUR = frozenset(mistake.name for mistake in MISTAKES if mistake.behaviour is not None)

#: Conditions whose data stay such as are shrunk, and what makes them such.
_HELD: dict[str, Callable[[Operands], bool]] = {
    "real": lambda at: any(bool((array != np.rint(array)).any()) for array in _arrays(at).values()),
    "sparse": lambda at: any(not array.all() for array in _arrays(at).values()),
    "zero-grad-output": lambda at: not at.grad_output.any(),
    "one-sign": lambda at: all(bool((part >= 0).all() or (part <= 0).all()) for part in (at.x.real, at.x.imag)),
    "tiny": lambda at: all(bool((np.abs(array) < 2.0**-10).all()) for array in _arrays(at).values()),
    "broadcast-grad-output": lambda at: 0 in placed(at.grad_output, "broadcast").strides,
    "large": lambda at: any(bool((np.abs(array) > 3).any()) for array in _arrays(at).values()),
}


class _EndedError(Exception):
    """There is no time, or there are no runs, for another trial."""


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
    """

    gradient: str
    kind: str
    names: tuple[str, ...]
    condition: str | None
    behaviour: str | None
    on_reals: bool


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
        search = _Search(
            job.targets[0], job.layer, failure, job.demand.max_error, now + (ends - now) / (len(chosen) - done)
        )
        case = search.smallest()
        # Without such a name, that layers fail alike does not mean that they fail for one reason.
        for number in [first] if _KNOWN.isdisjoint(failure.names) else numbers:
            found[number] = replace(reports[number], smallest=case)
    return found


def _chief(report: LayerReport) -> GradientResult | None:
    """Return the failure of a target that is shrunk: the output's before that of gradients, the most legible one.

    Second derivatives are none of one forward and one backward pass, which every trial is.
    """
    own = [r for r in report.results if r.implementation not in FORMULATIONS and r.check != "double"]
    bad = [r for r in own if r.status in ("failed", "error")]

    def order(result: GradientResult) -> tuple[bool, bool, int, bool, int]:
        legible = MOST_LEGIBLE_FIRST.index(result.check), not result.on_integers
        return result.gradient != "output", result.status != "failed", *legible, GRADIENTS.index(result.gradient)

    return min(bad, key=order, default=None)


def _failure_of(result: GradientResult) -> _Failure:
    names = tuple(dict.fromkeys(diagnosis.name for diagnosis in result.diagnosis))
    # A wrong result says more than what the next call gives.
    plain = result.single_pass and result.mismatches
    slug = None if plain else next((name for name in names if name in _BEHAVIOUR), None)
    compared = bool(result.entries_checked) and not result.on_integers
    return _Failure(result.gradient, _kind(result), names, result.condition, slug, compared)


def _kind(result: GradientResult) -> str:
    if result.entries_checked or result.check == "projected":
        return "wrong value" if np.isfinite(result.max_abs_error) else "not finite"
    # An exception by its name, a wrong shape or type without its numbers.
    said = headline(result).partition(";")[0].partition(":")[0]
    return "".join(character for character in said if character.isalpha() or character in " _.").strip()


class _Search:
    """The search for the smallest case of one failure of a target on a layer.

    Parameters
    ----------
    ends : float
        Until when it may take, of `time.monotonic`.
    """

    def __init__(self, target: Target, layer: Layer, failure: _Failure, max_error: float | None, ends: float) -> None:
        self.target = target
        self.layer = as_taken(layer, target)
        self.failure = failure
        self.max_error = max_error
        self.ends = ends
        self.runs = 0
        #: Whether every case must be explained by the mistake that the failure is known as.
        self.by_name = False
        self.case: _Case | None = None
        self._outcomes: dict[Layer, tuple[str, _Case | None]] = {}

    def smallest(self) -> Smallest | None:
        """Return the smallest case; None where the failure does not show in a single run."""
        notes: list[str] = []
        try:
            self.start()
            self.shrink_layer()
            notes += self._remarkable_sizes()
            self.shrink_data()
        except _EndedError:
            notes.append("the search ended early: a smaller case may fail too")
        return None if self.case is None else self._told(self.case, notes)

    def start(self) -> None:
        """Find the failure again, on a small layer of the same kind or on the layer itself."""
        named = any(mistake.name in self.failure.names for mistake in MISTAKES if mistake.behaviour is None)
        for by_name in (True, False) if named and not self.failure.condition else (False,):
            self.by_name = by_name
            self._outcomes.clear()
            for layer in dict.fromkeys((shrunk(self.layer), self.layer)):
                if self.takes(layer):
                    return

    def shrink_layer(self) -> None:
        """Take steps to plainer layers until none leads to one on which the target fails."""
        before = None
        while self.case is not None and self.layer != before:
            before = self.layer
            for step in STEPS:
                while any(self.takes(layer) for layer in step(self.layer)):
                    pass

    def shrink_data(self) -> None:
        """Make entries zeros, ones, real numbers and i until no further one can be made so."""
        before = None
        while self.case is not None and self.case is not before and self._data_matter:
            before = self.case
            for operands in single_ones(self.case.operands):
                if self.takes_data(operands):
                    break
            for name in ("grad_output", "x", "weight", "bias"):
                for plain in _PLAIN:
                    self._set(name, plain)

    @property
    def _data_matter(self) -> bool:
        return self.failure.behaviour is None and self.case is not None and self.case.alone

    def _set(self, name: str, plain: Callable[[Array], Array]) -> None:
        """Make as many entries of an array as possible plainer, in ever smaller portions."""
        assert self.case is not None
        array = _arrays(self.case.operands).get(name)
        if array is None:
            return
        places = np.flatnonzero(plain(array) != array)
        portion = places.size
        while portion:
            for start in range(0, places.size, portion):
                plainer = _arrays(self.case.operands)[name].copy()
                some = places[start : start + portion]
                plainer.flat[some] = plain(plainer.flat[some])
                self.takes_data(replace(self.case.operands, **{name: plainer}))
            left = _arrays(self.case.operands)[name].flat[places]
            places = places[plain(left) != left]
            portion = min(portion // 2, places.size)

    def takes(self, layer: Layer) -> bool:
        """Whether the target fails on a layer; that layer is then the smallest one so far."""
        outcome, case = self.tried(layer)
        if outcome == "fails":
            self.layer, self.case = layer, case
        return outcome == "fails"

    def takes_data(self, operands: Operands) -> bool:
        """Whether the target fails on other data of the smallest layer; they are then the plainest so far."""
        assert self.case is not None
        held = _HELD.get(self.failure.condition or "")
        if held is not None and not held(operands):
            return False
        if self.case.operands.grad_output.any() and not operands.grad_output.any():
            # That gradients of nothing are wrong is another failure.
            return False
        self._count()
        expected = Given(self.case.layer, self.target, self.max_error, operands)
        case = self._case(run(expected, self.target, operands, self.case.how))
        self.case = case or self.case
        return case is not None

    def tried(self, layer: Layer) -> tuple[str, _Case | None]:
        """Return whether the target "fails" or "passes" on a layer, or does something "else" such as to refuse it."""
        if layer not in self._outcomes:
            # Not another draw of one seed: these are then the data of `verify` too.
            seeds = range(layer.seed, layer.seed + (_DRAWS if layer.multiply_adds <= _FEW else 1))
            outcomes = []
            for seed in seeds:
                outcomes.append(self._run(replace(layer, seed=seed)))
                if outcomes[-1][0] == "fails":
                    break
            failed = outcomes[-1][0] == "fails"
            self._outcomes[layer] = next((one for one in outcomes if one[0] != "passes" and not failed), outcomes[-1])
        return self._outcomes[layer]

    def _count(self) -> None:
        if self.runs >= MOST_RUNS or time.monotonic() >= self.ends:
            raise _EndedError
        self.runs += 1

    def _run(self, layer: Layer) -> tuple[str, _Case | None]:
        """Run the target as it was run when it failed, on a layer's own data."""
        if self.target.unsupported(layer):
            return "else", None
        self._count()
        self.target.begin()
        expected = Expected(layer, self.target, self.max_error, lambda evaluations: None)
        try:
            passed = True
            for ran in self._runs(expected):
                case = self._case(ran)
                if case is not None:
                    # Under a condition, the layer must be right otherwise.
                    right = self.failure.condition is None or self._passes(expected)
                    return ("fails", case) if right else ("else", None)
                passed &= self._right(ran)
        except (Exception, SystemExit):
            # What the target raises where nothing catches it, as in a further forward pass.
            return "else", None
        return "passes" if passed else "else", None

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
        if result.status not in ("failed", "error") or _kind(result) != self.failure.kind:
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

    def _remarkable_sizes(self) -> Iterator[str]:
        """Yield the sizes without which it does not fail, where they are not small."""
        if self.case is None:
            return
        for field, noun in _SIZES.items():
            value = getattr(self.layer, field)
            step = self.layer.groups if field in ("channels", "filters") else 1
            for axis, size in enumerate(value if isinstance(value, tuple) else (value,)):
                if size // step <= _REMARKABLE or self._outcome_with(field, axis, size - step) != "passes":
                    continue
                what = f"{noun} along axis {axis}" if isinstance(value, tuple) and len(value) > 1 else noun
                others = (size + step, 2 * (size - step))
                right = [number for number in others if self._outcome_with(field, axis, number) == "passes"]
                if right:
                    yield f"fails with {size} {what}, not with {' and '.join(map(str, (size - step, *right)))}"
                else:
                    yield f"fails from {size} {what} on"

    def _outcome_with(self, field: str, axis: int, number: int) -> str:
        value = getattr(self.layer, field)
        other_value = [*value[:axis], number, *value[axis + 1 :]] if isinstance(value, tuple) else number
        other = changed(self.layer, {field: other_value})
        return "else" if other is None else self.tried(other)[0]

    def _told(self, case: _Case, notes: list[str]) -> Smallest | None:
        """Return the case with the verdict by differences; None where they do not confirm it, or it is too large."""
        if sum(array.size for array in _arrays(case.operands).values()) > _MOST_ENTRIES:
            return None
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
        arrays = _arrays(case.operands)
        data = {name: nested(arrays[name]) if name in arrays else None for name in _ARRAYS}
        return Smallest(
            case.layer.spec(), gradient, index, analytic, numeric, data, self.failure.condition, self.runs, what,
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
        if self.by_name or self.failure.behaviour or self.failure.condition or _KNOWN.isdisjoint(self.failure.names):
            return
        if case.result.status == "error":
            cause = crashed(case.layer, case.result.message or "", self.target)
            names = [cause.name] if cause else []
        else:
            names = [found.name for found in diagnosed(case.layer, self.failure.gradient, self.target).diagnoses]
        if set(names) != set(self.failure.names):
            called = f"is {' and '.join(names)}" if names else "has no name"
            yield f"{' and '.join(self.failure.names)} on the layer itself; this case alone {called}"


def _arrays(operands: Operands) -> dict[str, Array]:
    named = {name: getattr(operands, name) for name in _ARRAYS}
    return {name: array for name, array in named.items() if array is not None}


def single_ones(operands: Operands) -> Iterator[Operands]:
    """Yield the operands with a grad_output that is a single 1, unless it is one already."""
    given = operands.grad_output
    if np.count_nonzero(given) == 1 and given.max() == 1:
        return
    for place in range(given.size):
        one = np.zeros_like(given)
        one.flat[place] = 1
        yield replace(operands, grad_output=one)
