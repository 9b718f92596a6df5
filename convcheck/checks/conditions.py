"""The same layer, called as real life calls it: other data, other memory, another order of calls.

Once a layer's numeric checks have passed, its forward and backward pass are run again under every condition. What they
give is compared with the built-in passes, which were found to give the same on the layer's integer data. On integers
nothing is allowed; on real numbers what rounding in the layer's dtype implies for the backward pass alone.

To add a condition: its words in `convcheck.mistakes.conditions`, and its data in `regimes` or its calls in `callings`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from itertools import groupby
from math import prod
from operator import itemgetter
from typing import Literal, NamedTuple

import numpy as np

from convcheck.checks import callings, regimes
from convcheck.checks.attribution import attributed
from convcheck.checks.beyond import VAGUE, reading_beyond
from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed, shape_of
from convcheck.checks.plan import TOO_MUCH, gradients_of
from convcheck.checks.ran import LeftOutError, Named, Ran, ahead, awaited, run
from convcheck.checks.verdict import compared, faulty, inconclusive, raised, skipped
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric import rounding
from convcheck.layer.arrays import Array, equal
from convcheck.layer.data import Operands, nonzero_terms
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.layer.similar import as_yaml
from convcheck.mistakes import mistake
from convcheck.mistakes.conditions import CONDITIONS
from convcheck.mistakes.tricks import TRICKS
from convcheck.reports.details import headline
from convcheck.reports.results import OUT_OF_BOUNDS, REFUSED, SKIPPED_BY_HAND, GradientResult
from convcheck.targets.calling import AROUND, How
from convcheck.targets.target import Target

#: A bound that allows a larger share of a gradient's size than this says too little to pass anything.
_LARGEST_SHARE = 1 / 256

#: Multiply-adds that take about as long as drawing, copying and comparing an entry.
_WORK_PER_ENTRY = 100


class Condition(NamedTuple):
    """How a condition is run.

    Attributes
    ----------
    runs : callable
        Yields the runs that count; raises LeftOutError where there is nothing to be run.
    passes : int
        Passes of the target and of the built-in formulation that it takes, about.
    there : callable
        Whether a layer can be called so.
    shapes : bool
        Whether it runs layers of other shapes too.
    refusable : {"no", "told", "any"}
        What code may say that refuses to be called so: nothing; that it does not implement it; whatever its forward
        pass raises, where the arguments, or the layer, are not what was asked for. What only the backward pass cannot
        do is an error, but for a bias that is not there.
    lasting : bool
        Whether code may be wrong for good after it, because of what it keeps.
    """

    runs: Callable[[Expected, Target], Iterator[Ran]]
    passes: int
    there: Callable[[Layer], bool] = lambda layer: True
    shapes: bool = False
    refusable: Literal["no", "told", "any"] = "no"
    lasting: bool = False


def _on(regime: Callable[[Expected, Target], Iterable[Operands]], expected: Expected, target: Target) -> Iterator[Ran]:
    for at in regime(expected, target):
        yield run(expected, target, at)


def _called(*ways: How, first: int = 0) -> Callable[[Expected, Target], Iterator[Ran]]:
    return partial(callings.called, ways, first)


#: Every condition, in the order in which they are tried where not all fit into the budget.
RUNS: dict[str, Condition] = {
    "real": Condition(partial(_on, regimes.real), 4),
    **{name: Condition(partial(_on, regime), 12) for name, regime in regimes.REGIMES.items()},
    "interleaved": Condition(callings.interleaved, 12),
    "same-memory": Condition(callings.same_memory, 4),
    "many-calls": Condition(callings.many_calls, 4 * callings.PASSES),
    "not-contiguous": Condition(_called(How("gaps"), How("rows")), 4, refusable="any"),
    "transposed-memory": Condition(_called(How("fortran"), How("channels-last"), first=2), 4, refusable="any"),
    "negative-strides": Condition(_called(How("reversed"), How("reversed-in-part"), first=1), 4, refusable="any"),
    "broadcast-grad-output": Condition(callings.broadcast_grad_output, 8, refusable="any"),
    "read-only": Condition(_called(How(read_only=True), first=2), 2, refusable="any"),
    OUT_OF_BOUNDS: Condition(_called(How(around="nan")), 2),
    "some-gradients": Condition(callings.some_gradients, 12, refusable="told"),
    "after-no-grad": Condition(
        _called(How(no_grad="before"), How(no_grad="between"), How(evaluating=True)), 8, refusable="told"
    ),
    "batch-of-one": Condition(
        partial(callings.other_layer, {"batch": 1}), 4, lambda layer: layer.batch > 1, shapes=True, refusable="any"
    ),
    "no-bias": Condition(partial(callings.other_layer, {"bias": False}), 4, lambda layer: layer.bias, refusable="any"),
    "threads": Condition(callings.threads, 6, refusable="told"),
    # Last, since what the code keeps of other layers may spoil all that follows.
    "other-layer-before": Condition(callings.other_layer_before, 20, shapes=True, lasting=True),
}

#: Why many calls are not judged.
SHOWN_IN_SAME_MEMORY = "what is wrong in the same memory is so at many calls too"

_GRAVITY = {"passed": 0, "inconclusive": 1, "failed": 2, "error": 3}

#: Results of one run by array.
_Results = dict[str, GradientResult]


def runs_of(condition: str, expected: Expected, target: Target) -> Iterator[Ran]:
    """Run a target under one condition; nothing where the target or the layer cannot be run so."""
    entry = RUNS[condition]
    if entry.there(expected.layer) and condition not in target.inapplicable:
        with suppress(LeftOutError):
            yield from entry.runs(expected, target)


def check(expected: Expected, target: Target, budget: float, skip: Collection[str] = ()) -> list[GradientResult]:
    """Run a target under every condition that its form and the layer allow.

    Parameters
    ----------
    expected : Expected
        Whose numeric checks have passed.
    budget : float
        Multiply-adds that the conditions may take together; real numbers are tried in any case.
    skip : collection of str
        Conditions that are left out.

    Returns
    -------
    list of GradientResult
        One per condition and gradient, of the worst of its runs; one about the output where that is wrong.
    """
    layer, spent = expected.layer, 0.0
    entries = prod(layer.input_shape) + prod(layer.weight_shape) + prod(layer.output_shape)
    work = max(layer.multiply_adds, _WORK_PER_ENTRY * entries)
    outcomes: dict[str, list[_Results] | str | None] = {}
    for name, condition in RUNS.items():
        if name in target.inapplicable or not condition.there(layer):
            continue
        cost = condition.passes * work
        if name in skip:
            outcomes[name] = SKIPPED_BY_HAND
        elif spent + cost > budget and name != "real":
            outcomes[name] = TOO_MUCH.format("conditions")
        else:
            spent += cost
            outcomes[name] = None
    if None in outcomes.values():
        expected.foresee([*expected.draws, *expected.even, expected.short_reals])
        if layer.batch > 1 and expected.exact_data:
            expected.foresee([expected.first_sample])
    if outcomes.get("many-calls", "") is None:
        chained = [name for name in regimes.REGIMES if outcomes.get(name, "") is None]
        outcomes |= _on_one_object(expected, target, chained, outcomes.get("same-memory", "") is None)
    left = [name for name, outcome in outcomes.items() if outcome is None]
    outcomes |= {name: [] for name in left}
    of_others: list[GradientResult] = []
    for name, runs in groupby(ahead(_in_turn(left, expected, target), target, layer, awaited), itemgetter(0)):
        outcomes[name] = _judged(name, _to_blame(runs, expected, target, of_others))
    found = [result for name, outcome in outcomes.items() for result in _reported(expected, target, name, outcome)]
    return found + of_others


def _to_blame(
    runs: Iterable[Named], expected: Expected, target: Target, of_others: list[GradientResult]
) -> Iterator[Ran | LeftOutError]:
    """Yield the runs for which a condition answers; what is wrong without it is put down as that."""
    for _, ran in runs:
        if isinstance(ran, LeftOutError) or not wrong_by_itself(ran, expected, target):
            yield ran
            continue
        results = _results("", ran, sharp=False).items()
        wrong = [result for name, result in results if name not in target.absent and not result.passed]
        for result in attributed(wrong, ran.expected, target):
            said = f"on {as_yaml(ran.expected.layer)}, whatever ran before"
            message = "; ".join(text for text in (said, result.message) if text)
            # On the layer that is checked there is nothing to be seen.
            of_others.append(replace(result, message=message, single_pass=False))


def wrong_by_itself(ran: Ran, expected: Expected, target: Target) -> bool:
    """Whether a run of another layer than the one that is checked is wrong, and not because of what ran before.

    What code keeps of what it has served cannot be undone. So it is run on a further layer, of which it cannot know
    anything, and on the one that is checked: where that one is wrong by now too, it is because of what ran before.
    """

    def right(ran: Ran) -> bool:
        return all(r.passed for name, r in _results("", ran, sharp=False).items() if name not in target.absent)

    if ran.unserved is None or target.unsupported(ran.unserved) or right(ran):
        return False
    of_another = callings.like(expected, ran.unserved)
    another = run(of_another, target, of_another.operands)
    refuses = "output" not in another.observed.arrays
    return not refuses and not right(another) and right(run(expected, target, expected.draws[2]))


def _in_turn(names: Iterable[str], expected: Expected, target: Target) -> Iterator[Named]:
    """Run several conditions, one after the other."""
    for name in names:
        try:
            for ran in RUNS[name].runs(expected, target):
                yield name, ran
        except LeftOutError as error:
            yield name, error


def _on_one_object(
    expected: Expected, target: Target, chained: Collection[str], same_memory: bool
) -> dict[str, list[_Results] | str]:
    """Run several regimes on one object, call after call, which is the condition of many calls.

    What is wrong there is run by itself: what is then right is wrong because of the calls before.
    """
    found: dict[str, list[_Results]] = {"many-calls": []}
    second: list[_Results] = []
    runs = ((ran.regime or "many-calls", ran) for ran in callings.many_calls(expected, target, chained))
    for number, (name, ran) in enumerate(ahead(runs, target, expected.layer)):
        assert isinstance(ran, Ran)
        results = found.setdefault(name, [])
        results.append(_results(name, ran, sharp=not results))
        if number == 1 and ran.observed.went_on:
            second = results[-1:]
    outcomes: dict[str, list[_Results] | str] = {}
    for name, results in found.items():
        outcomes[name] = results
        if name != "many-calls" and not all(map(_right, results)):
            outcomes[name] = alone = _by_itself(name, expected, target)
            if not isinstance(alone, str) and all(map(_right, alone)):
                found["many-calls"] += results
    if same_memory:
        # Its second pass was that of other data in the same memory.
        outcomes["same-memory"] = alone = second
        if not second or not all(_right(results) for several in found.values() for results in several):
            outcomes["same-memory"] = alone = _by_itself("same-memory", expected, target)
        if not isinstance(alone, str) and not all(map(_right, alone)):
            outcomes["many-calls"] = SHOWN_IN_SAME_MEMORY
    return outcomes


def _right(results: _Results) -> bool:
    return all(result.passed for result in results.values())


def _by_itself(condition: str, expected: Expected, target: Target) -> list[_Results] | str:
    return _judged(condition, (ran for _, ran in _in_turn([condition], expected, target)))


def _judged(condition: str, runs: Iterable[Ran | LeftOutError]) -> list[_Results] | str:
    """Return what the runs of a condition gave, or why there is nothing: it cannot be made, or the target refuses."""
    found: list[_Results] = []
    left_out = refusal = None
    for ran in runs:
        if isinstance(ran, LeftOutError):
            left_out = str(ran)
        elif refused := refusal_of(condition, ran):
            refusal = REFUSED.format(condition) + refused
        else:
            found.append(_results(condition, ran, sharp=not found))
    if left_out is not None:
        return left_out
    return refusal if refusal and all(map(_right, found)) else found


def refusal_of(condition: str, ran: Ran) -> str | None:
    """Return what a target says that does not take being called so; None where it does, or must."""
    refusable = RUNS[condition].refusable
    if refusable == "no":
        return None
    errors = {name: fault for name, fault in ran.observed.faults.items() if fault.status == "error"}
    told = "output" if condition != "no-bias" else next(iter(errors), "output")
    if refusable == "any" and told in errors and not ran.observed.refusal:
        return headline(raised(ran.expected, "", told, "conditions", errors[told].message))
    return ran.observed.refusal


def _results(condition: str, ran: Ran, *, sharp: bool) -> _Results:
    constant = condition == "broadcast-grad-output"
    # Where sums are too long for a format, data have zeros, and a constant has none.
    long = constant and nonzero_terms(ran.expected.layer) is not None
    bounded = condition == "real" or not ran.expected.exact_data or long
    # A grad_output that is the same everywhere has no short sums; and of sums made in half precision, integers alone
    # say what they are worth.
    sharp &= not constant and not DTYPES[ran.expected.layer.sums].half
    results = against_built_in(ran.expected, ran.operands, ran.observed, bounded=bounded, sharp=sharp)
    return {gradient: _as_trick(condition, ran, result) for gradient, result in results.items()}


def _as_trick(condition: str, ran: Ran, result: GradientResult) -> GradientResult:
    """Return a failed result with the trick behind it: an array that has changed since, or that of other data."""
    array = ran.observed.arrays.get(result.gradient)
    if result.status == "failed" and result.gradient in ran.observed.changed:
        return replace(result, diagnosis=(TRICKS["changes-after-return"].diagnosis(),))
    if result.status != "failed" or array is None or not ran.expected.was_right(result.gradient, array, ran.operands):
        return result
    on_one_object = {"same-memory": "cached-by-address", "many-calls": "right-then-stale"}
    name = on_one_object.get(condition, "right-then-stale" if ran.observed.went_on else "memorised-answer")
    return replace(result, diagnosis=(TRICKS[name].diagnosis(),))


def _reported(
    expected: Expected, target: Target, condition: str, outcome: list[_Results] | str | None
) -> Iterator[GradientResult]:
    for gradient in ("output", *gradients_of(expected.layer)):
        if gradient in target.absent:
            continue
        if outcome is None or isinstance(outcome, str):
            if gradient != "output":
                found = skipped(expected, target.name, gradient, "conditions", outcome)
                yield replace(found, condition=condition)
            continue
        results = [results_of_run[gradient] for results_of_run in outcome if gradient in results_of_run]
        if results:
            worst = max(results, key=_gravity)
            if gradient != "output" or not worst.passed:
                yield _under(condition, worst)


def _under(condition: str, result: GradientResult) -> GradientResult:
    """Return a result with its condition: `dataclasses.replace`, in a fifth of its time, for each of a hundred."""
    found = object.__new__(GradientResult)
    vars(found).update(vars(result), condition=condition)
    return found


def _gravity(result: GradientResult) -> tuple[int, float]:
    return _GRAVITY[result.status], result.max_rel_error


def without_any(expected: Expected, observed: Observed) -> list[GradientResult]:
    """Return what is wrong without any condition, where no numeric check was asked for."""
    results = against_built_in(expected, expected.operands, observed, bounded=not expected.exact_data)
    absent = observed.implementation.absent
    return [result for gradient, result in results.items() if gradient not in absent and not result.passed]


def against_built_in(
    expected: Expected, at: Operands, observed: Observed, *, bounded: bool, sharp: bool = False
) -> dict[str, GradientResult]:
    """Compare everything that one run gave with the built-in passes in float64.

    Gradients that it was not asked for are left out.

    Parameters
    ----------
    bounded : bool
        Whether what rounding implies is allowed; nothing is, otherwise.
    sharp : bool, default False
        Whether a wide bound is no pass. The first run of a condition must be compared sharply; others may add what a
        wide bound still shows.
    """
    name, layer = observed.implementation.name, expected.layer
    right = expected.right(at)
    if not bounded and _exactly(observed, right, gradients_of(layer)):
        return _passed(name, layer)
    allowed: dict[str, Array | float] = dict.fromkeys(right, 0.0)
    if bounded:
        built_in, exact = formulation(FASTEST), expected.source.exact
        allowed = rounding.backward_errors(layer, at, built_in.backward, exact=exact)._asdict()
        allowed["output"] = rounding.output_errors(layer, at, built_in.forward, exact=exact)
    results = {}
    for gradient in ("output", *gradients_of(layer)):
        if gradient not in ("output", *observed.gradients):
            continue
        fault = faulty(expected, observed, gradient, "conditions")
        written = _written(expected, observed, gradient)
        array = observed.arrays.get(gradient)
        if observed.refusal:
            result = raised(expected, name, gradient, "conditions", observed.refusal)
        elif fault or written:
            result = fault or written  # type: ignore[assignment]
        elif array is not None:
            result = compared(expected, observed, gradient, "conditions", right[gradient], allowed[gradient], 0)
            little = sharp and bounded and gradient != "output" and _says_little(layer, right, allowed, at, gradient)
            if result.passed and little and expected.max_error is None:
                reason = f"rounding in {layer.dtype} may change more than 1/256 of this gradient: little is shown"
                result = replace(result, status="inconclusive", message=reason)
        else:
            reason = "the forward pass gave no output, so the backward pass was not run"
            result = inconclusive(expected, name, gradient, "conditions", reason)
        results[gradient] = result
    return results


def _exactly(observed: Observed, right: Mapping[str, Array], gradients: Collection[str]) -> bool:
    """Whether a run gave all that is there, and nothing else is to be said: by far the most frequent case."""
    given = {"output", *gradients} - observed.implementation.absent.keys()
    return (
        observed.arrays.keys() == given
        and not any(observed.modified.values())
        and all(equal(array, right[name]) for name, array in observed.arrays.items())
    )


@lru_cache(maxsize=8)
def _passed(implementation: str, layer: Layer) -> dict[str, GradientResult]:
    """Return the results of a run in which everything is exactly right."""
    return {
        gradient: GradientResult(
            implementation, gradient, "conditions", "passed", (size := prod(shape_of(gradient, layer))), size,
            on_integers=True,
        )
        for gradient in ("output", *gradients_of(layer))
    }  # fmt: skip


def _written(expected: Expected, observed: Observed, gradient: str) -> GradientResult | None:
    """Return the result of a gradient where the code has written into an argument, or around it."""
    shown_in = {"x": "input", "weight": "weight", "bias": "bias", "grad_output": "input"}
    for name in (name for names in observed.modified.values() for name in names):
        if shown_in[name.removeprefix(AROUND)] == gradient:
            where = "beyond" if name.startswith(AROUND) else "into"
            message = f"the code writes {where} its argument {name.removeprefix(AROUND)}"
            known = () if where == "beyond" else (mistake("inputs-modified").diagnosis(),)
            found = raised(expected, observed.implementation.name, gradient, "conditions", message)
            return replace(found, status="failed", diagnosis=known)
    return None


def named(results: Sequence[GradientResult], expected: Expected, target: Target) -> list[GradientResult]:
    """Return the results, each failed one that no known mistake explains with its condition as the diagnosis.

    An array that depends on what lies beyond the arguments may be wrong under any other condition by chance.
    """
    unexplained = [
        result.status == "failed"
        and result.condition is not None
        and VAGUE.issuperset(d.name for d in result.diagnosis)
        for result in results
    ]
    under = zip(results, unexplained, strict=True)
    asked = {result.gradient for result, vague in under if vague and result.condition == OUT_OF_BOUNDS}
    beyond = reading_beyond(asked, expected, target) if asked else {}
    marked = []
    for result, vague in zip(results, unexplained, strict=True):
        name = OUT_OF_BOUNDS if result.gradient in beyond else result.condition
        if vague and name is not None and (result.gradient in beyond or not result.diagnosis):
            result = replace(result, diagnosis=(CONDITIONS[name].diagnosis(),))
        marked.append(result)
    return marked


def _says_little(
    layer: Layer, right: dict[str, Array], allowed: dict[str, Array | float], at: Operands, gradient: str
) -> bool:
    """Whether what is allowed is a large share of the gradient, or of one term of it where all of it is zero."""
    factors = {"input": at.weight, "weight": at.x, "bias": np.ones(1)}
    term = float(np.abs(at.grad_output).max() * np.abs(factors[gradient]).max())
    size = max(float(np.abs(right[gradient]).max()), term)
    # That results are stored in fewer bits than their sums is known, and hides no more than that.
    stored = DTYPES[layer.dtype].roundoff * (layer.sums != layer.dtype)
    return not float(np.max(allowed[gradient])) <= (_LARGEST_SHARE + stored) * size
