"""What an explanation is made of, and how that is written in every format."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convcheck.errors import Parameter, UsageError

#: Columns of text.
_WIDTH = 100

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


Block = Heading | Paragraph | Formula | Table


@dataclass(frozen=True)
class Document:
    title: str
    blocks: tuple[Block, ...]


def render(document: Document, format: str) -> str:  # noqa: A002
    """Write a document in a format, with a line break at its end.

    Raises
    ------
    UsageError
        If there is no such format.
    """
    if format not in FORMATS:
        raise UsageError(Parameter("output_format", format), f" is unknown; expected one of {', '.join(FORMATS)}")
    return "\n\n".join(FORMATS[format](document)) + "\n"


def _text(document: Document) -> list[str]:
    parts = [f"{document.title}\n{'=' * len(document.title)}"]
    for block in document.blocks:
        match block:
            case Heading(text):
                parts.append(f"{text}\n{'-' * len(text)}")
            case Paragraph(text):
                parts.append(textwrap.fill(text, _WIDTH))
            case Formula(lines, _):
                parts.append("\n".join(f"    {line}" for line in lines))
            case Table(head, rows):
                widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
                table = [head, tuple("-" * width for width in widths), *rows]
                parts.append("\n".join("    " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in table))
    return parts


def _latex(document: Document) -> list[str]:
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
            case Table(head, rows):
                first, *others = (" & ".join(map(latex_words, row)) + r" \\" for row in (head, *rows))
                body = "\n".join([first, r"\hline", *others])
                parts.append(f"\\begin{{longtable}}{{{'l' * len(head)}}}\n{body}\n\\end{{longtable}}")
    return parts


def _markdown(document: Document) -> list[str]:
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
            case Table(head, rows):
                table = [head, ("---",) * len(head), *rows]
                cells = ([text.translate(_MARKDOWN) for text in row] for row in table)
                parts.append("\n".join(f"| {' | '.join(row)} |" for row in cells))
    return parts


def latex_words(text: str) -> str:
    """Take their meaning from the characters that LaTeX would obey."""
    return text.translate(_LATEX)


FORMATS: dict[str, Callable[[Document], list[str]]] = {"text": _text, "latex": _latex, "markdown": _markdown}
