"""The same layer, called as real life calls it: other data, other memory, another order of calls.

Once a layer's numeric checks have passed, its forward and backward pass are run again under every condition. What they
give is compared with the built-in passes, which were found to give the same on the layer's integer data. On integers
nothing is allowed; on real numbers what rounding in the layer's dtype implies for the backward pass alone.

To add a condition: its words in `convcheck.mistakes.conditions`, and here the function that runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import isqrt, prod

import numpy as np

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed
from convcheck.checks.plan import TOO_MUCH, gradients_of
from convcheck.checks.verdict import compared, faulty, inconclusive, raised, skipped
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric import rounding
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands, integer_magnitude, integer_operands, short_sums, with_zeros
from convcheck.layer.fields import DTYPES
from convcheck.mistakes.conditions import CONDITIONS
from convcheck.reports.results import GradientResult
from convcheck.targets.target import Target

#: What is run and what came of it: one entry per forward and backward pass that counts.
Runs = list[tuple[Operands, Observed]]

#: A bound that allows a larger share of a gradient's size than this says too little to pass anything.
_LARGEST_SHARE = 1 / 256

#: Largest integer wanted where they are to be large.
_LARGE = 2**40

_ZEROS = 0.4

#: Passes, forward or backward, of the target and of the built-in formulation, under all conditions together.
_PASSES = 60

#: Multiply-adds that take about as long as drawing, copying and comparing an entry.
_WORK_PER_ENTRY = 100


def _each(expected: Expected, target: Target, data: Iterable[Operands]) -> Runs:
    return [(at, Observed.of(target, expected.layer, at)) for at in data]


def _real(expected: Expected, target: Target) -> Runs | str:
    short = short_sums(expected.layer, expected.reals, expected.terms)
    # Where no integers were compared, every entry of grad_output must have counted somewhere.
    whole = [] if expected.exact_data or short is expected.reals else [expected.reals]
    return _each(expected, target, [short, *whole])


def _sparse(expected: Expected, target: Target) -> Runs | str:
    behind_relu = expected.draw(10)
    behind_relu = replace(behind_relu, x=np.maximum(behind_relu.x, 0))
    return _each(expected, target, [with_zeros(expected.layer, expected.draw(1), _ZEROS), behind_relu])


def _zero_grad_output(expected: Expected, target: Target) -> Runs | str:
    at = expected.draw(2)
    return _each(expected, target, [replace(at, grad_output=np.zeros_like(at.grad_output))])


def _one_sign(expected: Expected, target: Target) -> Runs | str:
    positive = expected.draw(3).map(np.abs)
    mixed = expected.draw(11)
    return _each(expected, target, [positive, positive.map(np.negative), replace(mixed, x=np.abs(mixed.x))])


def _large(expected: Expected, target: Target) -> Runs | str:
    most = _LARGE
    if target.averages:
        # A mean rounds: n terms by at most some 2 n u of their sum, which must be well below 1.
        terms = expected.layer.batch * prod(expected.layer.output)
        terms = max(terms, expected.layer.filters_per_group * prod(expected.layer.kernel))
        most = isqrt(DTYPES[expected.layer.dtype].exact_limit // (8 * terms * (terms + 4)))
    at = integer_operands(expected.layer, 4, most) if expected.exact_data and most else None
    if at is None or integer_magnitude(expected.layer, most) <= integer_magnitude(expected.layer):
        if not expected.source.exact:
            return "the target rounds on integers too"
        return f"no larger integers keep the sums of this layer exact in {expected.layer.dtype}"
    return _each(expected, target, [at])


def _interleaved(expected: Expected, target: Target) -> Runs | str:
    data = [expected.draw(number) for number in (5, 6, 9)]
    # Neither first in, first out nor last in, first out.
    return list(zip(data, Observed.interleaved(target, expected.layer, data, order=(1, 0, 2)), strict=True))


def _same_memory(expected: Expected, target: Target) -> Runs | str:
    first, second = expected.draw(7), expected.draw(8)
    observed = Observed.again_with(target, expected.layer, first, second)
    return "the target takes one forward pass per object" if observed is None else [(second, observed)]


#: How each condition is run: what was run and what came of it, or the reason for which it cannot be.
RUNS: dict[str, Callable[[Expected, Target], Runs | str]] = {
    "real": _real,
    "sparse": _sparse,
    "zero-grad-output": _zero_grad_output,
    "one-sign": _one_sign,
    "large": _large,
    "interleaved": _interleaved,
    "same-memory": _same_memory,
}


def check(expected: Expected, target: Target, budget: float) -> list[GradientResult]:
    """Run a target under every condition.

    Parameters
    ----------
    expected : Expected
        Whose numeric checks have passed.
    budget : float
        Multiply-adds that the conditions may take together; real numbers are tried in any case.

    Returns
    -------
    list of GradientResult
        One per condition and gradient, of the worst of its runs; one about the output where that is wrong.
    """
    results: list[GradientResult] = []
    layer = expected.layer
    entries = prod(layer.input_shape) + prod(layer.weight_shape) + prod(layer.output_shape)
    affordable = _PASSES * max(layer.multiply_adds, _WORK_PER_ENTRY * entries) <= budget
    for condition, run in RUNS.items():
        runs = run(expected, target) if affordable or condition == "real" else TOO_MUCH.format("conditions")
        found = []
        if not isinstance(runs, str):
            for place, (at, observed) in enumerate(runs):
                bounded = condition == "real" or not expected.exact_data
                found.append(against_built_in(expected, at, observed, bounded=bounded, sharp=not place))
        for gradient in ("output", *gradients_of(expected.layer)):
            if gradient in target.absent or (isinstance(runs, str) and gradient == "output"):
                continue
            if isinstance(runs, str):
                result = skipped(expected, target.name, gradient, "conditions", runs)
            else:
                result = max((results_of_run[gradient] for results_of_run in found), key=_gravity)
            if gradient != "output" or not result.passed:
                results.append(replace(result, condition=condition))
    return results


def _gravity(result: GradientResult) -> tuple[int, float]:
    return ("passed", "inconclusive", "failed", "error").index(result.status), result.max_rel_error


def against_built_in(
    expected: Expected, at: Operands, observed: Observed, *, bounded: bool, sharp: bool = False
) -> dict[str, GradientResult]:
    """Compare everything that one run gave with the built-in passes in float64.

    Parameters
    ----------
    bounded : bool
        Whether what rounding implies is allowed; nothing is, otherwise.
    sharp : bool, default False
        Whether a wide bound is no pass. The first run of a condition must be compared sharply; others may add what a
        wide bound still shows.
    """
    name, layer, built_in = observed.implementation.name, expected.layer, formulation(FASTEST)
    wide = at.map(lambda array: array.astype(np.float64))
    right = built_in.backward(layer, wide.x, wide.weight, wide.grad_output)._asdict()
    right["output"] = built_in.forward(layer, wide.x, wide.weight, wide.bias)
    allowed: dict[str, Array | float] = dict.fromkeys(right, 0.0)
    if bounded:
        exact = expected.source.exact
        allowed = rounding.backward_errors(layer, at, built_in.backward, exact=exact)._asdict()
        allowed["output"] = rounding.output_errors(layer, at, built_in.forward, exact=exact)
    results = {}
    for gradient in ("output", *gradients_of(layer)):
        fault = faulty(expected, observed, gradient, "conditions")
        if observed.refusal:
            result = raised(expected, name, gradient, "conditions", observed.refusal)
        elif fault:
            result = fault
        elif gradient not in observed.arrays:
            reason = "the forward pass gave no output, so the backward pass was not run"
            result = inconclusive(expected, name, gradient, "conditions", reason)
        else:
            result = compared(expected, observed, gradient, "conditions", right[gradient], allowed[gradient], 0)
            little = sharp and bounded and gradient != "output" and _says_little(right, allowed, at, gradient)
            if result.passed and little and expected.max_error is None:
                reason = f"rounding in {layer.dtype} may change more than 1/256 of this gradient: little is shown"
                result = replace(result, status="inconclusive", message=reason)
        results[gradient] = result
    return results


def named(result: GradientResult) -> GradientResult:
    """Return a failed result with its condition as the diagnosis, where no known mistake explains it."""
    if result.status != "failed" or result.diagnosis or result.condition is None:
        return result
    return replace(result, diagnosis=(CONDITIONS[result.condition].diagnosis(),))


def _says_little(right: dict[str, Array], allowed: dict[str, Array | float], at: Operands, gradient: str) -> bool:
    """Whether what is allowed is a large share of the gradient, or of one term of it where all of it is zero."""
    factors = {"input": at.weight, "weight": at.x, "bias": np.ones(1)}
    term = float(np.abs(at.grad_output).max() * np.abs(factors[gradient]).max())
    size = max(float(np.abs(right[gradient]).max()), term)
    return not float(np.max(allowed[gradient])) <= _LARGEST_SHARE * size
