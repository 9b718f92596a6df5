"""What a notebook shows of a report: HTML."""

from __future__ import annotations

from html import escape

from convcheck.reports.blocks import blocks_of
from convcheck.reports.results import ReportData
from convcheck.reports.rows import rows_of
from convcheck.reports.summary import outcome
from convcheck.wording import GRADIENT_SYMBOLS, counted, visible

#: With more layers than these, those that passed are folded up.
_MANY_LAYERS = 8

_HEADS = ("layer", "gradients", "check", "entries", "error", "relative", "allowed", "verdict")


def html_report(report: ReportData) -> str:
    """Return the verdict, what is wrong, and a table of all layers; colours and fonts are the notebook's."""
    parts = [f"<p><b>{'PASSED' if report.passed else 'FAILED'}</b> {escape(outcome(report))}</p>"]
    if report.checked != report.target:
        parts.append(f"<p>checked: {escape(visible(report.checked))}</p>")
    if not report.layers:
        return "\n".join(parts)
    if report.common is not None:
        parts.append(f"<p>{escape(report.common)}</p>")
    parts += [f"<pre>{escape(visible(str(block.finding)))}</pre>" for block in blocks_of(report) if block.bad]
    lines = []
    for layer in report.layers:
        name = escape(visible(layer.name))
        for row in rows_of(layer.results, merge_gradients=layer.passed):
            gradients = " ".join(GRADIENT_SYMBOLS[gradient] for gradient in row.gradients)
            error = max(row.errors.values(), key=lambda text: -1.0 if text == "–" else float(text))
            cells = [name, gradients, row.check, row.entries, error, row.relative, row.allowed, row.verdict]
            lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
            name = ""
    heads = "".join(f"<th>{head}</th>" for head in _HEADS)
    rows = "\n".join(lines)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table>"
    if len(report.layers) > _MANY_LAYERS:
        table = f"<details><summary>all {counted(len(report.layers), 'layer')}</summary>{table}</details>"
    return "\n".join([*parts, table])
