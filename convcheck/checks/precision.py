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
                error = np.abs(on_reals.arrays[result.gradient] - expected.central(result.gradient).values)
                hint = _explanation(expected, error, expected.reals, result.gradient)
                if hint is None and result.gradient in exact:
                    hint = (
                        f"exact on small integers, and off on real numbers by more than {expected.layer.dtype} "
                        "explains: something inside is rounded to less, as in float16 or TF32; switch that off, check "
                        "the code in its own data type with --dtype D, or say how much it may be off: --max-error E"
                    )
        marked.append(replace(result, message=f"{result.message}; {hint}") if hint else result)
    return marked


def _of_output(expected: Expected, observed: Observed, on_reals: Observed) -> str | None:
    for found, right, at in (
        (observed, expected.definition, expected.operands),
        (on_reals, expected.real_output, expected.reals),
    ):
        error = np.abs(found.arrays["output"].astype(np.float64) - right)
        if error.any():
            return _explanation(expected, error, at, "output")
    return None


def _explanation(expected: Expected, error: Array, at: Operands, name: str) -> str | None:
    """Return the first of an algorithm by transforms and the lower precisions whose bound holds everywhere."""
    layer, reference = expected.layer, formulation(FASTEST)

    def holds(dtype: str, *, exact: bool) -> bool:
        rounded = replace(layer, dtype=dtype)
        if name == "output":
            bound = rounding.output_errors(rounded, at, reference.forward, exact=exact)
        elif exact:
            bound = getattr(rounding.allowed_errors(rounded, at, reference.forward, reference.backward), name)
        else:
            bound = getattr(rounding.transformed(rounded, at, reference.forward, reference.backward)[1], name)
        return bool((error <= bound).all())

    if holds(layer.dtype, exact=False):
        return (
            "off by no more than an algorithm by transforms (FFT, Winograd) is by design; if it is one, say so in the "
            "mapping: exact: false"
        )
    own = DTYPES[layer.dtype].precision
    lower = sorted((dtype for dtype in DTYPES if DTYPES[dtype].precision < own), key=lambda d: -DTYPES[d].precision)
    dtype = next((dtype for dtype in lower if holds(dtype, exact=True)), None)
    if dtype is None:
        return None
    return (
        f"as near as {dtype} allows: if it computes in that whatever comes in, check it in that, with {in_dtype(dtype)}"
    )
