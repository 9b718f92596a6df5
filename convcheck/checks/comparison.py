"""Comparing an analytic with a numeric array, entry by entry, so that the numbers shown imply the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from convcheck.layer.arrays import Array, wide
from convcheck.reports.results import Worst


@dataclass(frozen=True, eq=False)
class Comparison:
    """How two arrays differ; the fields are those of `GradientResult`.

    Attributes
    ----------
    wrong : array of bool
        True at every entry whose error is larger than allowed, or not finite.
    """

    max_abs_error: float
    max_rel_error: float
    allowed_error: float
    worst: Worst | None
    wrong: NDArray[np.bool_]

    @property
    def mismatches(self) -> int:
        """Number of wrong entries."""
        return int(np.count_nonzero(self.wrong))


def compare(analytic: Array, numeric: Array, allowed: Array | float, max_error: float | None = None) -> Comparison:
    """Compare every entry.

    Parameters
    ----------
    analytic, numeric : array
        Of equal shape.
    allowed : array or float
        Allowed |analytic - numeric|, per entry or for all.
    max_error : float, optional
        Largest allowed relative error; takes the place of ``allowed``.

    Notes
    -----
    NaN or infinity is wrong whatever is allowed. The worst entry is the one with the largest error if all are within
    what is allowed, and else the one furthest beyond it; ``allowed_error`` is what is allowed there, so that
    ``max_abs_error <= allowed_error`` holds exactly if nothing is wrong.
    """
    left, right = wide(analytic), wide(numeric)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(left - right)
    largest = float(error.max())
    if not isfinite(largest):
        finite = np.isfinite(error)
        place = tuple(int(i) for i in np.unravel_index(np.argmin(finite), error.shape))
        wrong = ~finite | ~(error <= allowed)
        worst = Worst(place, left[place].item(), right[place].item())
        return Comparison(np.inf, np.inf, _at(allowed, place), worst, wrong)
    scale = max(float(np.abs(left).max()), float(np.abs(right).max())) if largest or max_error is not None else 0.0
    if max_error is not None:
        allowed = max_error * scale
    # Not `error > allowed`: that NaN allows nothing must not let everything pass.
    wrong = ~(error <= allowed)
    if not largest:
        place = (0,) * error.ndim
        return Comparison(0.0, 0.0, _at(allowed, place), None, wrong)
    badness = error
    if wrong.any():
        with np.errstate(over="ignore"):
            badness = np.where(wrong, error / np.where(np.greater(allowed, 0), allowed, 1), 0)
    place = tuple(int(i) for i in np.unravel_index(np.argmax(badness), error.shape))
    told = Worst(place, left[place].item(), right[place].item())
    return Comparison(largest, largest / scale, _at(allowed, place), told, wrong)


def _at(allowed: Array | float, place: tuple[int, ...]) -> float:
    return float(allowed[place]) if isinstance(allowed, np.ndarray) else float(allowed)
