"""Explanation -> Document: one entry, term by term."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

from convcheck.explain.pictures.sizes import AXIS_NAMES, number
from convcheck.explain.sums.notation import BROUGHT_IN, Notation, explained
from convcheck.explain.sums.terms import Explanation, Term
from convcheck.explain.sums.writers import Block, Document, Formula, Heading, Paragraph, Table, latex_words
from convcheck.layer.axis import Axis
from convcheck.wording import counted, exact

#: Terms on a line of an equation in LaTeX; text is broken where it is written.
_PER_LINE = 4

#: Terms, and taps or windows that fall away, up to which all are written by default; and so many of more.
_LONGEST, _FIRST = 64, 8

#: Of which factors the places stand in the table of terms.
_PLACES = {"input": ("output", "tap"), "weight": ("output", "input"), "bias": ("output",), "output": ("tap", "input")}

#: By what the terms of an entry are folded first: a name, and the place of its number in the first factor's index.
_FOLDED = {"input": ("filter", 1), "weight": ("sample", 0), "bias": ("sample", 0), "output": ("channel", 1)}


def document(explanation: Explanation, notation: Notation, *, everything: bool = False) -> Document:
    """Explain an entry: of a long sum its parts, or, if ``everything``, every term."""
    layer, array, terms = explanation.layer, explanation.array, explanation.terms
    left, _ = notation.entry(explained(array), explanation.index, layer)
    folded = len(terms) > _LONGEST and not everything
    blocks: list[Block] = [
        Heading("In general"), notation.formula(array, layer),
        Heading("With this layer's numbers"), with_numbers(explanation, notation),
        Heading("Expanded"), expanded(explanation, notation, _FIRST if folded else len(terms)),
    ]  # fmt: skip
    if array == ("output" if layer.transposed else "input"):
        over, entry = ("X", "entry of X") if layer.transposed else ("dL/dO", "output")
        told = (
            f"As the {entry} goes up, the tap goes down: over {over}, with stride − 1 zeros inserted between its "
            "entries, the kernel slides flipped."
        )
        if layer.repeats_samples:
            told = f"Every place of the padded input that holds the entry gives a part. {told}"
        blocks.append(Paragraph(told))
    if folded:
        blocks += [Heading("By its parts"), *_parts(explanation)]
    rows = [_row(count, term, explanation, notation) for count, term in enumerate(terms, start=1)]
    blocks.append(Heading("Term by term"))
    blocks += _shortened(("", "term", "values", "product", *_PLACES[array]), rows, "term", short=folded)
    if explanation.excluded:
        short = len(explanation.excluded) > _LONGEST and not everything
        what = "tap" if array in ("input", "output") else "place" if layer.transposed else "window"
        rows = [tuple(one) for one in explanation.excluded]
        blocks += [Heading("What falls away"), *_shortened(("which", "why"), rows, what, short=short)]

    total = exact(explanation.value)
    plain = left.replace("~", r"\~{}").replace("_", r"\_").replace("∂", "d")
    latex = rf"\text{{{plain}}} &= "
    if not terms:
        summed = Formula((f"{left} = 0 (no term)",), (f"{latex}0",))
    elif folded:
        summed = Formula((f"{left} = {total}",), (f"{latex}{total}",))
    else:
        products = [_bracketed(term.value) for term in terms]
        body, latex_body = f"{left} = {' + '.join(products)}", _lines(latex, products)
        summed = Formula((body, " " * len(left) + f" = {total}"), (*latex_body, f"&= {total}"))
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


def _row(count: int, term: Term, explanation: Explanation, notation: Notation) -> tuple[str, ...]:
    """Write a term as a row of the table."""
    names = notation.times.join(notation.entry(f.array, f.index, explanation.layer)[0] for f in term.factors)
    values = "·".join(_bracketed(factor.value) for factor in term.factors)
    places = [",".join(map(str, factor.index[2:])) for factor in term.factors]
    # The bias of an output has no place.
    places = places if len(places) == len(_PLACES[explanation.array]) else ["bias", ""]
    return str(count), names, values, exact(term.value), *places


def _shortened(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], noun: str, *, short: bool) -> list[Block]:
    """Return a table, and if it is to be short, its first rows and how to get the others."""
    rest = len(rows) - _FIRST if short else 0
    table = Table(head, tuple(rows[: len(rows) - max(rest, 0)]))
    return [table, *([Paragraph(f"And {counted(rest, noun)} more: --all writes them.")] if rest > 0 else [])]


def _parts(explanation: Explanation) -> list[Block]:
    """Fold a long sum: by filter, sample or channel, and the first of these by the window's first index."""
    name, place = _FOLDED[explanation.array]
    parts: dict[str, list[Term]] = {}
    for term in explanation.terms:
        key = "bias" if len(term.factors) < len(_PLACES[explanation.array]) else str(term.factors[0].index[place])
        parts.setdefault(key, []).append(term)
    axis = AXIS_NAMES[len(explanation.layer.axes)][0].removesuffix("s")
    own, first = next(iter(parts.items()))
    windows: dict[str, list[Term]] = {}
    for term in first:
        windows.setdefault(str(term.factors[0].index[2]), []).append(term)
    inner = f"{_PLACES[explanation.array][0]} {axis}"
    blocks: list[Block] = []
    for head, folded in ((name, parts), (f"{inner} (of {name} {own})", windows)):
        rows = [(key, f"{len(terms):,}", exact(fsum(term.value for term in terms))) for key, terms in folded.items()]
        if len(rows) > 1:
            blocks += _shortened((head, "terms", "sum"), rows, head.partition(" (")[0], short=len(rows) > _LONGEST)
    return blocks


def _difference(value: float, right: float) -> str:
    return "the same" if value == right else f"a difference of {number(value - right)}"


