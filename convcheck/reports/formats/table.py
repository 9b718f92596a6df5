"""The report as a table for people: every layer, then what failed and how to see it again, then the totals."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from convcheck.layer.words import backward_geometry, forward_geometry
from convcheck.reports.blocks import blocks_of, told
from convcheck.reports.results import LayerReport, ReportData
from convcheck.reports.rows import Row, rows_of
from convcheck.reports.summary import outcome, totals
from convcheck.wording import GRADIENT_NAMES, GRADIENT_SYMBOLS, VERDICTS, laid_out, visible

ENDINGS = (".txt",)

#: It is laid out for a screen.
SCREEN = True

_DEFAULT_WIDTH = 80

#: Below this, words would stand one per line.
_LEAST_WIDTH = 40

#: With more layers than these, those that passed are shown in few lines.
_MANY_LAYERS = 8

#: With more failed layers than these, those that fail like another are shown in few lines.
_MANY_FAILED = 4

#: Spaces in front of every row.
_INDENT = 2

#: Columns for an implementation's name, which can be a long path: as many as a number such as 1.2e-15 takes, and no
#: more than these for the name alone.
_NAME_WIDTHS = (7, 16)

_LEGEND = "Errors are the largest |analytic - numeric| of each array; 0 is exact equality."

_BRIEF_LEGEND = "Of layers that fail like another, only what fails is shown."

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


def render(report: ReportData, *, width: int | None = None, color: bool = False, quiet: bool = False) -> str:
    """Write a report as a table.

    Parameters
    ----------
    width : int, optional
        Columns to lay out for, 80 by default. Where the table does not fit, its rows become sentences; numbers are
        never shortened or broken.
    color : bool, default False
        Whether to add colours, as ANSI escape sequences. No colour says anything that a word does not say too.
    quiet : bool, default False
        Whether to leave out the table and the totals: a report that passed is its verdict, any other one that and what
        was found.

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
    verdict_alone = quiet and report.passed
    blocks = [] if verdict_alone else blocks_of(report)
    if not quiet:
        _print_layers(console, report, {id(block.telling[0]) for block in blocks if block.telling})
    for finding in (block.finding for block in blocks):
        _print_title(console, VERDICTS[finding.status], [name for name in finding.names if name])
        _print_labelled(console, finding.details, label_width=len("diagnosis"))
        if finding.traceback is not None:
            console.print(Text(" " * _INDENT + "traceback", "dim"))
            for line in finding.traceback.splitlines():
                # Neither folded nor squeezed: its lines stay what an editor can jump to.
                console.print(Text(" " * 2 * _INDENT + visible(line)), soft_wrap=True)
        for label, command in finding.commands:
            _print_line(console, f"{label:<9}", command)
        console.print()
    # The mistakes that go unseen stand under the layer that would show them.
    blind_spots = () if verdict_alone else report.blind_spots
    for change, layer in dict.fromkeys((spot.change, spot.layer) for spot in blind_spots):
        _print_title(console, "FAILED" if report.strict else "BLIND", [f"the suite lacks {change}"])
        spots = [spot for spot in report.blind_spots if (spot.change, spot.layer) == (change, layer)]
        _print_labelled(console, [("unseen", f"{spot.name} ({', '.join(spot.forms)})") for spot in spots])
        if layer:
            _print_line(console, "add", f"   - {layer}")
        console.print()
    verdict = "PASSED" if report.passed else "FAILED"
    said = outcome(report)
    if quiet and report.checked != report.target:
        said += f" (checked: {visible(report.checked)})"
    last = Text.assemble((verdict, _STYLES[verdict]), "  ", (said, "bold"))
    console.print(last, overflow="ignore" if quiet else "fold", soft_wrap=quiet)
    if not quiet:
        _print_labelled(console, totals(report))
    return laid_out("\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n")


def _print_layers(console: Console, report: ReportData, telling: Collection[int]) -> None:
    """Print all layers, those whose ``id`` is among the telling ones at length."""
    many = len(report.layers) > _MANY_LAYERS
    many_failed = sum(not layer.passed for layer in report.layers) > _MANY_FAILED
    briefly = [
        many if layer.passed else many_failed and id(layer) not in telling and bool(told(layer))
        for layer in report.layers
    ]
    blocks = [
        rows_of(layer.results if layer.passed or not brief else told(layer), merge_gradients=brief)
        for layer, brief in zip(report.layers, briefly, strict=True)
    ]
    names = list(dict.fromkeys(name for rows in blocks for row in rows for name in row.errors))
    heads, widths, gap = _columns(names, [row for rows in blocks for row in rows], console.width)
    if report.layers:
        console.print(Text(_LEGEND, "dim"))
    if any(brief and not layer.passed for layer, brief in zip(report.layers, briefly, strict=True)):
        console.print(Text(_BRIEF_LEGEND, "dim"))
    close = False
    for layer, rows, brief in zip(report.layers, blocks, briefly, strict=True):
        # Layers of a few lines each stand close together, under the column heads of the first.
        close = close and brief
        if not close:
            console.print()
        _print_heading(console, layer, brief=brief)
        if not gap:
            _print_labelled(console, [(Text(row.verdict, _STYLES[row.verdict]), _sentence(row)) for row in rows])
        else:
            table = Table(box=None, show_header=not close, header_style="dim", pad_edge=False, padding=(0, gap, 0, 0))
            for number, (head, width) in enumerate(zip(heads, widths, strict=True)):
                words = number < 2 or number == len(heads) - 1
                table.add_column(Text(head), width=width, justify="left" if words else "right", overflow="fold")
            previous = ""
            for row in rows:
                gradient, *cells = _cells(row, names)
                shown = ["" if gradient == previous else gradient, *cells]
                table.add_row(*map(Text, shown), Text(row.verdict, _STYLES[row.verdict]))
                previous = gradient
            console.print(Padding(table, (0, 0, 0, _INDENT)))
        close = brief
    console.print()


