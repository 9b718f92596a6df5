"""The report in few lines, for places that have a frame of their own, such as a test's failure."""

from __future__ import annotations

from convcheck.reports.cases import NO_LAYER, bad_cases
from convcheck.reports.results import ReportData
from convcheck.wording import counted, visible

#: With more wrong gradients than these, the others are counted.
_MOST = 5


def compact_report(report: ReportData) -> str:
    """Return the verdict, then for each of the first gradients that have not passed what is wrong with it."""
    failed = sum(not layer.passed for layer in report.layers)
    total = f"{counted(len(report.layers), 'layer')} of {visible(report.config)}"
    if not report.layers:
        return NO_LAYER
    if report.passed:
        return f"passed: {total}"
    bad = bad_cases(report)
    blocks = [f"{failed:,} of {total} failed", *(visible(case.brief) for case in bad[:_MOST])]
    if len(bad) > _MOST:
        blocks.append(f"and {counted(len(bad) - _MOST, 'more gradient')}")
    return "\n\n".join(blocks)
