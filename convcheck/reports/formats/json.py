"""The report as JSON, for scripts; its schema: `convcheck schema report`."""

from __future__ import annotations

import json

from convcheck.reports.results import ReportData

ENDINGS = (".json",)


def render(report: ReportData) -> str:
    """Write a report as indented, strict JSON: NaN and infinity, which JSON lacks, are null."""
    return json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n"
