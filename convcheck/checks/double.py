"""The derivatives of the backward pass itself, and the forward pass in forward mode, on integers: nothing is allowed.

Convolution is linear in each of its operands. So the sum of the three gradients, weighted by u_x, u_w and u_b, has the
derivatives

    by dL/dO    conv(u_x, W) + conv(x, u_w) + u_b
    by x        the gradient of the input, with u_w for W
    by W        the gradient of the weight, with u_x for x

The first is also how the output changes along (u_x, u_w, u_b), which is what forward mode gives. Beside these formulas,
each derivative, and what forward mode gives, is compared along a random step with the difference of the code's own
backward pass; that is exact, since every step is an integer and nothing is of second order in one operand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from math import isqrt
from typing import Any, NamedTuple

import numpy as np

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed, explained, fault_of, shape_of
from convcheck.checks.plan import TOO_MUCH
from convcheck.checks.verdict import compared, raised, skipped
from convcheck.gradients.numeric.projection import exact_dot
from convcheck.layer.arrays import Array
from convcheck.layer.data import LARGEST_MAGNITUDE, Operands, integer_magnitude, integer_operands
from convcheck.layer.layer import Layer
from convcheck.mistakes import mistake
from convcheck.mistakes.diagnose import Finding, diagnose
from convcheck.reports.details import headline
from convcheck.reports.results import GradientResult
from convcheck.targets.loading import framework_refusal
from convcheck.targets.target import Target

#: What each row is the derivative by, and the operand that stands there.
BY = {"output": "grad_output", "input": "x", "weight": "weight"}

#: The gradients of whose derivatives each row is the sum.
TERMS = {"output": ("grad_input", "grad_weight", "grad_bias"), "input": ("grad_weight",), "weight": ("grad_input",)}

#: Forward passes that take as long.
_PASSES = 24

#: Draws of the layer's seed: the point, the weights of the gradients, and a step.
_DRAWS = (20, 21, 22)

#: What forward mode is called in messages, in which it comes first.
FORWARD_MODE = "forward mode"

#: What frameworks say of code that is not differentiable by its own word.
_REFUSALS = ("once_differentiable", "forward-mode", "forward AD", "forward mode")


class Point(NamedTuple):
    """Where the backward pass is differentiated.

    Attributes
    ----------
    at : Operands
    along : Operands
        The weights u_x, u_w and u_b of the gradients.
    step : Operands
        Along which differences are taken.
    """

    at: Operands
    along: Operands
    step: Operands

    @classmethod
    def of(cls, layer: Layer) -> Point | None:
        """Return a layer's own; None where no integers keep the sums exact."""
        # Sums have twice the terms of a first derivative's, or factors that are twice as large.
        most = min(isqrt(integer_magnitude(layer, 2**30) ** 2 // 2), LARGEST_MAGNITUDE)
        drawn = [integer_operands(layer, draw, most) if most else None for draw in _DRAWS]
        return None if None in drawn else cls(*drawn)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Derivative:
    """One derivative that the code gave, and how it compares.

    Attributes
    ----------
    result : GradientResult
        Not diagnosed, but for terms that are lost.
    what : str
        What it is called in messages.
    terms : list of array
        Whose sum it should be.
    value : array or None
        What the code gave; None where that cannot be compared.
    factors : tuple of int, or None
        With which the terms add up to a wrong one, where that is all that is wrong.
    agrees : bool
        Whether the code's own backward pass says the same along a random direction.
    """

    result: GradientResult
    what: str
    terms: list[Array]
    value: Array | None = None
    factors: tuple[int, ...] | None = None
    agrees: bool = False

    @property
    def right(self) -> Array:
        """What it should be."""
        return np.asarray(np.sum(self.terms, axis=0))

    def counts(self, factors: tuple[int, ...]) -> bool:
        """Whether it is the sum of the terms with these factors."""
        known = self.value is not None and len(factors) == len(self.terms)
        return known and np.array_equal(self.value, _total(factors, self.terms))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is compared, where, and whether the check was asked for by name."""

    expected: Expected
    target: Target
    terms: dict[str, list[Array]]
    demanded: bool

    def refused(self, gradient: str, what: str, error: BaseException) -> Derivative:
        """Return the result of what was raised: skipped where it says that there is no such derivative."""
        result = raised(self.expected, self.target.name, gradient, "double", explained(error))
        refuses = isinstance(error, NotImplementedError) or framework_refusal(error) is not None
        if not self.demanded or refuses or any(words in str(error) for words in _REFUSALS):
            reason = f"it refuses: {headline(result)}"
            result = skipped(self.expected, self.target.name, gradient, "double", reason)
        return Derivative(result, what, self.terms[gradient])

    def judged(self, gradient: str, given: Any, what: str, step: Array, change: int | None) -> Derivative:
        """Compare a derivative with the formula, and along a step with what the code's own backward pass says of it.

        Parameters
        ----------
        given
            None where it is said to depend on nothing: zeros then.
        """
        expected, name, terms = self.expected, self.target.name, self.terms[gradient]
        value = np.zeros(shape_of(gradient, expected.layer), expected.layer.dtype) if given is None else given
        fault = fault_of(gradient, value, expected.layer)
        if fault:
            result = raised(expected, name, gradient, "double", f"{what}: {fault}")
            return Derivative(replace(result, status="failed", mismatches=result.entries), what, terms)
        result = compared(
            expected, Observed(self.target, {gradient: value}, {}), gradient, "double", np.sum(terms, axis=0), 0.0, 0
        )
        agrees = change is not None and exact_dot(value, step.astype(np.int64)) == change
        if result.passed and not agrees and expected.max_error is None:
            said = f"{what} is right, and the code's own backward pass says otherwise along a random direction"
            result = replace(result, status="failed", mismatches=result.entries, message=said)
        elif not result.passed and agrees:
            said = f"{what} agrees with the code's own backward pass, which is wrong itself"
            result = replace(result, message=f"{said}; {result.message}")
        elif not result.passed:
            factors = _factors(value, terms)
            return Derivative(self.told(result, what, factors), what, terms, value, factors)
        return Derivative(result, what, terms, value, agrees=agrees)

    def told(self, result: GradientResult, what: str, factors: tuple[int, ...] | None) -> GradientResult:
        """Return a failed result with what is known of its terms: some are missing, or counted wrongly.

        That gradients are taken for constants is a failure only where it was demanded: most code is never
        differentiated twice.
        """
        of, by = TERMS[result.gradient], BY[result.gradient]
        if factors is None:
            return replace(result, message=f"{FORWARD_MODE}: {result.message}") if what == FORWARD_MODE else result
        if what == FORWARD_MODE or not set(factors) <= {0, 1}:
            counts = ", ".join(f"{factor} times that of {name}" for name, factor in zip(of, factors, strict=False))
            return replace(result, message=f"{what} is the sum of {counts}; {result.message}")
        known = mistake("graph-broken").diagnosis()
        lost = [name for name, factor in zip(of, factors, strict=False) if not factor]
        said = f"{', '.join(lost)} {'is' if len(lost) == 1 else 'are'} taken not to depend on {by}"
        if self.demanded:
            return replace(result, message=f"{said}; {result.message}", diagnosis=(known,))
        hint = f"{said}, so that second derivatives are wrong without a word ({known.name}); --check double insists"
        return skipped(self.expected, self.target.name, result.gradient, "double", hint)


def check(expected: Expected, target: Target, budget: float, *, demanded: bool) -> list[GradientResult]:
    """Compare the three derivatives, and with that by dL/dO what forward mode gives.

    Parameters
    ----------
    budget : float
        Multiply-adds that it may take.
    demanded : bool
        Whether it was asked for by name.
    """
    if not target.differentiable and not demanded:
        return []
    reason = obstacle(expected, target, budget)
    point = None if reason else Point.of(expected.layer)
    if not reason and point is None:
        reason = f"no integers keep the sums of second derivatives exact in {expected.layer.dtype}"
    if reason or point is None:
        return [skipped(expected, target.name, gradient, "double", reason) for gradient in BY]
    results = []
    for found in derivatives(expected, target, point, demanded=demanded):
        finding = diagnosed(found, expected, target)
        message = "; ".join(text for text in (found.result.message, finding.note) if text)
        diagnosis = found.result.diagnosis or finding.diagnoses
        results.append(replace(found.result, diagnosis=diagnosis, message=message or None))
    by_output, by_input, by_weight, forward_mode = results
    return [_with_forward_mode(by_output, forward_mode), by_input, by_weight]


def obstacle(expected: Expected, target: Target, budget: float) -> str:
    """Return why second derivatives cannot be looked at; "" where they can."""
    layer = expected.layer
    if not target.differentiable:
        return "code of this form, or with this mapping, gives no derivatives of its gradients"
    if layer.is_complex:
        return "second derivatives of complex layers are not looked at"
    if not expected.source.exact:
        return "the target's mapping says exact: false, so that nothing can be expected to be exact"
    return TOO_MUCH.format("double") if layer.multiply_adds * _PASSES > budget else ""


def derivatives(expected: Expected, target: Target, point: Point, *, demanded: bool) -> list[Derivative]:
    """Return the derivatives by dL/dO, x and W, and what forward mode gives, each compared."""
    asked = _Asked(expected, target, _terms(expected, point), demanded)
    at, along, step = point
    names = {gradient: f"the derivative by {operand}" for gradient, operand in BY.items()}
    wanted = [*names.items(), ("output", FORWARD_MODE)]
    changes: dict[str, int | None] = {}
    try:
        before = weighted_sum(target, expected.layer, at, along)
        for gradient, operand in BY.items():
            moved = replace(at, **{operand: getattr(at, operand) + getattr(step, operand)})
            after = weighted_sum(target, expected.layer, moved, along)
            changes[gradient] = None if before is None or after is None else after - before
    except (Exception, SystemExit) as error:
        failed = [raised(expected, target.name, gradient, "double", explained(error)) for gradient, _ in wanted]
        return [Derivative(r, what, asked.terms[r.gradient]) for r, (_, what) in zip(failed, wanted, strict=True)]
    found = []
    try:
        given = [None if value is None else np.array(value) for value in target.second(expected.layer, at, along)]
    except (Exception, SystemExit) as error:
        found += [asked.refused(gradient, what, error) for gradient, what in names.items()]
    else:
        for (gradient, what), value in zip(names.items(), given, strict=True):
            judged = asked.judged(gradient, value, what, getattr(step, BY[gradient]), changes[gradient])
            found.append(replace(judged, result=replace(judged.result, evaluations=2)))
    try:
        tangent = target.tangent(expected.layer, at, along)
    except (Exception, SystemExit) as error:
        return [*found, asked.refused("output", FORWARD_MODE, error)]
    return [*found, asked.judged("output", tangent, FORWARD_MODE, step.grad_output, changes["output"])]


def diagnosed(found: Derivative, expected: Expected, target: Target) -> Finding:
    """Find the known mistake that makes a wrong derivative of which no more is known.

    By x and W, each derivative is a first one: weighted by the operands themselves, it is the gradient.
    """
    result = found.result
    first = result.gradient != "output" and found.value is not None
    if not first or result.status != "failed" or found.agrees or found.factors is not None or result.worst is None:
        return Finding(())
    return diagnose(expected.layer, result.gradient, lambda layer, at: first_of(target, layer, at))


def first_of(target: Target, layer: Layer, at: Operands) -> dict[str, Array]:
    """Return the gradients as the derivatives that they are; nothing where the target gives none."""
    if target.unsupported(layer):
        return {}
    try:
        found = dict(zip(BY, target.second(layer, at, at), strict=True))
    except (Exception, SystemExit):
        return {}
    return {name: found[name] for name in ("input", "weight") if isinstance(found[name], np.ndarray)}


def in_forward_mode(result: GradientResult) -> bool:
    """Whether a failed result is about what forward mode gave."""
    return result.check == "double" and (result.message or "").startswith(FORWARD_MODE)


def _terms(expected: Expected, point: Point) -> dict[str, list[Array]]:
    at, along = point.at, point.along
    first = expected.right(replace(at, x=along.x, bias=None))
    second = expected.right(replace(at, weight=along.weight, bias=None))
    by_output = [first["output"], second["output"]]
    if along.bias is not None:
        by_output.append(expected.right(replace(at, x=0 * at.x, bias=along.bias))["output"])
    return {"output": by_output, "input": [second["input"]], "weight": [first["weight"]]}


def weighted_sum(target: Target, layer: Layer, at: Operands, along: Operands) -> int | None:
    """Return the weighted sum of the target's gradients; None where it is no integer."""
    gradients = target.both(layer, at).backward()
    pairs = zip(gradients, (along.x, along.weight, along.bias), strict=True)
    sums = [exact_dot(np.asarray(gradient), u.astype(np.int64)) for gradient, u in pairs if u is not None]
    return None if None in sums else sum(each for each in sums if each is not None)


def _total(factors: tuple[int, ...], terms: list[Array]) -> Array:
    return np.asarray(sum(factor * term for factor, term in zip(factors, terms, strict=True)))


def _factors(array: Array, terms: list[Array]) -> tuple[int, ...] | None:
    """Return the first small factors with which the terms add up to an array; terms of zeros count once."""
    choices = product(*((0, 1, -1, 2) if term.any() else (1,) for term in terms))
    return next((factors for factors in choices if np.array_equal(array, _total(factors, terms))), None)


def _with_forward_mode(result: GradientResult, forward_mode: GradientResult) -> GradientResult:
    """Return the result of the derivative by dL/dO, which forward mode gives too, with what it gave."""
    if not forward_mode.acceptable:
        return forward_mode if result.acceptable else result
    said = "forward mode is right"
    if not forward_mode.passed:
        said = f"forward mode was not compared: {forward_mode.message}"
    return replace(result, message="; ".join(text for text in (result.message, said) if text))
