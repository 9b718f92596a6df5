"""The report as Markdown, for the summary of a CI job or a comment on a change."""

from __future__ import annotations

import re
from collections.abc import Iterable

from convcheck.layer.words import forward_geometry
from convcheck.reports.cases import NO_LAYER, Case, bad_cases
from convcheck.reports.results import LayerReport, ReportData
from convcheck.reports.summary import totals_of
from convcheck.wording import VERDICTS, at_most, counted, duration, exact, visible

#: A job's summary may have 1 MiB; so many cases with a traceback each stay far below.
_MOST_CASES = 20

#: Lists of layers beyond this length are folded up.
_MANY_LAYERS = 10


def render(report: ReportData, *, width: int | None = None, color: bool = False) -> str:
    """Write a report as GitHub-flavoured Markdown; ``width`` and ``color`` change nothing."""
    bad = bad_cases(report)
    failed = [layer for layer in report.layers if not layer.passed]
    passed = [layer for layer in report.layers if layer.passed]
    blocks = [_heading(report, len(failed)), _facts(report)]
    blocks += [_layers(failed, bad)] if failed else []
    blocks += [_details(case) for case in bad[:_MOST_CASES]]
    if len(bad) > _MOST_CASES:
        blocks.append(f"{counted(len(bad) - _MOST_CASES, 'more gradient')} did not pass.")
    if passed:
        names = ", ".join(_code(layer.layer.name) for layer in passed)
        title = f"{counted(len(passed), 'layer')} passed"
        blocks.append(_folded(title, names) if len(passed) > _MANY_LAYERS else f"{title}: {names}")
    return "\n\n".join(blocks) + "\n"


def _heading(report: ReportData, failed: int) -> str:
    if not report.layers:
        return f"## ❌ convcheck FAILED: {NO_LAYER}"
    total = f"{counted(len(report.layers), 'layer')} of {_escaped(report.config)}"
    return f"## ✅ convcheck PASSED: {total}" if report.passed else f"## ❌ convcheck FAILED: {failed:,} of {total}"


def _facts(report: ReportData) -> str:
    totals = totals_of(report)
    gradients = ", ".join(f"{number:,} {status}" for status, number in totals.gradients.items()) or "none"
    facts = [f"gradients: {gradients}"]
    if report.target is not None:
        facts.append(f"target: {_code(report.target)}")
    if report.max_error is not None:
        facts.append(f"gate: relative error at most {exact(report.max_error)}")
    if totals.projected_gradients:
        odds = at_most(totals.false_pass_probability)
        facts.append(f"{counted(totals.projected_gradients, 'gradient')} by projection: a wrong one passes with "
                     f"probability at most {odds}")  # fmt: skip
    return "\n".join(f"- {fact}" for fact in [*facts, f"time: {duration(totals.elapsed_seconds)}"])


def _layers(failed: Iterable[LayerReport], bad: Iterable[Case]) -> str:
    lines = ["| layer | gradient | verdict | what is wrong |", "|---|---|---|---|"]
    wrong = {id(layer): layer for layer in failed}
    for case in bad:
        layer = wrong[id(case.layer)].layer
        cells = [_code(layer.name), case.name, VERDICTS[case.status], _escaped(case.summary)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _details(case: Case) -> str:
    geometry = " · ".join(forward_geometry(case.layer.layer))
    title = f"{_escaped(case.layer.layer.name)}: {case.name}"
    return _folded(title, f"{geometry}\n\n{_fenced(visible(case.text))}")


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def _fenced(text: str) -> str:
    """Return a text as a block of code, whatever is in it."""
    fence = _ticks(text, least=3)
    return f"{fence}text\n{text}\n{fence}"


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
