"""The report as a table for people: every layer, then what failed and how to see it again, then the totals."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from convcheck.layer.words import backward_geometry, forward_geometry
from convcheck.reports.details import failure_lines
from convcheck.reports.formats.columns import INDENT, Columns, columns_for, entries_text
from convcheck.reports.formats.rows import Row, rows_of
from convcheck.reports.results import LayerReport, Power, ReportData
from convcheck.reports.summary import Failure, Finding, Totals, failures_of, findings_of, totals_of
from convcheck.wording import (
    GRADIENT_NAMES,
    GRADIENT_SYMBOLS,
    VERDICTS,
    at_most,
    compact,
    compact_against,
    counted,
    duration,
    exact,
    visible,
)

_DEFAULT_WIDTH = 80

#: Below this, words would stand one per line.
_LEAST_WIDTH = 40

#: With more layers than these, those that passed are shown in few lines.
_MANY_LAYERS = 8

#: So many layers are named where something holds for more of them.
_NAMED_LAYERS = 4

_LEGEND = "Errors are the largest |analytic - numeric| of each array; 0 is exact equality."

_STYLES = {
    "PASS": "bold green",
    "FAIL": "bold red",
    "ERROR": "bold red",
    "INCONCLUSIVE": "bold yellow",
    "SKIP": "yellow",
    "BLIND": "yellow",
    "PASSED": "bold green",
    "FAILED": "bold red",
}


def render(report: ReportData, *, width: int | None = None, color: bool = False) -> str:
    """Write a report as a table.

    Parameters
    ----------
    report : ReportData
    width : int, optional
        Columns to lay out for, 80 by default. Where the table does not fit, its rows become sentences; numbers are
        never shortened or broken.
    color : bool, default False
        Whether to add colours, as ANSI escape sequences. No colour says anything that a word does not say too.

    Returns
    -------
    str
        The text, with a line break at its end.
    """
    text = io.StringIO()
    # Everything is given, so that the result depends on the arguments alone and not on the environment.
    console = Console(
        file=text, width=max(width or _DEFAULT_WIDTH, _LEAST_WIDTH), height=25, force_terminal=color,
        force_jupyter=False, legacy_windows=False, color_system="standard" if color else None, no_color=not color,
        markup=False, emoji=False, highlight=False,
    )  # fmt: skip
    _print_layers(console, report)
    for failure in failures_of(report):
        _print_failure(console, failure)
    for finding in findings_of(report):
        _print_finding(console, finding)
    _print_blind_spots(console, report)
    _print_totals(console, totals_of(report), report)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _print_layers(console: Console, report: ReportData) -> None:
    many = len(report.layers) > _MANY_LAYERS
    blocks = [(layer, many and layer.passed) for layer in report.layers]
    rows = [rows_of(layer.results, merge_gradients=brief) for layer, brief in blocks]
    columns = columns_for([row for block in rows for row in block], console.width)
    if report.layers:
        console.print(Text(_LEGEND, "dim"))
    after_brief = False
    for (layer, brief), block in zip(blocks, rows, strict=True):
        # Layers of a few lines each stand close together, under the column heads of the first.
        close = brief and after_brief
        if not close:
            console.print()
        _print_heading(console, layer, brief=brief)
        _print_rows(console, columns, block, heads=not close)
        after_brief = brief
    console.print()


def _print_heading(console: Console, report: LayerReport, *, brief: bool) -> None:
    verdict = VERDICTS["passed" if report.passed else "failed"]
    name = visible(report.layer.name)
    forward, backward = [name, *forward_geometry(report.layer)], backward_geometry(report.layer)
    paragraphs = [[*forward, *backward]] if brief else [forward, backward]
    lines = [line for phrases in paragraphs for line in _joined(phrases, console.width - len(verdict) - 2)]
    text = Text("\n".join(lines))
    text.stylize("bold", 0, len(name))
    _print_labelled(console, [(Text(verdict, _STYLES[verdict]), text)], label_width=len(verdict))


def _joined(phrases: Sequence[str], width: int) -> list[str]:
    """Return lines of phrases with dots between them; a phrase is broken only where it is longer than a line."""
    lines = [phrases[0]]
    for phrase in phrases[1:]:
        longer = f"{lines[-1]} · {phrase}"
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(phrase)
    return lines


def _print_rows(console: Console, columns: Columns, rows: Sequence[Row], *, heads: bool) -> None:
    if not columns.fit:
        sentences = ((Text(VERDICTS[row.status], _STYLES[VERDICTS[row.status]]), Text(_sentence(row))) for row in rows)
        _print_labelled(console, sentences, indent=INDENT)
        return
    table = Table(box=None, show_header=heads, header_style="dim", pad_edge=False, padding=(0, columns.gap, 0, 0))
    for head, width, numeric in zip(columns.heads, columns.widths, columns.numeric, strict=True):
        table.add_column(Text(head), width=width, justify="right" if numeric else "left", overflow="fold")
    previous = ""
    for row in rows:
        gradient, *cells, verdict = columns.cells(row)
        shown = "" if gradient == previous else gradient
        previous = gradient
        table.add_row(Text(shown), *map(Text, cells), Text(verdict, _STYLES[verdict]))
    console.print(Padding(table, (0, 0, 0, INDENT)))


def _sentence(row: Row) -> str:
    names = ", ".join((GRADIENT_NAMES if len(row.gradients) == 1 else GRADIENT_SYMBOLS)[g] for g in row.gradients)
    start = f"{names}, {row.check}: {entries_text(row)} entries"
    if not row.has_numbers:
        return f"{start}, {', '.join(map(visible, row.errors))}"
    shown, allowed = compact_against(list(row.errors.values()), row.allowed)
    errors = ", ".join(f"{visible(name)} {error}" for name, error in zip(row.errors, shown, strict=True))
    return f"{start}; error {errors}; relative {compact(row.relative_error)}; allowed {allowed}"


def _print_failure(console: Console, failure: Failure) -> None:
    result = failure.result
    names = [failure.layer.layer.name, GRADIENT_NAMES[result.gradient], result.check, result.implementation]
    _print_title(console, result.status, names)
    _print_details(console, failure_lines(failure.layer, result), failure.command)


def _print_finding(console: Console, finding: Finding) -> None:
    names = [visible(name) for name in finding.layers[:_NAMED_LAYERS]]
    unnamed = len(finding.layers) - len(names)
    layers = ", ".join(names) + (f" and {counted(unnamed, 'more layer')}" if unnamed else "")
    gradients = ", ".join(GRADIENT_NAMES[gradient] for gradient in finding.gradients)
    lists = [layers, gradients, ", ".join(finding.checks), ", ".join(finding.implementations)]
    _print_title(console, finding.status, [text for text in lists if text])
    _print_details(console, [("reason", finding.reason)], finding.command)


def _print_title(console: Console, status: str, phrases: Sequence[str]) -> None:
    verdict = VERDICTS[status]
    lines = _joined([visible(phrase) for phrase in phrases], console.width - len(verdict) - 2)
    _print_labelled(
        console, [(Text(verdict, _STYLES[verdict]), Text("\n".join(lines), "bold"))], label_width=len(verdict)
    )


def _print_details(console: Console, lines: Sequence[tuple[str, str]], command: str | None) -> None:
    labelled = [(Text(label, "dim"), Text(visible(text))) for label, text in lines]
    _print_labelled(console, labelled, indent=INDENT, label_width=len("diagnosis"))
    if command is not None:
        # On one line, however long, so that it can be copied.
        console.print(Text.assemble(" " * INDENT, ("reproduce", "dim"), "  ", visible(command)), soft_wrap=True)
    console.print()


def _print_labelled(
    console: Console, lines: Iterable[tuple[Text, Text]], *, indent: int = 0, label_width: int | None = None
) -> None:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=label_width, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in lines:
        grid.add_row(label, text)
    console.print(Padding(grid, (0, 0, 0, indent)))


def _print_blind_spots(console: Console, report: ReportData) -> None:
    """Print the mistakes that go unseen, under the layer that would show them."""
    layers = dict.fromkeys((spot.change, spot.layer) for spot in report.blind_spots)
    for change, layer in layers:
        verdict = "FAILED" if report.strict else "BLIND"
        _print_labelled(console, [(Text(verdict, _STYLES[verdict]), Text(f"the suite lacks {change}", "bold"))])
        spots = [spot for spot in report.blind_spots if (spot.change, spot.layer) == (change, layer)]
        lines = [("unseen", f"{spot.name} ({', '.join(spot.forms)})") for spot in spots]
        _print_labelled(console, [(Text(label, "dim"), Text(text)) for label, text in lines], indent=INDENT)
        # On one line, however long, so that it can be copied.
        console.print(Text.assemble(" " * INDENT, ("add", "dim"), f"     - {layer}"), soft_wrap=True)
        console.print()


def _print_totals(console: Console, totals: Totals, report: ReportData) -> None:
    verdict = "PASSED" if totals.passed else "FAILED"
    if not totals.layers:
        outcome = "no layer was verified"
    elif totals.passed:
        outcome = f"{counted(totals.layers, 'layer')} of {visible(report.config)}"
    elif totals.layers == totals.layers_passed and report.unchecked:
        outcome = f"{counted(totals.layers, 'layer')} of {visible(report.config)} passed; the run was interrupted"
    elif totals.layers == totals.layers_passed:
        spots = counted(len({spot.name for spot in report.blind_spots}), "mistake")
        outcome = f"{counted(totals.layers, 'layer')} of {visible(report.config)} passed, but cannot show {spots}"
    else:
        failed = totals.layers - totals.layers_passed
        outcome = f"{failed:,} of {counted(totals.layers, 'layer')} of {visible(report.config)}"
    console.print(Text.assemble((verdict, _STYLES[verdict]), "  ", (outcome, "bold")), overflow="fold")
    labelled = [(Text(label, "dim"), Text(text)) for label, text in _total_lines(totals, report)]
    _print_labelled(console, labelled, indent=INDENT)


def _power(power: Power) -> str:
    compared = counted(power.entries_compared_exactly, "entry", "entries")
    chance = "none" if not power.false_pass_probability else f"at most {at_most(power.false_pass_probability)}"
    known = f"{power.mistakes_shown} of {counted(power.mistakes, 'known mistake')} would have shown in every form"
    return f"{known}; {compared} compared exactly; chance that a wrong gradient passed: {chance}"


def _total_lines(totals: Totals, report: ReportData) -> list[tuple[str, str]]:
    statuses = ", ".join(f"{number:,} {status}" for status, number in totals.gradients.items())
    lines = [("gradients", statuses or "none")]
    if report.unchecked:
        names = [visible(name) for name in report.unchecked[:_NAMED_LAYERS]]
        more = len(report.unchecked) - len(names)
        named = ", ".join(names) + (f" and {counted(more, 'more layer')}" if more else "")
        lines.append(("not checked", f"{counted(len(report.unchecked), 'layer')}: {named}"))
    compared = []
    if totals.compared_exactly:
        compared.append(f"{counted(totals.compared_exactly, 'entry', 'entries')} exactly")
    if totals.compared_within_bound:
        compared.append(f"{counted(totals.compared_within_bound, 'entry', 'entries')} within the rounding bound")
    if compared:
        lines.append(("compared", ", ".join(compared)))
    if totals.projected_gradients:
        gradients = f"{counted(totals.projected_gradients, 'gradient')} of {totals.projected_entries:,} entries"
        odds = at_most(totals.false_pass_probability)
        lines.append(("projected", f"{gradients}; a wrong one passes with probability at most {odds}"))
    if report.power is not None:
        lines.append(("ruled out", _power(report.power)))
    if report.target is not None:
        lines.append(("target", visible(report.target)))
    if report.max_error is not None:
        lines.append(("gate", f"relative error at most {exact(report.max_error)}"))
    lines.append(("evaluations", f"{totals.evaluations:,} of the forward pass"))
    return [*lines, ("time", duration(totals.elapsed_seconds))]
