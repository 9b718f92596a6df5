"""Document -> Markdown with formulas in LaTeX, as GitHub and notebooks show it."""

from __future__ import annotations

from convcheck.explain.sums.document import Block, Document, Formula, Heading, Paragraph, Table


def render(document: Document) -> str:
    """Return the document as Markdown with a line break at its end."""
    return "\n\n".join([f"# {_escape(document.title)}", *map(_block, document.blocks)]) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_escape(text)}"
        case Paragraph(text):
            return _escape(text)
        case Formula(_, latex):
            return "$$\n\\begin{aligned}\n" + " \\\\\n".join(latex) + "\n\\end{aligned}\n$$"
        case Table(head, rows):
            lines = [head, ("---",) * len(head), *rows]
            return "\n".join("| " + " | ".join(map(_escape, line)) + " |" for line in lines)


def _escape(text: str) -> str:
    """Take their meaning from the characters that Markdown would obey."""
    return "".join(f"\\{c}" if c in "\\*_|<>$`#[]" else c for c in text) if text != "---" else text
