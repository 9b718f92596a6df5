"""Explanation -> Document: one entry, term by term."""

from __future__ import annotations

from collections.abc import Sequence

from convcheck.explain.pictures.sizes import AXIS_NAMES, number
from convcheck.explain.sums.notation import Notation, explained
from convcheck.explain.sums.terms import Explanation
from convcheck.explain.sums.writers import Block, Document, Formula, Heading, Paragraph, Table, latex_words
from convcheck.wording import counted, exact

#: Terms on a line of an equation.
_PER_LINE = 4

#: Sums longer than this are given as a table alone.
_LONGEST = 64

#: Of which factors the places stand in the table of terms.
_PLACES = {"input": ("output", "tap"), "weight": ("output", "input"), "bias": ("output",), "output": ("tap", "input")}


def document(explanation: Explanation, notation: Notation) -> Document:
    """Explain an entry."""
    layer, array, terms = explanation.layer, explanation.array, explanation.terms
    left, _ = notation.entry(explained(array), explanation.index, layer)
    blocks: list[Block] = [
        Heading("In general"), notation.formula(array, layer),
        Heading("With this layer's numbers"), with_numbers(explanation, notation),
        Heading("Expanded"), expanded(explanation, notation),
    ]  # fmt: skip
    if len(terms) > _LONGEST:
        blocks[-1] = Paragraph(f"{counted(len(terms), 'term')}: see the table.")

    rows = []
    for count, term in enumerate(terms, start=1):
        names = notation.times.join(notation.entry(f.array, f.index, layer)[0] for f in term.factors)
        values = "·".join(_bracketed(factor.value) for factor in term.factors)
        places = [",".join(map(str, factor.index[2:])) for factor in term.factors]
        # The bias of an output has no place.
        places = places if len(places) == len(_PLACES[array]) else ["bias", ""]
        rows.append((str(count), names, values, exact(term.value), *places))
    blocks += [Heading("Term by term"), Table(("", "term", "values", "product", *_PLACES[array]), tuple(rows))]
    if explanation.excluded:
        blocks += [Heading("What falls away"), Table(("which", "why"), explanation.excluded)]

    total = exact(explanation.value)
    plain = left.replace("~", r"\~{}").replace("_", r"\_").replace("∂", "d")
    latex = rf"\text{{{plain}}} &= "
    if not terms:
        summed = Formula((f"{left} = 0 (no term)",), (f"{latex}0",))
    elif len(terms) > _LONGEST:
        summed = Formula((f"{left} = {total}",), (f"{latex}{total}",))
    else:
        products = [_bracketed(term.value) for term in terms]
        body, latex_body = _lines(f"{left} = ", products), _lines(latex, products, follow="&\\quad + ")
        summed = Formula((*body, " " * len(left) + f" = {total}"), (*latex_body, f"&= {total}"))
    what = f"Numeric gradient, from the forward pass alone (the entry goes up by 1, and the loss by {left}):"
    what = "The forward pass gives" if array == "output" else what
    verdict = _difference(explanation.value, explanation.reference)
    blocks += [Heading("The sum"), summed, Paragraph(f"{what} {exact(explanation.reference)}, {verdict}.")]
    if explanation.given is not None:
        name, value = explanation.given
        verdict = _difference(value, explanation.value if array == "output" else explanation.reference)
        way = "forward" if array == "output" else "backward"
        blocks.append(Paragraph(f"The {way} pass of {name} gives {exact(value)}, {verdict}."))
    return Document(f"{left} of layer {layer.name}", tuple(blocks))


def _difference(value: float, right: float) -> str:
    return "the same" if value == right else f"a difference of {number(value - right)}"


def with_numbers(explanation: Explanation, notation: Notation) -> Formula:
    """Say over which indices the sum of the entry runs, and how they hang together."""
    layer, array, index = explanation.layer, explanation.array, explanation.index
    if array == "input":
        first = index[1] // layer.channels_per_group * layer.filters_per_group
        lines = [f"filters f = {_span(first, layer.filters_per_group)}"]
    elif array == "output":
        first = index[1] // layer.filters_per_group * layer.channels_per_group
        lines = [f"channels c = {_span(first, layer.channels_per_group)}"]
    else:
        lines = [f"samples n = {_span(0, layer.batch)}"]
    # A bias has no place on an axis.
    sites = index[2:] or (0,) * len(layer.axes)
    for name, axis, at in zip(AXIS_NAMES[len(layer.axes)], layer.axes, sites, strict=True):
        outputs = f"i = {_span(0, axis.output_size)}"
        if array == "input":
            pairs = ", ".join(f"({i},{a})" for i, a in axis.readers(at + axis.before)) or "none"
            rule = f"i·{axis.stride} + a·{axis.dilation} = {at} + {axis.before}"
            rule += f", 0 <= i <= {axis.output_size - 1}, 0 <= a <= {axis.kernel - 1}"
            lines.append(f"{name}: (i, a) with {rule}: {pairs}")
        elif array == "bias":
            lines.append(f"{name}: {outputs}")
        else:
            given, sample = outputs, f"i·{axis.stride} + {at}·{axis.dilation}"
            if array == "output":
                given, sample = f"a = {_span(0, axis.kernel)}", f"{at}·{axis.stride} + a·{axis.dilation}"
            inside = f"if it is in 0..{axis.size - 1}"
            lines.append(f"{name}: {given}, input sample {sample} - {axis.before}, {inside}")
    left, latex = notation.entry(explained(array), index, layer)
    words = (latex_words(line.replace("<=", "≤")) for line in lines)
    return Formula(
        (f"{left} sums over", *(f"  {line}" for line in lines)),
        (rf"{latex} &\text{{ sums over}}", *(rf"&\quad \text{{{line}}}" for line in words)),
    )


def expanded(explanation: Explanation, notation: Notation) -> Formula:
    """Write the sum out in symbols, such as ``dL/dx22 = dO00 f22 + dO01 f20 + dO10 f02 + dO11 f00``."""
    left, left_latex = notation.entry(explained(explanation.array), explanation.index, explanation.layer)
    texts, latex = [], []
    for term in explanation.terms:
        written = [notation.entry(factor.array, factor.index, explanation.layer) for factor in term.factors]
        texts.append(notation.times.join(text for text, _ in written))
        latex.append(r" \, ".join(latex for _, latex in written))
    return Formula(_lines(f"{left} = ", texts), _lines(f"{left_latex} &= ", latex, follow="&\\quad + "))


def _lines(start: str, terms: Sequence[str], follow: str | None = None) -> tuple[str, ...]:
    """Break a sum into lines."""
    rows = [" + ".join(terms[first : first + _PER_LINE]) for first in range(0, len(terms), _PER_LINE)] or ["0"]
    indent = " " * (len(start) - 2) + "+ " if follow is None else follow
    return (start + rows[0], *(indent + row for row in rows[1:]))


def _bracketed(value: float) -> str:
    return f"({exact(value)})" if value < 0 else exact(value)


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}..{first + count - 1}"
