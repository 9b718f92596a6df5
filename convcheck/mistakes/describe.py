"""The catalogue of mistakes as text: all of them as a table, or one at length with an example to be read by eye."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from convcheck.layer.arrays import Array
from convcheck.layer.data import integer_operands
from convcheck.layer.layer import Layer
from convcheck.layer.words import forward_geometry
from convcheck.mistakes import MISTAKES, OTHER_NAMES
from convcheck.mistakes.mistake import Mistake, OtherName, Scene, differs
from convcheck.wording import compact

#: From the plainest layer to those on which everything shows; the first on which a mistake shows is its example.
_LAYERS = (
    Layer(1, 1, 2, input=(3, 4), batch=1),
    Layer(1, 1, 2, stride=2, padding=[[1, 1], [0, 1]], input=(3, 4), batch=1),
    Layer(1, 1, 2, dilation=2, input=(4, 4), batch=1),
    Layer(1, 1, (2, 3), stride=2, padding=1, input=(4, 5), batch=1),
    Layer(1, 1, 2, padding=[[0, 1], [1, 0]], input=(3, 3), batch=1),
    Layer(1, 2, 2, input=(3, 4), batch=2),
    Layer(2, 2, 2, input=(3, 4), batch=2),
    Layer(2, 2, 2, groups=2, input=(3, 4), batch=1),
    Layer(1, 1, 3, padding=1, input=(3, 4), batch=1, padding_mode="circular"),
    Layer(1, 1, 2, stride=2, input=(2, 3), batch=1, transposed=True),
    Layer(1, 1, 2, stride=2, input=(2, 3), batch=1, transposed=True, output_padding=1),
    Layer(2, 2, 2, input=(2, 3), batch=1, transposed=True),
)

#: The arrays that an answer is made of.
_READ = {
    "output": ("input", "weight"),
    "input": ("weight", "grad_output"),
    "weight": ("input", "grad_output"),
    "bias": ("grad_output",),
}

_LABELS = {"output": "output O", "input": "dL/dX", "weight": "dL/dW", "bias": "dL/db"}

_INDENT = 2


def render_catalogue(*, width: int = 80, color: bool = False) -> str:
    """Write all known mistakes as a table, and the other names that a report can give as a second one.

    Parameters
    ----------
    width : int, default 80
        Columns to lay out for.
    color : bool, default False
    """
    known, others = (Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0)) for _ in range(2))
    for table, what in ((known, "what was done wrong"), (others, "what else a report can find")):
        for head in ("code", "name"):
            table.add_column(head, no_wrap=True)
        table.add_column(what)
    known.add_column("affects", no_wrap=True)
    for mistake in MISTAKES:
        affected = " ".join({"output": "O", "input": "dX", "weight": "dW", "bias": "db"}[g] for g in mistake.gradients)
        known.add_row(mistake.code, Text(mistake.name, "bold"), mistake.title, affected)
    for other in OTHER_NAMES:
        others.add_row(other.code, Text(other.name, "bold"), re.sub("[{}]", "", other.title))
    hint = Text("`convcheck mistakes NAME` explains one; a mistake with a small example.", "dim")
    return _printed([known, Text(), others, Text(), hint], width, color)


def render_name(named: Mistake | OtherName, *, width: int = 80, color: bool = False) -> str:
    """Write one mistake at length, with a small example that is computed here and now; or another name of a report.

    Parameters
    ----------
    width : int, default 80
        Columns to lay out for.
    color : bool, default False
    """
    heading = Text.assemble((f"{named.code}  " if named.code else "", "dim"), (named.name, "bold"))
    parts: list[Text | Table | Padding]
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    if isinstance(named, OtherName):
        generally = named.diagnosis()
        facts.add_row("told of", named.told_of)
        if named.why:
            facts.add_row("why", named.why)
        facts.add_row("fix", generally.fix)
        parts = [heading, Padding(generally.explanation, (0, 0, 1, _INDENT)), Padding(facts, (0, 0, 0, _INDENT))]
        return _printed(parts, width, color)
    facts.add_row("affects", ", ".join(_LABELS[gradient] for gradient in named.gradients))
    facts.add_row("shows on", named.shows_on)
    if named.behaviour is not None:
        facts.add_row("detected", named.behaviour)
    facts.add_row("why", named.why)
    facts.add_row("fix", named.fix)
    parts = [heading, Padding(named.explanation, (0, 0, 1, _INDENT)), Padding(facts, (0, 0, 1, _INDENT))]
    example = example_of(named)
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
    if not array.size:
        return Text("(empty)", "dim")
    rows = array.reshape(-1, array.shape[-1])
    starred = np.zeros(rows.shape, bool) if marks is None else marks.reshape(rows.shape)
    cells = [
        [
            compact(value.item()) + ("*" if star else " " * (marks is not None))
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


@dataclass(frozen=True, eq=False)
class Example:
    """A mistake at work.

    Attributes
    ----------
    arrays : dict of str to array
        What goes in, by name.
    """

    layer: Layer
    gradient: str
    variant: str
    arrays: dict[str, Array]
    right: Array
    wrong: Array


#: Complex numbers take more room.
_OF_COMPLEX = (Layer(1, 1, 2, input=(3,), batch=1, dtype="complex128"),)


def example_of(mistake: Mistake) -> Example | None:
    """Return the plainest example, one of the right shape if there is any; None for a mistake that no array shows."""
    layers = _OF_COMPLEX if mistake.of_complex else _LAYERS
    found = [example for layer in layers for example in _examples(mistake, layer)]
    return min(found, key=lambda example: example.wrong.shape != example.right.shape, default=None)


def _examples(mistake: Mistake, layer: Layer) -> Iterator[Example]:
    operands = integer_operands(layer)
    assert operands is not None
    scene = Scene.of(layer, operands)
    arrays = {"input": operands.x, "weight": operands.weight, "grad_output": operands.grad_output}
    for gradient in mistake.gradients:
        right = scene.answer(gradient)
        shown = {name: arrays[name] for name in _READ[gradient]}
        for wrong in mistake.wrong(scene, gradient):
            if differs(wrong.array, right):
                yield Example(layer, gradient, wrong.variant, shown, right, wrong.array)
