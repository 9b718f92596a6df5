"""The report as Markdown, for the summary of a CI job or a comment on a change."""

from __future__ import annotations

import re

from convcheck.layer.words import forward_geometry
from convcheck.reports.blocks import Block, blocks_of
from convcheck.reports.details import summary
from convcheck.reports.results import ReportData
from convcheck.reports.summary import NAMED, NOTHING_CHECKED, outcome, totals
from convcheck.wording import GRADIENT_NAMES, VERDICTS, counted, visible

ENDINGS = (".md",)

#: A job's summary may have 1 MiB; so many findings with a traceback each stay far below.
_MOST_BLOCKS = 20

#: Lists of layers beyond this length are folded up.
_MANY_LAYERS = 10


def render(report: ReportData) -> str:
    """Write a report as GitHub-flavoured Markdown."""
    verdict = "✅ convcheck PASSED" if report.passed else "❌ convcheck FAILED"
    facts = [f"- {label}: {_code(text) if label == 'target' else _escaped(text)}" for label, text in totals(report)]
    blocks = [f"## {verdict}: {_escaped(outcome(report))}", "\n".join(facts)]
    bad = [block for block in blocks_of(report) if block.bad]
    if bad:
        rows = ["| layer | gradient | verdict | what is wrong |", "|---|---|---|---|", *map(_row, bad)]
        blocks.append("\n".join(rows))
    blocks += [_details(block) for block in bad[:_MOST_BLOCKS]]
    if len(bad) > _MOST_BLOCKS:
        blocks.append(f"{counted(len(bad) - _MOST_BLOCKS, 'more finding')} without details here.")
    passed = [_code(layer.name) for layer in report.layers if layer.passed]
    if passed:
        title = f"{counted(len(passed), 'layer')} passed"
        names = ", ".join(passed)
        blocks.append(_folded(title, names) if len(passed) > _MANY_LAYERS else f"{title}: {names}")
    return "\n\n".join(blocks) + "\n"


def _row(block: Block) -> str:
    layers = ", ".join(_code(layer.name) for layer in block.layers[:NAMED])
    if len(block.layers) > NAMED:
        layers += f" and {counted(len(block.layers) - NAMED, 'more layer')}"
    gradients, wrong = "gradients", NOTHING_CHECKED
    if block.telling is not None:
        layer, result = block.telling
        found = {result.gradient for _, result in block.places}
        gradients = ", ".join(name for gradient, name in GRADIENT_NAMES.items() if gradient in found)
        wrong = _escaped(summary(result))
        if len(block.places) > 1:
            wrong = f"on {_code(layer.name)}: {wrong}"
    return f"| {layers} | {gradients} | {VERDICTS[block.finding.status]} | {wrong} |"


def _details(block: Block) -> str:
    finding = block.finding
    layer = block.telling[0] if block.telling else block.layers[0]
    geometry = " · ".join(forward_geometry(layer.layer))
    text = visible(str(finding))
    # A block of code, whatever is in it.
    fence = _ticks(text, least=3)
    title = ": ".join(_escaped(name) for name in finding.names[:2])
    return _folded(title, f"{geometry}\n\n{fence}text\n{text}\n{fence}")


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
