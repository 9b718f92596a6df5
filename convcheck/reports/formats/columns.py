"""The columns of the table: what stands in them, and widths at which no number is cut or broken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from convcheck.reports.formats.rows import Row
from convcheck.wording import GRADIENT_NAMES, GRADIENT_SYMBOLS, VERDICTS, compact, compact_against, visible

#: Spaces in front of every row.
INDENT = 2

#: Least columns for part of an implementation's name: as many as a number such as 1.2e-15 takes.
_NAME_WIDTH = 7

#: An implementation's name can be a long path; one column is not widened beyond this for it.
_WIDEST_NAME = 16


@dataclass(frozen=True)
class Columns:
    """The columns of the rows of all layers.

    Attributes
    ----------
    implementations : tuple of str
        Each has a column for its error.
    widths : tuple of int
    gap : int
        Spaces between columns.
    fit : bool
        Whether the columns fit side by side.
    """

    implementations: tuple[str, ...]
    widths: tuple[int, ...]
    gap: int
    fit: bool

    @property
    def heads(self) -> list[str]:
        """The head of each column; a name that is too long for its column is broken into lines."""
        heads = _heads(self.implementations)
        return [_broken(head, width) for head, width in zip(heads, self.widths, strict=True)]

    @property
    def numeric(self) -> list[bool]:
        """Whether each column holds numbers."""
        return [False, False, *[True] * (len(self.widths) - 3), False]

    def cells(self, row: Row) -> list[str]:
        """Return what stands in each column."""
        return _cells(row, self.implementations)


def columns_for(rows: Sequence[Row], width: int) -> Columns:
    """Return the columns that hold all these rows within a width, narrower where they have to and can be."""
    implementations = tuple(dict.fromkeys(result.implementation for row in rows for result in row.results))
    columns = list(zip(_heads(implementations), *(_cells(row, implementations) for row in rows), strict=True))
    names = range(3, 3 + max(len(implementations), 1))
    least = [_longest_word(texts) for texts in columns]
    widths = [max(map(cell_len, texts)) for texts in columns]
    for column in names:
        head, *cells = columns[column]
        numbers = max(map(cell_len, cells), default=0)
        least[column] = max(numbers, min(cell_len(head), _NAME_WIDTH))
        widths[column] = max(numbers, min(cell_len(head), _WIDEST_NAME))

    def excess(gap: int) -> int:
        return INDENT + sum(widths) + gap * (len(widths) - 1) - width

    gap = 2 if excess(2) <= 0 else 1
    for column in (*names, 2, 0):
        widths[column] -= max(0, min(excess(gap), widths[column] - least[column]))
    return Columns(implementations, tuple(widths), gap, fit=excess(gap) <= 0)


def _heads(implementations: Sequence[str]) -> list[str]:
    names = [visible(name) for name in implementations] if len(implementations) > 1 else ["error"]
    return ["gradient", "check", "entries", *names, "relative", "allowed", ""]


def _cells(row: Row, implementations: Sequence[str]) -> list[str]:
    if len(row.gradients) == 1:
        gradient = GRADIENT_NAMES[row.gradients[0]]
    else:
        gradient = " ".join(GRADIENT_SYMBOLS[gradient] for gradient in row.gradients)
    cells = [gradient, row.check, entries_text(row), *_number_cells(row, implementations)]
    return [*cells, VERDICTS[row.status]]


def entries_text(row: Row) -> str:
    """Return how many entries were compared one by one: ``162``, ``0 of 1,605,632``."""
    if row.entries_checked == row.entries:
        return f"{row.entries:,}"
    return f"{row.entries_checked:,} of {row.entries:,}"


def _number_cells(row: Row, implementations: Sequence[str]) -> list[str]:
    slots = implementations or ("",)
    if not row.has_numbers:
        return [*("–" if name in row.errors else "" for name in slots), "–", "–"]
    shown, allowed = compact_against(list(row.errors.values()), row.allowed)
    errors = dict(zip(row.errors, shown, strict=True))
    return [*(errors.get(name, "") for name in slots), compact(row.relative_error), allowed]


def _longest_word(texts: Iterable[str]) -> int:
    return max((cell_len(word) for text in texts for word in text.split()), default=0)


def _broken(head: str, width: int) -> str:
    """Return a name in lines of at most so many columns, broken behind punctuation where possible."""
    lines = [""]
    for piece in re.findall(r"[^_./:]*[_./:]|[^_./:]+", head):
        if lines[-1] and len(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1]) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return "\n".join(lines)
