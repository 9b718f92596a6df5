"""Document -> plain text."""

from __future__ import annotations

import textwrap

from convcheck.explain.sums.document import Block, Document, Formula, Heading, Paragraph, Table

_WIDTH = 100


def render(document: Document) -> str:
    """Return the document as text with a line break at its end."""
    parts = [document.title + "\n" + "=" * len(document.title), *map(_block, document.blocks)]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"{text}\n{'-' * len(text)}"
        case Paragraph(text):
            return textwrap.fill(text, _WIDTH)
        case Formula(text, _):
            return "\n".join(f"    {line}" for line in text)
        case Table(head, rows):
            return _table(head, rows)


def _table(head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, tuple("-" * width for width in widths), *rows]
    return "\n".join("    " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
