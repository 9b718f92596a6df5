"""The derivatives of the backward pass itself, and the forward pass in forward mode, on integers: nothing is allowed.

Convolution is linear in each of its operands. So the sum of the three gradients, weighted by u_x, u_w and u_b, has the
derivatives

    by dL/dO    conv(u_x, W) + conv(x, u_w) + u_b
    by x        the gradient of the input, with u_w for W
    by W        the gradient of the weight, with u_x for x

The first is also how the output changes along (u_x, u_w, u_b), which is what forward mode gives. Beside these formulas,
each derivative is compared, along a random step, with the difference of the code's own backward pass, and forward mode
with that pass itself; both are exact, since every step is an integer and nothing is of second order in one operand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import isqrt
from typing import Any

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
from convcheck.mistakes.diagnose import diagnose
from convcheck.reports.details import headline
from convcheck.reports.results import GradientResult
from convcheck.targets.loading import framework_refusal
from convcheck.targets.target import Target

#: What each row is the derivative by, and the operand that stands there.
BY = {"output": "grad_output", "input": "x", "weight": "weight"}

#: The gradients of whose derivatives each row is the sum.
_TERMS = {"output": ("grad_input", "grad_weight", "grad_bias"), "input": ("grad_weight",), "weight": ("grad_input",)}

#: Forward passes that take as long.
_PASSES = 24

#: Draws of the layer's seed: the point, the weights of the gradients, and a step.
_DRAWS = (20, 21, 22)

_FORWARD_MODE = "forward mode"

#: What frameworks say of code that is not differentiable by its own word.
_REFUSALS = ("once_differentiable", "forward-mode", "forward AD", "forward mode")


@dataclass(frozen=True, eq=False)
class _Case:
    """What is compared, on which data.

    Attributes
    ----------
    along : Operands
        The weights u_x, u_w and u_b of the gradients.
    terms : dict of str to list of array
        Those of each derivative, by the built-in passes.
    demanded : bool
        Whether the check was asked for by name.
    """

    expected: Expected
    target: Target
    at: Operands
    along: Operands
    terms: dict[str, list[Array]]
    demanded: bool

    def refused(self, gradient: str, error: BaseException) -> GradientResult:
        """Return the result of what was raised: skipped where it says that there is no such derivative."""
        result = raised(self.expected, self.target.name, gradient, "double", explained(error))
        refuses = isinstance(error, NotImplementedError) or framework_refusal(error) is not None
        if self.demanded and not refuses and not any(words in str(error) for words in _REFUSALS):
            return result
        return skipped(self.expected, self.target.name, gradient, "double", f"it refuses: {headline(result)}")

    def judged(self, gradient: str, given: Any, what: str, step: Array, change: int | None) -> GradientResult:
        """Compare a derivative with the formula, and along a step with what the code's own backward pass says of it.

        Parameters
        ----------
        given
            None where it is said to depend on nothing: zeros then.
        what : str
            What it is called in messages.
        """
        expected, name = self.expected, self.target.name
        value = np.zeros(shape_of(gradient, expected.layer), expected.layer.dtype) if given is None else given
        fault = fault_of(gradient, value, expected.layer)
        if fault:
            result = raised(expected, name, gradient, "double", f"{what}: {fault}")
            return replace(result, status="failed", mismatches=result.entries)
        terms = self.terms[gradient]
        result = compared(
            expected, Observed(self.target, {gradient: value}, {}), gradient, "double", np.sum(terms, axis=0), 0.0, 0
        )
        agrees = change is not None and exact_dot(value, step.astype(np.int64)) == change
        if result.passed and not agrees and expected.max_error is None:
            said = f"{what} is right, and the code's own backward pass says otherwise along a random direction"
            return replace(result, status="failed", mismatches=result.entries, message=said)
        if result.passed:
            return result
        if agrees:
            said = f"{what} agrees with the code's own backward pass, which is wrong itself"
            return replace(result, message=f"{said}; {result.message}")
        return self.explained(result, value, what)

    def explained(self, result: GradientResult, value: Array, what: str) -> GradientResult:
        """Return a failed result with what is known of it: terms that are missing or counted wrongly, or a mistake.

        That gradients are taken for constants is a failure only where it was demanded: most code is never
        differentiated twice.
        """
        of, by = _TERMS[result.gradient], BY[result.gradient]
        factors = next(_factors(value, self.terms[result.gradient]), None)
        if factors is None:
            return result if result.gradient == "output" else self.diagnosed(result)
        if what == _FORWARD_MODE or not set(factors) <= {0, 1}:
            counts = ", ".join(f"{factor} times that of {name}" for name, factor in zip(of, factors, strict=False))
            return replace(result, message=f"{what} is the sum of {counts}; {result.message}")
        known = mistake("graph-broken").diagnosis()
        lost = [name for name, factor in zip(of, factors, strict=False) if not factor]
        said = f"{', '.join(lost)} {'is' if len(lost) == 1 else 'are'} taken not to depend on {by}"
        if self.demanded:
            return replace(result, message=f"{said}; {result.message}", diagnosis=(known,))
        hint = f"{said}, so that second derivatives are wrong without a word ({known.name}); --check double insists"
        return skipped(self.expected, self.target.name, result.gradient, "double", hint)

    def diagnosed(self, result: GradientResult) -> GradientResult:
        """Return a failed result with the known mistake that makes it: by x and W, each derivative is a first one."""

        def rerun(layer: Layer, at: Operands) -> dict[str, Array]:
            if self.target.unsupported(layer):
                return {}
            try:
                # Weighted by the operands themselves, these are the gradients.
                found = dict(zip(BY, self.target.second(layer, at, at), strict=True))
            except (Exception, SystemExit):
                return {}
            return {name: found[name] for name in ("input", "weight") if isinstance(found[name], np.ndarray)}

        finding = diagnose(self.expected.layer, result.gradient, rerun)
        message = "; ".join(text for text in (result.message, finding.note) if text)
        return replace(result, diagnosis=finding.diagnoses, message=message)


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
    reason, data = _prepared(expected, target, budget)
    if reason:
        return [skipped(expected, target.name, gradient, "double", reason) for gradient in BY]
    at, along, step = data
    case = _Case(expected, target, at, along, _terms(expected, at, along), demanded)
    try:
        before = _weighted_sum(case, at)
        after = {
            gradient: _weighted_sum(case, replace(at, **{name: getattr(at, name) + getattr(step, name)}))
            for gradient, name in BY.items()
        }
    except (Exception, SystemExit) as error:
        return [raised(expected, target.name, gradient, "double", explained(error)) for gradient in BY]
    try:
        given = [None if value is None else np.array(value) for value in target.second(expected.layer, at, along)]
    except (Exception, SystemExit) as error:
        results = [case.refused(gradient, error) for gradient in BY]
    else:
        results = []
        for (gradient, operand), value in zip(BY.items(), given, strict=True):
            moved = after[gradient]
            change = None if before is None or moved is None else moved - before
            found = case.judged(gradient, value, f"the derivative by {operand}", getattr(step, operand), change)
            results.append(replace(found, evaluations=2))
    try:
        tangent = target.tangent(expected.layer, at, along)
    except (Exception, SystemExit) as error:
        forward_mode = case.refused("output", error)
    else:
        forward_mode = case.judged("output", tangent, _FORWARD_MODE, at.grad_output, before)
    return [_with_forward_mode(results[0], forward_mode), *results[1:]]


def _prepared(expected: Expected, target: Target, budget: float) -> tuple[str, Any]:
    """Return why there is nothing to be run, or else "" and the data: a point, weights of its gradients, and a step."""
    layer = expected.layer
    if not target.differentiable:
        return "code of this form, or with this mapping, gives no derivatives of its gradients", None
    if layer.is_complex:
        return "second derivatives of complex layers are not looked at", None
    if not expected.source.exact:
        return "the target's mapping says exact: false, so that nothing can be expected to be exact", None
    if layer.multiply_adds * _PASSES > budget:
        return TOO_MUCH.format("double"), None
    # Sums have twice the terms of a first derivative's, or factors that are twice as large.
    most = isqrt(integer_magnitude(layer, 2**30) ** 2 // 2)
    if not most:
        return f"no integers keep the sums of second derivatives exact in {layer.dtype}", None
    return "", [integer_operands(layer, draw, min(most, LARGEST_MAGNITUDE)) for draw in _DRAWS]


def _terms(expected: Expected, at: Operands, along: Operands) -> dict[str, list[Array]]:
    first = expected.right(replace(at, x=along.x, bias=None))
    second = expected.right(replace(at, weight=along.weight, bias=None))
    by_output = [first["output"], second["output"]]
    if along.bias is not None:
        by_output.append(expected.right(replace(at, x=0 * at.x, bias=along.bias))["output"])
    return {"output": by_output, "input": [second["input"]], "weight": [first["weight"]]}


def _weighted_sum(case: _Case, at: Operands) -> int | None:
    """Return the weighted sum of the target's gradients; None where it is no integer."""
    gradients = case.target.both(case.expected.layer, at).backward()
    pairs = zip(gradients, (case.along.x, case.along.weight, case.along.bias), strict=True)
    sums = [exact_dot(np.asarray(gradient), u.astype(np.int64)) for gradient, u in pairs if u is not None]
    return None if None in sums else sum(each for each in sums if each is not None)


def _factors(array: Array, terms: list[Array]) -> Iterator[tuple[int, ...]]:
    """Yield the small factors with which the terms add up to an array; terms of zeros count once."""
    for factors in product(*((0, 1, -1, 2) if term.any() else (1,) for term in terms)):
        if np.array_equal(array, sum(factor * term for factor, term in zip(factors, terms, strict=True))):
            yield factors


def _with_forward_mode(result: GradientResult, forward_mode: GradientResult) -> GradientResult:
    """Return the result of the derivative by dL/dO, which forward mode gives too, with what it gave."""
    if not forward_mode.acceptable:
        return forward_mode if result.acceptable else result
    said = "forward mode is right"
    if not forward_mode.passed:
        said = f"forward mode was not compared: {forward_mode.message}"
    return replace(result, message="; ".join(text for text in (result.message, said) if text))
