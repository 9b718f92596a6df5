"""A layer's results as the rows of a table: the fewest that tell no less than the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from convcheck.reports.results import CHECKS, GRADIENTS, STATUSES, GradientResult
from convcheck.wording import VERDICTS, compact, compact_against


@dataclass(frozen=True)
class Row:
    """One kind of check of one gradient, or of several, as a line shows it; the numbers are those of all of them.

    Attributes
    ----------
    entries : str
        How many entries the gradients have, and how many of them were compared one by one: ``162``, ``0 of 1,605,632``.
    errors : dict of str
        Target -> its largest error; a dash where none was found out.
    relative, allowed : str
        The largest relative error, and the smallest allowed error; a dash where none was found out.
    verdict : str
        It holds for all implementations, and follows from the digits shown.
    """

    gradients: tuple[str, ...]
    check: str
    entries: str
    errors: dict[str, str]
    relative: str
    allowed: str
    verdict: str


def rows_of(results: Sequence[GradientResult], *, merge_gradients: bool = False) -> list[Row]:
    """Gather the results of a layer into rows.

    Implementations share a row when they agree on the status and one allowed error explains all their verdicts; a
    failed result always has a row of its own. So do gradients, if asked for.
    """

    def order(result: GradientResult) -> tuple[int, ...]:
        gradient = 0 if merge_gradients else GRADIENTS.index(result.gradient)
        # Real numbers have bounds of their own, and so a row.
        return gradient, CHECKS.index(result.check), STATUSES.index(result.status), result.condition != "real"

    rows = []
    for _, members in groupby(sorted(results, key=order), order):
        group = list(members)
        sizes = {(result.gradient, result.entries, result.entries_checked) for result in group}
        explained = max(r.max_abs_error for r in group) <= min(r.allowed_error for r in group)
        # Under a condition the layer may be another, of a single sample.
        together = group[0].check == "conditions" or len(sizes) == len({result.gradient for result in group})
        together &= {"passed": explained, "failed": len(group) == 1}.get(group[0].status, True)
        if together:
            rows.append(_row(group))
        elif merge_gradients:
            rows += rows_of(group)
        else:
            rows += [_row([result]) for result in group]
    return rows


def _row(results: Sequence[GradientResult]) -> Row:
    first = results[0]
    by_size = sorted(results, key=lambda r: (GRADIENTS.index(r.gradient), r.entries))
    by_gradient = {result.gradient: result for result in by_size}
    entries, checked = (sum(getattr(r, key) for r in by_gradient.values()) for key in ("entries", "entries_checked"))
    errors = {
        name: max(r.max_abs_error for r in results if r.implementation == name)
        for name in dict.fromkeys(result.implementation for result in results)
    }
    shown, allowed = compact_against(list(errors.values()), min(result.allowed_error for result in results))
    relative = compact(max(result.max_rel_error for result in results))
    if first.status not in ("passed", "failed"):
        shown, allowed, relative = ["–"] * len(errors), "–", "–"
    return Row(
        tuple(by_gradient),
        first.kind if len({result.kind for result in results}) == 1 else first.check,
        f"{entries:,}" if entries == checked else f"{checked:,} of {entries:,}",
        dict(zip(errors, shown, strict=True)),
        relative,
        allowed,
        VERDICTS[first.status],
    )
