"""The catalogue of mistakes as text: all of them as a table, or one at length with an example."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from convcheck.layer.arrays import Array
from convcheck.layer.words import forward_geometry
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.example import Example, example_of
from convcheck.mistakes.mistake import Mistake
from convcheck.wording import compact

_LABELS = {"output": "output O", "input": "dL/dX", "weight": "dL/dW", "bias": "dL/db"}

_INDENT = 2


def render_catalogue(*, width: int = 80, color: bool = False) -> str:
    """Write all known mistakes as a table.

    Parameters
    ----------
    width : int, default 80
        Columns to lay out for.
    color : bool, default False
    """
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("code", "name"):
        table.add_column(head, no_wrap=True)
    table.add_column("what was done wrong")
    table.add_column("affects", no_wrap=True)
    for mistake in MISTAKES:
        affected = " ".join({"output": "O", "input": "dX", "weight": "dW", "bias": "db"}[g] for g in mistake.gradients)
        table.add_row(mistake.code, Text(mistake.name, "bold"), mistake.title, affected)
    hint = Text("`convcheck mistakes NAME` explains one with a small example.", "dim")
    return _printed([table, Text(), hint], width, color)


def render_mistake(mistake: Mistake, *, width: int = 80, color: bool = False) -> str:
    """Write one mistake at length, with a small example that is computed here and now.

    Parameters
    ----------
    mistake : Mistake
    width : int, default 80
        Columns to lay out for.
    color : bool, default False
    """
    parts: list[Text | Table | Padding] = [
        Text.assemble((mistake.code, "dim"), "  ", (mistake.name, "bold")),
        Padding(mistake.explanation, (0, 0, 1, _INDENT)),
    ]
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    facts.add_row("affects", ", ".join(_LABELS[gradient] for gradient in mistake.gradients))
    facts.add_row("shows on", mistake.shows_on)
    if mistake.behaviour is not None:
        facts.add_row("detected", mistake.behaviour)
    facts.add_row("why", mistake.why)
    facts.add_row("fix", mistake.fix)
    parts.append(Padding(facts, (0, 0, 1, _INDENT)))
    example = example_of(mistake)
    if example is not None:
        parts += _example(example)
    return _printed(parts, width, color)


def _example(example: Example) -> Iterable[Text | Padding]:
    """The arrays that go in, what is right, and what the mistake makes of it."""
    form = f" ({example.variant})" if example.variant else ""
    yield Text(f"Example{form}: {', '.join(forward_geometry(example.layer))}")
    label = _LABELS[example.gradient]
    named = {**example.arrays, f"right {label}": example.right, f"wrong {label}": example.wrong}
    grid = Table.grid(padding=(0, 3, 0, 0))
    for _ in named:
        grid.add_column(no_wrap=True)
    grid.add_row(*(Text(name, "dim") for name in named))
    unequal = example.wrong.shape != example.right.shape
    marks = None if unequal else example.wrong != example.right
    *shown, wrong = named.values()
    grid.add_row(*(_matrix(array) for array in shown), _matrix(wrong, marks))
    yield Padding(grid, (1, 0, 0, _INDENT))
    if marks is None:
        yield Padding(f"The shape is {example.wrong.shape}; expected {example.right.shape}.", (1, 0, 0, _INDENT))
    else:
        count = int(np.count_nonzero(marks))
        yield Padding(f"* differs: {count} of {example.right.size} entries", (1, 0, 0, _INDENT))


def _matrix(array: Array, marks: NDArray[np.bool_] | None = None) -> Text:
    """An array as rows of its last axis, marked entries starred; a blank line between blocks of two axes."""
    rows = array.reshape(-1, array.shape[-1])
    starred = np.zeros(rows.shape, bool) if marks is None else marks.reshape(rows.shape)
    cells = [
        [
            compact(float(value)) + ("*" if star else " " * (marks is not None))
            for value, star in zip(*pair, strict=True)
        ]
        for pair in zip(rows, starred, strict=True)
    ]
    widest = max(len(cell) for row in cells for cell in row)
    per_block = array.shape[-2] if array.ndim > 1 else 1
    lines = []
    for number, row in enumerate(cells):
        if number and array.ndim > 2 and number % per_block == 0:
            lines.append("")
        lines.append(" ".join(cell.rjust(widest) for cell in row))
    return Text("\n".join(lines))


def _printed(parts: Iterable[Text | Table | Padding], width: int, color: bool) -> str:
    text = io.StringIO()
    console = Console(
        file=text, width=max(width, 60), height=25, force_terminal=color, force_jupyter=False, legacy_windows=False,
        color_system="standard" if color else None, no_color=not color, markup=False, emoji=False, highlight=False,
    )  # fmt: skip
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
