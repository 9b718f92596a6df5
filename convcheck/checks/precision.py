"""Results that are wrong only by rounding: what that says about the code under test, and how it is declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed, in_dtype
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric import rounding
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.fields import DTYPES
from convcheck.reports.results import GradientResult

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
    marked = []
    for result in results:
        hint = None
        if result.status == "failed" and result.gradient not in {*observed.faults, *on_reals.faults}:
            if result.check == "forward":
                hint = _of_output(expected, observed, on_reals)
            elif result.check == "central" and expected.max_error is None:
                hint = _of_gradient(expected, on_reals, result.gradient, exact=result.gradient in exact)
            elif result.condition == "real" and result.gradient in exact:
                hint = _rounded_inside(expected.layer.dtype)
        marked.append(replace(result, message=f"{result.message}; {hint}") if hint else result)
    return marked


def _rounded_inside(dtype: str) -> str:
    return (
        f"exact on small integers, and off on real numbers by more than {dtype} explains: something inside is rounded "
        "to less, as in float16 or TF32; switch that off, check it in its own data type with --dtype D, or say how "
        "much it may be off with --max-error E; an algorithm by transforms (Winograd) says exact: false in its mapping"
    )


def _of_output(expected: Expected, observed: Observed, on_reals: Observed) -> str | None:
    for found, right, at in (
        (observed, expected.definition, expected.operands),
        (on_reals, expected.real_output, expected.reals),
    ):
        error = np.abs(found.arrays["output"].astype(np.float64) - right)
        if error.any():
            return _explanation(expected, error, at, "output", exact=at is expected.reals)
    return None


def _of_gradient(expected: Expected, on_reals: Observed, name: str, *, exact: bool) -> str | None:
    """Explain how far a gradient is from the one by the definition, which the forward pass is known to follow."""
    at = expected.reals.map(lambda array: array.astype(np.float64))
    right = getattr(formulation(FASTEST).backward(expected.layer, at.x, at.weight, at.grad_output), name)
    error = np.abs(on_reals.arrays[name].astype(np.float64) - right)
    return _explanation(expected, error, expected.reals, name, exact=exact)


def _explanation(expected: Expected, error: Array, at: Operands, name: str, *, exact: bool) -> str | None:
    """Return the first of an algorithm by transforms and the lower precisions whose bound holds everywhere.

    Parameters
    ----------
    exact : bool
        Whether nothing is wrong on integers, on which transforms mostly round.
    """
    layer, reference = expected.layer, formulation(FASTEST)

    def holds(dtype: str, *, direct: bool) -> bool:
        rounded = replace(layer, dtype=dtype)
        if name == "output":
            bound = rounding.output_errors(rounded, at, reference.forward, exact=direct)
        else:
            bound = getattr(rounding.backward_errors(rounded, at, reference.backward, exact=direct), name)
        return bool((error <= bound).all())

    if holds(layer.dtype, direct=False):
        return _rounded_inside(layer.dtype) if exact else _BY_TRANSFORMS
    own = DTYPES[layer.dtype].precision
    lower = sorted((dtype for dtype in DTYPES if DTYPES[dtype].precision < own), key=lambda d: -DTYPES[d].precision)
    dtype = next((dtype for dtype in lower if holds(dtype, direct=True)), None)
    if dtype is None:
        return _rounded_inside(layer.dtype) if exact else None
    return f"as near as {dtype} allows: if it computes in {dtype} whatever comes in, check it so: {in_dtype(dtype)}"
