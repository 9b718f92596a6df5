"""The report as HTML, for notebooks."""

from __future__ import annotations

from html import escape

from convcheck.reports.cases import NO_LAYER, bad_cases
from convcheck.reports.formats.columns import entries_text
from convcheck.reports.formats.rows import Row, rows_of
from convcheck.reports.results import LayerReport, ReportData
from convcheck.wording import GRADIENT_SYMBOLS, VERDICTS, compact, compact_against, counted, visible

#: With more layers than these, those that passed are folded up.
_MANY_LAYERS = 8

_HEADS = ("layer", "gradients", "check", "entries", "error", "relative", "allowed", "verdict")


def html_report(report: ReportData) -> str:
    """Return the verdict, what is wrong, and a table of all layers; colours and fonts are the notebook's."""
    if not report.layers:
        return f"<p><b>FAILED</b> {NO_LAYER}</p>"
    total = f"{counted(len(report.layers), 'layer')} of {_text(report.config)}"
    failed = sum(not layer.passed for layer in report.layers)
    parts = [f"<p><b>PASSED</b> {total}</p>" if report.passed else f"<p><b>FAILED</b> {failed:,} of {total}</p>"]
    parts += [f"<pre>{_text(case.brief)}</pre>" for case in bad_cases(report)]
    table = _table(report)
    if len(report.layers) > _MANY_LAYERS:
        table = f"<details><summary>all {counted(len(report.layers), 'layer')}</summary>{table}</details>"
    return "\n".join([*parts, table])


def _table(report: ReportData) -> str:
    heads = "".join(f"<th>{head}</th>" for head in _HEADS)
    rows = "\n".join(row for layer in report.layers for row in _rows(layer))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table>"


def _rows(layer: LayerReport) -> list[str]:
    rows = rows_of(layer.results, merge_gradients=layer.passed)
    names = [_text(layer.layer.name), *[""] * len(rows)]
    return [_row(name, row) for name, row in zip(names, rows, strict=False)]


def _row(name: str, row: Row) -> str:
    gradients = " ".join(GRADIENT_SYMBOLS[gradient] for gradient in row.gradients)
    numbers = ["–"] * 3
    if row.has_numbers:
        [error], allowed = compact_against([max(row.errors.values())], row.allowed)
        numbers = [error, compact(row.relative_error), allowed]
    cells = [name, gradients, row.check, entries_text(row), *numbers, VERDICTS[row.status]]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _text(text: str) -> str:
    return escape(visible(text))
