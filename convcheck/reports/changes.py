"""A comparison with a baseline as text for people."""

from __future__ import annotations

from collections.abc import Sequence

from convcheck.reports.baseline import Change, Comparison
from convcheck.wording import counted, visible

#: So many of the changes for the better, or of none, are listed; the changes for the worse all are.
_MOST = 10


def render_changes(comparison: Comparison, baseline: str) -> str:
    """Return what got worse, better and neither, with a line break at the end."""
    lines = []
    for title, changes, most in (
        ("worse", comparison.worse, len(comparison.worse)),
        ("better", comparison.better, _MOST),
        ("known", comparison.known, _MOST),
    ):
        lines += [_line(title, change) for change in changes[:most]]
        if len(changes) > most:
            lines.append(f"{title:<6}  and {len(changes) - most:,} more")
    if comparison.unverified:
        layers = counted(len(comparison.unverified), "layer")
        lines.append(f"note    {layers} of the baseline not verified: {_some(comparison.unverified)}")
    counts = f"{len(comparison.worse):,} worse, {len(comparison.better):,} better, {len(comparison.known):,} as before"
    verdict = "passed" if comparison.passed else "FAILED"
    return "\n".join([*lines, f"{verdict} against the baseline {visible(baseline)}: {counts}"]) + "\n"


def _line(title: str, change: Change) -> str:
    place = ", ".join(visible(text) for text in (change.layer, change.what) if text)
    return f"{title:<6}  {place}{': ' if place else ''}{visible(change.text)}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(visible(name) for name in names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4:,} more"
