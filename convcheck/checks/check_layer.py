"""Everything that is checked on one layer: every implementation, every gradient, every kind of check planned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isinf

from convcheck.checks import accumulators, central, conditions, double, exact, forward, projected
from convcheck.checks.again import Earlier, costly, with_digest
from convcheck.checks.attribution import attributed
from convcheck.checks.behaviour import with_behaviour
from convcheck.checks.beyond import with_reading_beyond
from convcheck.checks.draws import with_draws
from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed, explained
from convcheck.checks.plan import DEFAULT_CHECKS, TARGET_CALLS, Step, plan
from convcheck.checks.precision import with_precision
from convcheck.checks.verdict import inconclusive, raised, refused, skipped
from convcheck.checks.work import beside
from convcheck.gradients import FASTEST
from convcheck.gradients.numeric.differences import NumericGradient
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.reports.results import GRADIENTS, GradientResult
from convcheck.targets import builtin
from convcheck.targets.concurrency import one_thread_if_small
from convcheck.targets.target import Target

_INEXACT = "the target's mapping says exact: false, so that nothing can be expected to be exact"


@dataclass(frozen=True)
class Demand:
    """What is asked of a layer's check.

    Attributes
    ----------
    checks : tuple of str
        Kinds of check.
    budget : float
        Multiply-adds that one check of one gradient may take; infinite for completeness.
    max_error : float or None
        The gate, if there is one.
    skip : tuple of str
        Conditions that are left out.
    """

    checks: tuple[str, ...]
    budget: float
    max_error: float | None
    skip: tuple[str, ...] = ()


def affordable_evaluations(layer: Layer, demand: Demand, implementation: Target) -> float:
    """Return how many evaluations one check of one gradient may take."""
    affordable = demand.budget / layer.multiply_adds
    return affordable if implementation.builtin or isinf(affordable) else min(affordable, TARGET_CALLS)


def steps_of(layer: Layer, demand: Demand, implementations: Sequence[Target]) -> tuple[Step, ...]:
    """Return the numeric checks that are planned for a layer; built-in formulations share their differences."""
    return plan(layer, demand.checks, affordable_evaluations(layer, demand, implementations[0]))


def foreseen_work(layer: Layer, demand: Demand, implementations: Sequence[Target]) -> float:
    """Return the work that all checks of a layer will take, as `convcheck.checks.work` counts it."""
    evaluations = sum(step.evaluations for step in steps_of(layer, demand, implementations))
    return float(evaluations * layer.multiply_adds + sum(beside(layer, implementations, demand.checks, demand.budget)))


def check_layer(
    layer: Layer,
    implementations: Sequence[Target],
    demand: Demand,
    advance: Callable[[float], None] = lambda work: None,
    known: Mapping[tuple[str, str], NumericGradient] | None = None,
    earlier: Earlier | None = None,
) -> tuple[GradientResult, ...]:
    """Check one layer.

    Parameters
    ----------
    advance : callable
        Told the work as it is done.
    known : mapping of (str, str) to NumericGradient, optional
        Numeric gradients by check and gradient that need no evaluations any more.
    earlier : Earlier, optional
        What was found of a target on a layer that is equal but for its name.
    """

    def evaluated(count: int) -> None:
        advance(count * layer.multiply_adds)

    shared = Expected(layer, builtin(FASTEST), demand.max_error, evaluated, known)
    results: list[GradientResult] = []
    work = beside(layer, implementations, demand.checks, demand.budget)
    for implementation, done in zip(implementations, work, strict=True):
        with one_thread_if_small(layer):
            if implementation.builtin:
                results += _check_implementation(shared, implementation, demand)
            else:
                own = Expected(layer, implementation, demand.max_error, evaluated, known)
                results += _check_target(own, demand, earlier)
        advance(done)
    return tuple(results)


def _check_target(expected: Expected, demand: Demand, earlier: Earlier | None) -> list[GradientResult]:
    """Check a layer on a target, or as much of it as the target takes."""
    layer, target = expected.layer, expected.source
    refusal = target.unsupported(layer)
    if refusal:
        return refused(expected, target.name, demand.checks, refusal)
    target.begin()
    taken = as_taken(layer, target)
    if taken is layer:
        return _check_implementation(expected, target, demand, earlier)
    results = _check_implementation(expected.on(taken), target, demand, earlier)
    if any(result.gradient != "output" for result in results):
        reason = "the target takes no bias, so the layer was checked without one"
        numeric = [r.check for r in results if r.condition is None and r.check not in ("accumulate", "double")]
        kind = (numeric or demand.checks)[-1]
        results.append(skipped(expected, target.name, "bias", kind, reason, waived=True))
    return results


def as_taken(layer: Layer, target: Target) -> Layer:
    """Return the layer on which a target is checked: without a bias where it takes none."""
    return replace(layer, bias=False) if layer.bias and not target.takes_bias() else layer


def _check_implementation(
    expected: Expected, implementation: Target, demand: Demand, earlier: Earlier | None = None
) -> list[GradientResult]:
    observed = Observed.of(implementation, expected.layer, expected.operands, twice=not implementation.builtin)
    if observed.refusal:
        return refused(expected, implementation.name, demand.checks, observed.refusal)
    affordable = affordable_evaluations(expected.layer, demand, implementation)
    steps = plan(expected.layer, demand.checks, affordable)
    needs_reals = any(step.check == "central" and not step.skipped for step in steps)
    on_reals = Observed.of(implementation, expected.layer, expected.reals) if needs_reals else observed
    if on_reals.refusal:
        return refused(expected, implementation.name, demand.checks, on_reals.refusal)
    output = forward.check(expected, observed, on_reals)
    # Gradients of another function are no pass, even where the forward pass was not asked for.
    results = [output] if "forward" in demand.checks or not output.passed else []
    settled = earlier.settled(steps, observed, on_reals) if earlier else {}
    if implementation.ahead(expected.layer) and not observed.faults and not on_reals.faults:
        kinds = ("central", "exact") if implementation.exact else ("central",)
        left_out = {step for step in steps if step.skipped or step in settled or step.gradient in implementation.absent}
        wanted = [step for step in steps if step not in left_out]
        # What the code raises is raised again where it is looked at.
        with suppress(Exception):
            expected.begin(step for step in wanted if step.check in kinds)
    for step in steps:
        results.append(settled.get(step) or _run(step, expected, observed, on_reals, affordable))
    plain = with_draws(results, expected, implementation, demand.budget)
    results = attributed(plain, expected, implementation)
    if implementation.builtin:
        return results
    results = with_behaviour(results, expected, observed)
    results = with_reading_beyond(results, plain, expected, observed)
    results += _accumulated(results, expected, implementation, demand)
    sound = all(result.acceptable for result in results) and expected.follows_definition
    second = []
    if "double" in demand.checks and sound:
        second = double.check(expected, implementation, demand.budget, demanded=demand.checks != DEFAULT_CHECKS)
    if "conditions" in demand.checks and sound:
        numeric = {step.check for step in steps}
        found = [] if numeric else conditions.without_any(expected, observed)
        found = found or conditions.check(expected, implementation, demand.budget, demand.skip)
        results += conditions.named(attributed(found, expected, implementation), expected, implementation)
    return [*with_precision(results, expected, observed, on_reals), *second]


def _accumulated(
    results: Sequence[GradientResult], expected: Expected, target: Target, demand: Demand
) -> list[GradientResult]:
    """Find out what sums are made in, of the arrays that are right in structure; unasked in half precision."""
    asked = "accumulate" in demand.checks
    if not asked and not (DTYPES[expected.layer.dtype].half and {"exact", "projected"} & set(demand.checks)):
        return []
    bad = {r.gradient for r in results if not r.acceptable and not (r.check == "central" and r.status == "failed")}
    # Where the forward pass raised, it is not to be called once more.
    if "output" in bad or not expected.source.exact or not expected.follows_definition:
        return []
    return accumulators.check(expected, target, demand.budget, [name for name in GRADIENTS if name not in bad])


def _run(step: Step, expected: Expected, observed: Observed, on_reals: Observed, affordable: float) -> GradientResult:
    name = observed.implementation.name
    absent = observed.implementation.absent.get(step.gradient)
    if step.skipped or absent:
        return skipped(expected, name, step.gradient, step.check, absent or step.note, waived=bool(absent))
    if step.check != "central" and not expected.source.exact:
        return skipped(expected, name, step.gradient, step.check, _INEXACT)
    if "output" in observed.faults and step.gradient not in observed.faults:
        return inconclusive(expected, name, step.gradient, step.check, "the forward pass gave no output to difference")
    runs: dict[str, Callable[[], GradientResult]] = {
        "central": lambda: central.check(expected, on_reals, step.gradient),
        "exact": lambda: exact.check(expected, observed, step.gradient, affordable),
        "projected": lambda: projected.check(expected, observed, step.gradient, step.note),
    }
    try:
        result = runs[step.check]()
        # In this order: where something is wrong, the code is not to be called once more.
        known_again = result.passed and costly(expected.layer, step) and not observed.implementation.builtin
        if not known_again or not expected.follows_definition:
            return result
        return with_digest(result, on_reals if step.check == "central" else observed)
    except Exception as error:
        if observed.implementation.builtin:
            raise
        # A target may well run once and raise at the next call.
        return raised(expected, name, step.gradient, step.check, explained(error))
