"""The report as Markdown, for the summary of a CI job or a comment on a change."""

from __future__ import annotations

import re

from convcheck.layer.words import forward_geometry
from convcheck.reports.cases import Case, bad_cases
from convcheck.reports.results import ReportData
from convcheck.reports.summary import outcome, totals
from convcheck.wording import VERDICTS, counted, visible

ENDINGS = (".md",)

#: A job's summary may have 1 MiB; so many cases with a traceback each stay far below.
_MOST_CASES = 20

#: Lists of layers beyond this length are folded up.
_MANY_LAYERS = 10


def render(report: ReportData) -> str:
    """Write a report as GitHub-flavoured Markdown."""
    verdict = "✅ convcheck PASSED" if report.passed else "❌ convcheck FAILED"
    facts = [f"- {label}: {_code(text) if label == 'target' else _escaped(text)}" for label, text in totals(report)]
    blocks = [f"## {verdict}: {_escaped(outcome(report))}", "\n".join(facts)]
    bad = bad_cases(report)
    if bad:
        rows = ["| layer | gradient | verdict | what is wrong |", "|---|---|---|---|"]
        for case in bad:
            cells = [_code(case.layer.name), case.name, VERDICTS[case.status], _escaped(case.summary)]
            rows.append(f"| {' | '.join(cells)} |")
        blocks.append("\n".join(rows))
    blocks += [_details(case) for case in bad[:_MOST_CASES]]
    if len(bad) > _MOST_CASES:
        blocks.append(f"{counted(len(bad) - _MOST_CASES, 'more gradient')} did not pass.")
    passed = [_code(layer.name) for layer in report.layers if layer.passed]
    if passed:
        title = f"{counted(len(passed), 'layer')} passed"
        names = ", ".join(passed)
        blocks.append(_folded(title, names) if len(passed) > _MANY_LAYERS else f"{title}: {names}")
    return "\n\n".join(blocks) + "\n"


def _details(case: Case) -> str:
    geometry = " · ".join(forward_geometry(case.layer.layer))
    text = visible(case.text)
    # A block of code, whatever is in it.
    fence = _ticks(text, least=3)
    return _folded(f"{_escaped(case.layer.name)}: {case.name}", f"{geometry}\n\n{fence}text\n{text}\n{fence}")


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _code(text: str) -> str:
    """Return a text as code within a line or a cell, whatever is in it."""
    shown = visible(text).replace("\n", " ").replace("|", "\\|")
    ticks = _ticks(shown, least=1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{ticks}{space}{shown}{space}{ticks}"


def _ticks(text: str, *, least: int) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)


def _escaped(text: str) -> str:
    """Return a text with all that Markdown or HTML would give a meaning to made harmless."""
    harmless = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", harmless)
