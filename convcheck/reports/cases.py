"""A report as cases, one per layer and gradient: the unit that test reports count."""

from __future__ import annotations

from dataclasses import dataclass

from convcheck.reports.blocks import blocks_of, told
from convcheck.reports.details import MOST_LEGIBLE_FIRST, finding, summary
from convcheck.reports.results import GRADIENTS, GradientResult, LayerReport, ReportData
from convcheck.reports.summary import GRAVEST_FIRST, NOTHING_CHECKED, outcome
from convcheck.wording import GRADIENT_NAMES, counted, visible

#: With more findings than these, the others are counted in `compact_report`.
_MOST = 5


@dataclass(frozen=True)
class Case:
    """All that was found about one gradient of one layer.

    Attributes
    ----------
    gradient : str or None
        None for a layer without any gradient that was checked, which has failed without a result that says so.
    results : tuple of GradientResult
        Of all implementations and all kinds of check, in the order of the report.
    """

    report: ReportData
    layer: LayerReport
    gradient: str | None
    results: tuple[GradientResult, ...]

    @property
    def status(self) -> str:
        """The gravest status of the results."""
        return min((result.status for result in self.results), key=GRAVEST_FIRST.index, default="failed")

    @property
    def name(self) -> str:
        """What is checked: ``input dL/dX``."""
        return "gradients" if self.gradient is None else GRADIENT_NAMES[self.gradient]

    @property
    def bad(self) -> tuple[GradientResult, ...]:
        """The results because of which the case has not passed."""
        return tuple(result for result in self.results if not result.acceptable)

    @property
    def chief(self) -> GradientResult | None:
        """The result that says most: of the gravest ones the one on the most legible numbers; None without any."""

        def order(result: GradientResult) -> tuple[int, int]:
            return GRAVEST_FIRST.index(result.status), MOST_LEGIBLE_FIRST.index(result.check)

        return min(self.results, key=order, default=None)

    @property
    def summary(self) -> str:
        """The case's outcome in one sentence, with the diagnosis where there is one."""
        return NOTHING_CHECKED if self.chief is None else summary(self.chief)

    @property
    def text(self) -> str:
        """All about the results because of which the case has not passed, line by line."""
        bad = [result for result in told(self.layer) if result in self.bad]
        return "\n\n".join(str(finding(self.report, self.layer, result)) for result in bad) or NOTHING_CHECKED


def cases_of(report: ReportData) -> list[Case]:
    """Return a report's cases, in its order; every layer that has not passed has at least one that has not."""
    cases = []
    for layer in report.layers:
        found = [
            Case(report, layer, gradient, results)
            for gradient in GRADIENTS
            if (results := tuple(result for result in layer.results if result.gradient == gradient))
        ]
        if not layer.passed and not any(case.bad for case in found):
            found.append(Case(report, layer, None, ()))
        cases += found
    return cases


def compact_report(report: ReportData) -> str:
    """Return a report that has not passed in few lines, for places that have a frame of their own."""
    bad = [block for block in blocks_of(report) if block.bad]
    parts = [f"{outcome(report)}{' failed' if bad else ''}", *([report.common] if report.common else [])]
    parts += [visible(str(block.finding)) for block in bad[:_MOST]]
    if len(bad) > _MOST:
        parts.append(f"and {counted(len(bad) - _MOST, 'more finding')}")
    return "\n\n".join(parts)
