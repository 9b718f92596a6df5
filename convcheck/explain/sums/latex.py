"""Document -> LaTeX, to be put into a document that loads amsmath."""

from __future__ import annotations

from convcheck.explain.sums.document import Block, Document, Formula, Heading, Paragraph, Table

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "^": r"\textasciicircum{}", "&": r"\&", "%": r"\%",
    "$": r"\$", "#": r"\#", "~": r"\textasciitilde{}", "×": r"$\times$", "·": r"$\cdot$", "−": "$-$", "≤": r"$\le$",
    "≥": r"$\ge$", "→": r"$\to$", "°": r"$^\circ$", "ᵀ": r"$^\top$", "⌊": r"$\lfloor$", "⌋": r"$\rfloor$",
    "⌈": r"$\lceil$", "⌉": r"$\rceil$", "Σ": r"$\sum$", "–": "--", "∂": r"$\partial$", "δ": r"$\delta$",
}  # fmt: skip


def render(document: Document) -> str:
    """Return the document as LaTeX with a line break at its end."""
    head = "% Needs \\usepackage{amsmath,longtable}."
    return "\n\n".join([head, rf"\section*{{{_escape(document.title)}}}", *map(_block, document.blocks)]) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading(text):
            return rf"\subsection*{{{_escape(text)}}}"
        case Paragraph(text):
            return _escape(text)
        case Formula(_, latex):
            # A long sum goes on over pages where it has to.
            return "{\\allowdisplaybreaks\n\\begin{align*}\n" + " \\\\\n".join(latex) + "\n\\end{align*}}"
        case Table(head, rows):
            lines = [" & ".join(map(_escape, row)) + r" \\" for row in (head, *rows)]
            body = "\n".join([lines[0], r"\hline", *lines[1:]])
            return f"\\begin{{longtable}}{{{'l' * len(head)}}}\n{body}\n\\end{{longtable}}"


def _escape(text: str) -> str:
    """Take their meaning from the characters that LaTeX would obey."""
    return "".join(_SPECIAL.get(c, c) for c in text)
