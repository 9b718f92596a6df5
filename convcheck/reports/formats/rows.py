"""A layer's results, gathered into the fewest lines that tell no less than the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from convcheck.reports.results import CHECKS, GRADIENTS, STATUSES, GradientResult

_Key = Callable[[GradientResult], tuple[int, ...]]


@dataclass(frozen=True)
class Row:
    """Results of one kind of check and one status that one line can show.

    Attributes
    ----------
    results : tuple of GradientResult
        At least one. Where they passed, no error of any of them exceeds `allowed`.
    """

    results: tuple[GradientResult, ...]

    @property
    def check(self) -> str:
        """The kind of check."""
        return self.results[0].check

    @property
    def status(self) -> str:
        """The status that all results share."""
        return self.results[0].status

    @property
    def gradients(self) -> tuple[str, ...]:
        """The gradients, in the order in which they are checked."""
        return tuple(sorted({result.gradient for result in self.results}, key=GRADIENTS.index))

    @property
    def entries(self) -> int:
        """Entries of all the gradients, each counted once however many implementations there are."""
        return sum({result.gradient: result.entries for result in self.results}.values())

    @property
    def entries_checked(self) -> int:
        """How many of `entries` were compared one by one."""
        return sum({result.gradient: result.entries_checked for result in self.results}.values())

    @property
    def has_numbers(self) -> bool:
        """Whether a comparison was made, so that errors mean something."""
        return self.status in ("passed", "failed")

    @property
    def errors(self) -> dict[str, float]:
        """Largest absolute error of each implementation."""
        errors: dict[str, float] = {}
        for result in self.results:
            largest = errors.get(result.implementation, result.max_abs_error)
            errors[result.implementation] = max(largest, result.max_abs_error)
        return errors

    @property
    def relative_error(self) -> float:
        """Largest relative error."""
        return max(result.max_rel_error for result in self.results)

    @property
    def allowed(self) -> float:
        """Smallest allowed error."""
        return min(result.allowed_error for result in self.results)


def rows_of(results: Sequence[GradientResult], *, merge_gradients: bool = False) -> list[Row]:
    """Gather results into rows.

    Implementations share a row when they agree on the status and one allowed error explains all their verdicts; a
    failed result always has a row of its own.

    Parameters
    ----------
    results : sequence of GradientResult
        Of one layer.
    merge_gradients : bool, default False
        Whether gradients may share a row as well.
    """
    return _split(results, [_by_check, _by_gradient] if merge_gradients else [_by_gradient])


def _split(results: Sequence[GradientResult], keys: Sequence[_Key]) -> list[Row]:
    if not keys:
        return [Row((result,)) for result in results]
    key, *finer = keys
    rows = []
    for _, members in groupby(sorted(results, key=key), key):
        group = tuple(members)
        rows += [Row(group)] if _fit_in_one_row(group) else _split(group, finer)
    return rows


def _by_check(result: GradientResult) -> tuple[int, ...]:
    return CHECKS.index(result.check), STATUSES.index(result.status)


def _by_gradient(result: GradientResult) -> tuple[int, ...]:
    return GRADIENTS.index(result.gradient), *_by_check(result)


def _fit_in_one_row(group: Sequence[GradientResult]) -> bool:
    status = group[0].status
    if status == "failed":
        return len(group) == 1
    sizes = {(result.gradient, result.entries, result.entries_checked) for result in group}
    if len(sizes) > len({result.gradient for result in group}):
        return False
    largest = max(result.max_abs_error for result in group)
    return status != "passed" or largest <= min(result.allowed_error for result in group)