def with_numbers(explanation: Explanation, notation: Notation) -> Formula:
    """Say over which indices the sum of the entry runs, and how they hang together."""
    layer, array, index = explanation.layer, explanation.array, explanation.index
    depth, count = layer.channels_per_group, layer.filters_per_group
    f, own = notation.filter, notation.within(layer)
    if array == "input":
        first = index[1] // depth * count
        lines = [f"filters {f} = {_span(first, count)}"]
        if layer.groups > 1 and layer.transposed:
            lines.append(f"in W: {own} = {f} - {first} = {_span(0, count)}, within the group")
        elif layer.groups > 1:
            lines.append(f"channel {index[1]} is channel {own} = {index[1] % depth} of its group")
    elif array == "output":
        first = index[1] // count * depth
        lines = [f"channels c = {_span(first, depth)}"]
        if layer.groups > 1 and layer.transposed:
            lines.append(f"filter {index[1]} is filter {own} = {index[1] % count} of its group")
        elif layer.groups > 1:
            lines.append(f"in W: {own} = c - {first} = {_span(0, depth)}, within the group")
    else:
        lines = [f"samples n = {_span(0, layer.batch)}"]
        if array == "weight" and layer.groups > 1:
            channel, filter = layer.ends_of_slice(*index[:2])  # noqa: A001 - the field's word
            other = f"filter {f} = {filter} of dL/dO" if layer.transposed else f"channel c = {channel} of X"
            of = f"filter {own} = {index[1]} of the group of channel" if layer.transposed else (
                f"channel {own} = {index[1]} of the group of filter"
            )  # fmt: skip
            lines.append(f"{of} {index[0]} is {other}")
    # A bias has no place on an axis.
    sites = index[2:] or (0,) * len(layer.axes)
    for name, axis, at in zip(AXIS_NAMES[len(layer.axes)], layer.axes, sites, strict=True):
        lines.append(f"{name}: {_along(axis, array, at)}")
    left, latex = notation.entry(explained(array), index, layer)
    words = (latex_words(line.replace("<=", "≤")) for line in lines)
    return Formula(
        (f"{left} sums over", *(f"  {line}" for line in lines)),
        (rf"{latex} &\text{{ sums over}}", *(rf"&\quad \text{{{line}}}" for line in words)),
    )


def _along(axis: Axis, array: str, at: int) -> str:
    """Say over which pairs of indices of one axis the sum of an entry runs."""
    s, d, before, last = axis.stride, axis.dilation, axis.before, axis.output_size - 1
    outputs = f"i = {_span(0, axis.output_size)}"
    if array == "bias":
        return outputs
    inside = f"if it is in 0..{axis.size - 1}"
    if axis.mode in BROUGHT_IN and (before or axis.after):
        inside = f"{BROUGHT_IN[axis.mode]} where it is not in 0..{axis.size - 1}"
    if array == "input":
        pairs = ", ".join(f"({i},{a})" for i, a in axis.pairs(at)) or "none"
        limits = f"0 <= i <= {last}, 0 <= a <= {axis.kernel - 1}"
        if axis.transposed:
            return f"(i, a) with i = {at}·{s} + a·{d} - {before}, {limits}: {pairs}"
        copies = axis.positions(at)[1:]
        where = f"{at} + {before}" + "".join(f" or {copy} (a copy)" for copy in copies)
        return f"(i, a) with i·{s} + a·{d} = {where}, {limits}: {pairs}"
    if axis.transposed and array == "weight":
        return f"p = {_span(0, axis.size)}, output i = p·{s} + {at}·{d} - {before}, if it is in 0..{last}"
    if axis.transposed:
        pairs = ", ".join(f"({p},{a})" for a, p in enumerate(axis.source[at].tolist()) if p >= 0) or "none"
        limits = f"0 <= p <= {axis.size - 1}, 0 <= a <= {axis.kernel - 1}"
        return f"(p, a) with p·{s} + a·{d} = {at} + {before}, {limits}: {pairs}"
    if array == "output":
        return f"a = {_span(0, axis.kernel)}, input sample {at}·{s} + a·{d} - {before}, {inside}"
    return f"{outputs}, input sample i·{s} + {at}·{d} - {before}, {inside}"


def expanded(explanation: Explanation, notation: Notation, most: int | None = None) -> Formula:
    """Write the sum out in symbols, such as ``dL/dx22 = dO00 f22 + dO01 f20 + dO10 f02 + dO11 f00``.

    Parameters
    ----------
    most : int, optional
        Terms that are written; how many more there are is said.
    """
    left, left_latex = notation.entry(explained(explanation.array), explanation.index, explanation.layer)
    texts, latex = [], []
    for term in explanation.terms[:most]:
        written = [notation.entry(factor.array, factor.index, explanation.layer) for factor in term.factors]
        texts.append(notation.times.join(text for text, _ in written))
        latex.append(r" \, ".join(latex for _, latex in written))
    rest = len(explanation.terms) - len(texts)
    if rest:
        texts.append(f"{rest:,} more")
        latex.append(rf"\text{{{rest} more}}")
    return Formula((f"{left} = {' + '.join(texts) or '0'}",), _lines(f"{left_latex} &= ", latex))


def _lines(start: str, terms: Sequence[str]) -> tuple[str, ...]:
    """Break a sum in LaTeX into lines."""
    rows = [" + ".join(terms[first : first + _PER_LINE]) for first in range(0, len(terms), _PER_LINE)] or ["0"]
    return (start + rows[0], *("&\\quad + " + row for row in rows[1:]))


def _bracketed(value: float) -> str:
    return f"({exact(value)})" if value < 0 else exact(value)


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}..{first + count - 1}"
