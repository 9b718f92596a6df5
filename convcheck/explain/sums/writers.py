"""What an explanation is made of, and how that is written in every format."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convcheck.errors import Parameter, UsageError

#: Columns of text where nobody says how many there are, and at the least; columns by which formulas stand back.
_WIDTH, _NARROWEST, _BACK = 100, 60, 4

_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "^": r"\textasciicircum{}", "&": r"\&", "%": r"\%",
    "$": r"\$", "#": r"\#", "~": r"\textasciitilde{}", "×": r"$\times$", "·": r"$\cdot$", "−": "$-$", "≤": r"$\le$",
    "≥": r"$\ge$", "→": r"$\to$", "°": r"$^\circ$", "ᵀ": r"$^\top$", "⌊": r"$\lfloor$", "⌋": r"$\rfloor$",
    "⌈": r"$\lceil$", "⌉": r"$\rceil$", "Σ": r"$\sum$", "–": "--", "∂": r"$\partial$", "δ": r"$\delta$",
})  # fmt: skip

_LATEX_EQUATION = str.maketrans({"·": r"~\cdot~", "×": r"~\times~", " ": "~"})

_MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\*_|<>$`#[]"})


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Formula:
    """A formula, in characters and in LaTeX; several lines belong together.

    Attributes
    ----------
    text, latex : tuple of str
        One per line. A LaTeX line has its alignment mark, ``&``.
    """

    text: tuple[str, ...]
    latex: tuple[str, ...]

    @classmethod
    def of_sizes(cls, lines: Sequence[str]) -> Formula:
        """Equations of sizes, such as "rows: 3 = (2-1)·2+1"."""
        return cls(tuple(lines), tuple(rf"&\mathrm{{{line.translate(_LATEX_EQUATION)}}}" for line in lines))


@dataclass(frozen=True)
class Table:
    """A table; what its columns hold is said by the first row."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Drawing:
    """Lines whose characters stand below each other."""

    lines: tuple[str, ...]


Block = Heading | Paragraph | Formula | Table | Drawing


@dataclass(frozen=True)
class Document:
    title: str
    blocks: tuple[Block, ...]


def render(document: Document, format: str, width: int = _WIDTH) -> str:  # noqa: A002
    """Write a document in a format, with a line break at its end; text for so many columns.

    Raises
    ------
    UsageError
        If there is no such format.
    """
    if format not in FORMATS:
        raise UsageError(Parameter("output_format", format), f" is unknown; expected one of {', '.join(FORMATS)}")
    return "\n\n".join(FORMATS[format](document, max(width, _NARROWEST))) + "\n"


def _text(document: Document, width: int) -> list[str]:
    parts = [f"{document.title}\n{'=' * len(document.title)}"]
    for block in document.blocks:
        match block:
            case Heading(text):
                parts.append(f"{text}\n{'-' * len(text)}")
            case Paragraph(text):
                parts.append(textwrap.fill(text, width))
            case Formula(lines, _):
                fitted = (piece for line in lines for piece in _broken(line, width - _BACK))
                parts.append("\n".join(" " * _BACK + line for line in fitted))
            case Drawing(lines):
                parts.append("\n".join(" " * _BACK + line for line in lines))
            case Table(head, rows):
                parts.append("\n".join(_table(head, rows, width)))
    return parts


def _broken(line: str, width: int) -> list[str]:
    """Break a formula where a condition begins, or else before a plus sign, but within no brackets."""
    pieces, indent = [], " " * (len(line) - len(line.lstrip()) + _BACK)
    while len(line) > width:
        cut = 0
        for signs in ((", ", " of ", " to "), (" + ",)):
            places = [i for sign in signs for i in range(width // 2, width) if line.startswith(sign, i)]
            open_ = [i for i in places if line.count("(", 0, i) == line.count(")", 0, i)]
            cut = cut or max(open_, default=0)
        if not cut:
            break
        cut += line[cut] == ","
        pieces.append(line[:cut])
        line = indent + line[cut:].lstrip()
    return [*pieces, line]


def _table(head: tuple[str, ...], rows: tuple[tuple[str, ...], ...], width: int) -> list[str]:
    """Lay a table out; where it is too wide, its widest column is wrapped."""
    widths = [max(1, *map(len, column)) for column in zip(head, *rows, strict=True)]
    widest = widths.index(max(widths))
    rest = _BACK + sum(widths) - widths[widest] + 2 * (len(widths) - 1)
    widths[widest] = min(widths[widest], max(width - rest, 16))
    lines = []
    for row in (head, tuple("-" * one for one in widths), *rows):
        cells = [
            textwrap.wrap(cell, one, break_long_words=False, break_on_hyphens=False) or [""]
            for cell, one in zip(row, widths, strict=True)
        ]
        for number in range(max(map(len, cells))):
            texts = (cell[number] if number < len(cell) else "" for cell in cells)
            lines.append((" " * _BACK + "  ".join(map(str.ljust, texts, widths))).rstrip())
    return lines


def _latex(document: Document, width: int) -> list[str]:
    """To be put into a document that loads amsmath and longtable."""
    parts = ["% Needs \\usepackage{amsmath,longtable}.", rf"\section*{{{latex_words(document.title)}}}"]
    for block in document.blocks:
        match block:
            case Heading(text):
                parts.append(rf"\subsection*{{{latex_words(text)}}}")
            case Paragraph(text):
                parts.append(latex_words(text))
            case Formula(_, lines):
                # A long sum goes on over pages where it has to.
                body = " \\\\\n".join(lines)
                parts.append(f"{{\\allowdisplaybreaks\n\\begin{{align*}}\n{body}\n\\end{{align*}}}}")
            case Drawing(lines):
                parts.append("\\begin{verbatim}\n" + "\n".join(lines) + "\n\\end{verbatim}")
            case Table(head, rows):
                first, *others = (" & ".join(map(latex_words, row)) + r" \\" for row in (head, *rows))
                body = "\n".join([first, r"\hline", *others])
                parts.append(f"\\begin{{longtable}}{{{'l' * len(head)}}}\n{body}\n\\end{{longtable}}")
    return parts


def _markdown(document: Document, width: int) -> list[str]:
    """With formulas in LaTeX, as GitHub and notebooks show it."""
    parts = [f"# {document.title.translate(_MARKDOWN)}"]
    for block in document.blocks:
        match block:
            case Heading(text):
                parts.append(f"## {text.translate(_MARKDOWN)}")
            case Paragraph(text):
                parts.append(text.translate(_MARKDOWN))
            case Formula(_, lines):
                parts.append("$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$")
            case Drawing(lines):
                parts.append("```text\n" + "\n".join(lines) + "\n```")
            case Table(head, rows):
                table = [head, ("---",) * len(head), *rows]
                cells = ([text.translate(_MARKDOWN) for text in row] for row in table)
                parts.append("\n".join(f"| {' | '.join(row)} |" for row in cells))
    return parts


def latex_words(text: str) -> str:
    """Take their meaning from the characters that LaTeX would obey."""
    return text.translate(_LATEX)


FORMATS: dict[str, Callable[[Document, int], list[str]]] = {"text": _text, "latex": _latex, "markdown": _markdown}
