"""The report as one HTML file: verdict, findings, a table of all checks; from the command line what failed to touch."""

from __future__ import annotations

from html import escape

from convcheck.reports.notebook import html_report
from convcheck.reports.results import ReportData
from convcheck.reports.summary import totals
from convcheck.wording import visible

ENDINGS = (".html", ".htm")

#: How the facts look, wherever they stand.
STYLE = """\
:root { color-scheme: light dark; }
.report { margin-bottom: 24px; }
.report pre {
  border: 1px solid color-mix(in srgb, currentcolor 25%, transparent); border-radius: 10px; padding: 12px 16px;
  overflow: auto; font-size: 13px; white-space: pre-wrap;
}
.report table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
.report th, .report td {
  border-bottom: 1px solid color-mix(in srgb, currentcolor 25%, transparent); padding: 4px 14px 4px 0; text-align: left;
}
.report dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 8px 0 16px; }
.report dd { margin: 0; overflow-wrap: anywhere; }
.report .wide { overflow-x: auto; }
.report summary { cursor: pointer; }
"""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1100px; padding: 16px 24px; }}
{style}</style>
</head>
<body>
<main>
{facts}
</main>
</body>
</html>
"""


def render(report: ReportData) -> str:
    """Write a report as an HTML file that needs nothing else."""
    return _PAGE.format(title=title(report), style=STYLE, facts=facts(report))


def title(report: ReportData) -> str:
    """Return the title of the file, as HTML."""
    return escape(f"convcheck {'PASSED' if report.passed else 'FAILED'}: {visible(report.config)}")


def facts(report: ReportData, note: str = "") -> str:
    """Return all that the report says, as HTML; ``note`` is said below the findings."""
    rows = "\n".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in totals(report))
    said = f'<p class="note">{escape(note)}</p>\n' if note else ""
    return (
        f'<section class="report" aria-label="The report">\n<h1>{title(report)}</h1>\n'
        f'<div class="wide" tabindex="0" role="group" aria-label="findings">{html_report(report)}</div>\n{said}'
        f"<details><summary>what was checked</summary><dl>{rows}</dl></details>\n</section>"
    )