def _columns(names: Sequence[str], rows: Sequence[Row], width: int) -> tuple[list[str], list[int], int]:
    """Return heads and widths of columns that hold all rows, and the gap between them; it is 0 if they do not fit."""
    errors = [visible(name) for name in names] if len(names) > 1 else ["error"]
    heads = ["gradient", "check", "entries", *errors, "relative", "allowed", ""]
    columns = list(zip(heads, *([*_cells(row, names), row.verdict] for row in rows), strict=True))
    widths = [max(map(cell_len, texts)) for texts in columns]
    # A name is broken where it has to be, then entries and gradients between words; a number never is.
    least = {n: max(cell_len(word) for text in columns[n] for word in text.split()) for n in (0, 2)}
    for n in range(3, 3 + len(errors)):
        head, numbers = cell_len(heads[n]), max(map(cell_len, columns[n][1:]), default=0)
        narrow, wide = _NAME_WIDTHS
        widths[n], least[n] = max(numbers, min(head, wide)), max(numbers, min(head, narrow))
    spare = width - _INDENT - sum(widths) - 2 * (len(widths) - 1)
    gap = 2 if spare >= 0 else 1
    spare += (2 - gap) * (len(widths) - 1)
    for n in sorted(least, reverse=True):
        less = max(0, min(-spare, widths[n] - least[n]))
        widths[n] -= less
        spare += less
    # A line of a broken head ends behind punctuation where that is possible.
    lines = [rf".{{1,{size}}}$|.{{1,{size}}}(?<=[_./:])|.{{1,{size}}}" for size in (max(w, 1) for w in widths)]
    heads = ["\n".join(re.findall(line, head)) for line, head in zip(lines, heads, strict=True)]
    return heads, widths, gap if spare >= 0 else 0


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    """Return what stands in each column but the last, the verdict."""
    errors = [row.errors.get(name, "") for name in names]
    return [_gradients(row, " "), row.check, row.entries, *errors, row.relative, row.allowed]


def _gradients(row: Row, between: str) -> str:
    names = GRADIENT_NAMES if len(row.gradients) == 1 else GRADIENT_SYMBOLS
    return between.join(names[gradient] for gradient in row.gradients)


def _sentence(row: Row) -> str:
    start = f"{_gradients(row, ', ')}, {row.check}: {row.entries} entries"
    if row.allowed == "–":
        return f"{start}, {', '.join(row.errors)}"
    errors = ", ".join(f"{name} {error}" for name, error in row.errors.items())
    return f"{start}; error {errors}; relative {row.relative}; allowed {row.allowed}"


def _print_heading(console: Console, report: LayerReport, *, brief: bool) -> None:
    verdict = VERDICTS["passed" if report.passed else "failed"]
    name, width = visible(report.name), console.width - len(verdict) - 2
    forward, backward = [name, *forward_geometry(report.layer)], backward_geometry(report.layer)
    if brief:
        lines = _joined([*forward, *backward] if report.passed else forward, width)
    else:
        lines = [*_joined(forward, width), *_joined(backward, width)]
    text = Text("\n".join(lines))
    text.stylize("bold", 0, len(name))
    _print_labelled(console, [(Text(verdict, _STYLES[verdict]), text)], indent=0, label_width=len(verdict))


def _print_title(console: Console, verdict: str, phrases: Sequence[str]) -> None:
    lines = _joined([visible(phrase) for phrase in phrases], console.width - len(verdict) - 2)
    title = Text(verdict, _STYLES[verdict]), Text("\n".join(lines), "bold")
    _print_labelled(console, [title], indent=0, label_width=len(verdict))


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


def _print_labelled(
    console: Console, lines: Iterable[tuple[str | Text, str | Text]], *, indent: int = _INDENT,
    label_width: int | None = None,
) -> None:  # fmt: skip
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=label_width, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in lines:
        grid.add_row(
            Text(label, "dim") if isinstance(label, str) else label,
            Text(visible(text)) if isinstance(text, str) else text,
        )
    console.print(Padding(grid, (0, 0, 0, indent)))


def _print_line(console: Console, label: str, text: str) -> None:
    # On one line, however long, so that it can be copied.
    console.print(Text.assemble(" " * _INDENT, (label, "dim"), "  ", visible(text)), soft_wrap=True)
