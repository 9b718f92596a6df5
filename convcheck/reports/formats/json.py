"""The report as JSON: the versioned envelope that scripts read."""

from __future__ import annotations

import json

from convcheck.reports.results import ReportData


def render(report: ReportData, *, width: int | None = None, color: bool = False) -> str:
    """Write a report as indented JSON; ``width`` and ``color`` change nothing.

    The text is strict JSON: NaN and infinity, which JSON lacks, are null.
    """
    return json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n"
