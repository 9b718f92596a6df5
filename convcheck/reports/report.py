"""The report of a verification, as users hold it in their hands: it shows itself."""

from __future__ import annotations

from dataclasses import dataclass

from convcheck.reports.results import ReportData


@dataclass(frozen=True)
class Report(ReportData):
    """The outcome of a verification; as text it is the table, in a notebook the same as HTML.

    Its attributes are those of `ReportData`.
    """

    def __str__(self) -> str:
        from convcheck.reports.formats.table import render

        return render(self)

    def _repr_html_(self) -> str:
        from convcheck.reports.notebook import html_report

        return html_report(self)
