"""Results that are wrong only by rounding: what that says about the code under test, and how it is declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed, in_dtype
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric import rounding
from convcheck.layer.arrays import Array, wide
from convcheck.layer.data import Operands
from convcheck.layer.fields import DTYPES, akin
from convcheck.layer.layer import Layer
from convcheck.reports.results import GradientResult

#: Relative to the largest entry: about as far as a product of two factors that are rounded to bfloat16 may be off.
_COARSEST = 2.0**-7

_BY_TRANSFORMS = (
    "off by no more than an algorithm by transforms (FFT, Winograd) is by design; if it is one, say so in the mapping: "
    "exact: false"
)


def with_precision(
    results: Sequence[GradientResult], expected: Expected, observed: Observed, on_reals: Observed
) -> list[GradientResult]:
    """Return the results of a target, with what a lower precision inside would explain.

    Parameters
    ----------
    observed, on_reals : Observed
        On the data of the forward check, and on real data.
    """
    exact = {result.gradient for result in results if result.check == "exact" and result.passed}
    if "output" in observed.arrays and np.array_equal(observed.arrays["output"], expected.definition):
        exact.add("output")
    narrow = {r.gradient: r.accumulates for r in results if r.check == "accumulate" and r.status == "failed"}
    faulty = {*observed.faults, *on_reals.faults}
    marked = []
    for result in results:
        hint = None
        compared = result.check in ("forward", "central") or result.condition == "real"
        # What has a name of its own is no rounding; but a part may be right by chance where little is rounded.
        unnamed = all(diagnosis.name in (result.condition, "partly-right") for diagnosis in result.diagnosis)
        near = result.status == "failed" and result.max_rel_error <= _COARSEST and unnamed
        if compared and near and result.gradient not in faulty and expected.max_error is None:
            hint = _hint(expected, observed, on_reals, result, exact=result.gradient in exact)
            if result.gradient in narrow:
                hint = f"right in structure, accumulates in {narrow[result.gradient]}"
        if hint:
            named = tuple(diagnosis for diagnosis in result.diagnosis if diagnosis.name != "partly-right")
            result = replace(result, message=f"{result.message}; {hint}", diagnosis=named)
        marked.append(result)
    return marked


def _hint(
    expected: Expected, observed: Observed, on_reals: Observed, result: GradientResult, *, exact: bool
) -> str | None:
    """Return what explains that a result is a little off: a narrower data type, transforms, or rounded factors.

    Parameters
    ----------
    exact : bool
        Whether nothing is wrong on integers, on which transforms mostly round.
    """
    layer = expected.layer
    if result.gradient == "output" and not exact:
        error = _distance(observed.arrays["output"], expected.definition)
        return _BY_TRANSFORMS if _holds(layer, error, expected.operands, "output", direct=False) else None
    at = expected.reals.wide()
    right = formulation(FASTEST).backward(layer, at.x, at.weight, at.grad_output)._asdict() | {
        "output": expected.real_output
    }
    error = _distance(on_reals.arrays[result.gradient], right[result.gradient])
    if _holds(layer, error, expected.reals, result.gradient, direct=False):
        return _rounded_inside(layer.dtype) if exact else _BY_TRANSFORMS
    narrower = [name for name in akin(layer.dtype) if DTYPES[name].precision < DTYPES[layer.dtype].precision]
    for name in sorted(narrower, key=lambda name: -DTYPES[name].precision):
        if _holds(replace(layer, dtype=name), error, expected.reals, result.gradient, direct=True):
            return (
                f"as near as {name} allows: if it computes in {name} whatever comes in, check it so: {in_dtype(name)}"
            )
    return _rounded_inside(layer.dtype) if exact else None


def _distance(given: Array, right: Array) -> Array:
    distance: Array = np.abs(wide(given) - right)
    return distance


def _holds(layer: Layer, error: Array, at: Operands, name: str, *, direct: bool) -> bool:
    """Whether errors are within the bound of direct sums in a layer's data type, or else of transforms."""
    reference = formulation(FASTEST)
    if name == "output":
        bound = rounding.output_errors(layer, at, reference.forward, exact=direct)
    else:
        bound = getattr(rounding.backward_errors(layer, at, reference.backward, exact=direct), name)
    return bool((error <= bound).all())


def _rounded_inside(dtype: str) -> str:
    return (
        f"exact on small integers, and off on real numbers by more than {dtype} explains: something inside is rounded "
        "to less, as in float16 or TF32; switch that off, check it in its own data type with --dtype D, or say how "
        "much it may be off with --max-error E; an algorithm by transforms (Winograd) says exact: false in its mapping"
    )
