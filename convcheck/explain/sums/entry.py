"""Explanation -> Document: one entry, term by term."""

from __future__ import annotations

from collections.abc import Sequence

from convcheck.explain.pictures.sizes import number
from convcheck.explain.sums.document import Block, Document, Formula, Heading, Paragraph, Table
from convcheck.explain.sums.formulas import general, with_numbers
from convcheck.explain.sums.notation import Notation
from convcheck.explain.sums.terms import Explanation, Factor, Term
from convcheck.wording import counted, exact

#: Terms on a line of an equation.
_PER_LINE = 4

#: Sums longer than this are given as a table alone.
_LONGEST = 64

_FACTOR_NAMES = {"grad_output": "dL/dO", "weight": "W", "x": "X", "bias": "b"}


def document(explanation: Explanation, notation: Notation) -> Document:
    """Explain an entry."""
    layer, array = explanation.layer, explanation.array
    left, _ = notation.entry(_symbol(array), explanation.index, layer)
    blocks: list[Block] = [Heading("In general"), general(array, notation, layer)]
    blocks += [
        Heading("With this layer's numbers"),
        with_numbers(explanation.array, explanation.index, notation, layer),
    ]
    blocks += [Heading("Expanded"), *_expanded_blocks(explanation, notation)]
    blocks += [Heading("Term by term"), _term_table(explanation, notation)]
    if explanation.excluded:
        blocks += [
            Heading("What falls away"),
            Table(("which", "why"), tuple((e.what, e.why) for e in explanation.excluded)),
        ]
    blocks += [Heading("The sum"), _sum(explanation, left), Paragraph(_check(explanation, left))]
    return Document(f"{left} of layer {layer.name}", tuple(blocks))


def expanded(explanation: Explanation, notation: Notation) -> Formula:
    """Write the sum out in symbols, such as ``dL/dx22 = dO00 f22 + dO01 f20 + dO10 f02 + dO11 f00``."""
    layer = explanation.layer
    left, left_latex = notation.entry(_symbol(explanation.array), explanation.index, layer)
    pairs = [_product(term, notation, explanation) for term in explanation.terms]
    return Formula(
        _lines(f"{left} = ", [text for text, _ in pairs]),
        _lines(f"{left_latex} &= ", [latex for _, latex in pairs], follow="&\\quad + "),
    )


def _symbol(array: str) -> str:
    return array if array == "output" else f"grad_{array}"


def _product(term: Term, notation: Notation, explanation: Explanation) -> tuple[str, str]:
    written = [notation.entry(factor.array, factor.index, explanation.layer) for factor in term.factors]
    return notation.times.join(text for text, _ in written), r" \, ".join(latex for _, latex in written)


def _lines(start: str, terms: Sequence[str], follow: str | None = None) -> tuple[str, ...]:
    """Break a sum into lines."""
    rows = [" + ".join(terms[first : first + _PER_LINE]) for first in range(0, len(terms), _PER_LINE)] or ["0"]
    indent = " " * (len(start) - 2) + "+ " if follow is None else follow
    return (start + rows[0], *(indent + row for row in rows[1:]))


def _expanded_blocks(explanation: Explanation, notation: Notation) -> list[Block]:
    if len(explanation.terms) > _LONGEST:
        return [Paragraph(f"{counted(len(explanation.terms), 'term')}: see the table.")]
    return [expanded(explanation, notation)]


def _term_table(explanation: Explanation, notation: Notation) -> Table:
    """One row per term: names, values and the product."""
    rows = []
    for count, term in enumerate(explanation.terms, start=1):
        names = notation.times.join(notation.entry(f.array, f.index, explanation.layer)[0] for f in term.factors)
        values = "·".join(_value(factor) for factor in term.factors)
        rows.append((str(count), names, values, exact(term.value), *_places(explanation, term)))
    return Table(("", "term", "values", "product", *_place_heads(explanation)), tuple(rows))


def _place_heads(explanation: Explanation) -> tuple[str, ...]:
    return {"input": ("output", "tap"), "weight": ("output", "input"), "bias": ("output",), "output": ("tap", "input")}[
        explanation.array
    ]


def _places(explanation: Explanation, term: Term) -> tuple[str, ...]:
    """Spatial positions of the factors; a bias has none."""
    places = [",".join(map(str, factor.index[2:])) for factor in term.factors]
    return tuple(places) if len(places) == len(_place_heads(explanation)) else ("bias", "")


def _value(factor: Factor) -> str:
    text = exact(factor.value)
    return f"({text})" if factor.value < 0 else text


def _sum(explanation: Explanation, left: str) -> Formula:
    terms = [f"({exact(term.value)})" if term.value < 0 else exact(term.value) for term in explanation.terms]
    total = exact(explanation.value)
    if not terms:
        return Formula((f"{left} = 0 (no term)",), (f"{_latex_text(left)} &= 0",))
    if len(terms) > _LONGEST:
        return Formula((f"{left} = {total}",), (f"{_latex_text(left)} &= {total}",))
    body = _lines(f"{left} = ", terms)
    latex = _lines(f"{_latex_text(left)} &= ", terms, follow="&\\quad + ")
    return Formula((*body, " " * len(left) + f" = {total}"), (*latex, f"&= {total}"))


def _latex_text(text: str) -> str:
    plain = text.replace("~", r"\~{}").replace("_", r"\_").replace("∂", "d")
    return rf"\text{{{plain}}}"


def _check(explanation: Explanation, left: str) -> str:
    if explanation.array == "output":
        what = "The forward pass gives"
    else:
        what = f"Numeric gradient, from the forward pass alone (the entry goes up by 1, and the loss by {left}):"
    gap = explanation.value - explanation.reference
    verdict = "the same" if gap == 0 else f"a difference of {number(gap)}"
    return f"{what} {exact(explanation.reference)}, {verdict}."
