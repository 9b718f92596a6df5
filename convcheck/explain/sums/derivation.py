"""Layer -> Document: the backward pass of a layer, step by step, on the route that a text takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from convcheck.explain.pictures.sizes import AXIS_NAMES, crop_lines, dilation_lines, padding_lines, times, turned
from convcheck.explain.pictures.window import on_padded
from convcheck.explain.sums.notation import Notation
from convcheck.explain.sums.writers import Block, Document, Drawing, Formula, Heading, Paragraph, Table
from convcheck.layer.axis import Axis
from convcheck.layer.layer import Layer
from convcheck.layer.words import forward_geometry

#: Positions that a drawing of windows has at most.
_WIDEST = 8

#: The letters of the sizes along an axis.
_LETTERS: tuple[str, ...] = (
    "n: size of the input, k: size of the kernel, s: stride, d: dilation",
    "P = n + before + after: padded size",
    "e = d(k - 1) + 1: samples that a window spans",
    "m = (P - e) div s + 1: outputs",
    "r = (P - e) mod s: the remainder, samples at the end that no window reads",
)


#: The same of a transposed layer.
_TRANSPOSED_LETTERS: tuple[str, ...] = (
    "n: size of the input, k: size of the kernel, s: stride, d: dilation",
    "e = d(k - 1) + 1: outputs that an entry of X reaches over",
    "P = (n - 1)s + e + output_padding: outputs before the padding is removed",
    "m = P - before - after: outputs",
)


def document(layer: Layer, notation: Notation) -> Document:
    """Derive the backward pass of a layer."""
    # The numbers of every axis, and how many outputs read an entry.
    sizes, readers = [], []
    for name, a in zip(AXIS_NAMES[len(layer.axes)], layer.axes, strict=True):
        numbers = (a.size, a.before, a.after, a.padded_size, a.kernel, a.stride, a.dilation)
        last = a.output_padding if layer.transposed else a.remainder
        sizes.append((name, *map(str, (*numbers, a.effective_kernel, a.output_size, last))))
        pairs = [len(a.pairs(p)) for p in range(a.size)]
        readers.append((name, str(min(pairs)), str(max(pairs)), str(pairs.count(0))))
    head = ("", "n", "before", "after", "P", "k", "s", "d", "e", "m", "output_padding" if layer.transposed else "r")
    how, letters = "output i reads padded position q through tap a exactly if i·s + a·d = q", _LETTERS
    if layer.transposed:
        letters = _TRANSPOSED_LETTERS
        how = "entry p of X reaches output i through tap a exactly if p·s + a·d = i + before"
    counts = "times that outputs read" if layer.repeats_samples else "outputs that read"
    blocks: list[Block] = [
        Paragraph(f"{', '.join(forward_geometry(layer))}."),
        Paragraph(f"Notation: {notation.about} Indices count from 0; what is out of range counts as zero."),
        Heading("1. Forward"),
        notation.formula("output", layer),
        Table(head, tuple(sizes)),
        Formula.of_sizes(letters),
        *(_transposed_forward(layer, notation) if layer.transposed else []),
        Heading("2. The chain rule"),
        Paragraph(
            "An entry of X changes the loss through every output that reads it, each by the tap through which it is "
            f"read; so the gradients of those outputs, times those taps, add up. Along an axis, {how}."
        ),
        Table(("", f"fewest {counts} an entry", "most", "entries that none reads"), tuple(readers)),
        Heading("3. The gradient of the input"),
        notation.formula("input", layer),
        *_input_route(layer, notation),
        Heading("4. The gradient of the weights"),
        notation.formula("weight", layer),
        *_weight_route(layer, notation),
    ]
    if layer.bias:
        outputs = f"each of the {times(layer.output)} outputs of {layer.batch} sample(s)"
        blocks += [
            Heading("5. The gradient of the bias"),
            notation.formula("bias", layer),
            Paragraph(f"The bias enters {outputs} once, with factor 1."),
        ]
    return Document(f"The backward pass of layer {layer.name}", tuple(blocks))


def _transposed_forward(layer: Layer, notation: Notation) -> list[Block]:
    """The forward pass of a transposed layer: the backward pass of its twin."""
    told = Paragraph(
        f"That is the backward pass of a plain layer from {layer.filters} channels to {layer.channels} filters with "
        "the same kernel, stride, padding and dilation: what there is handed back is X here, and what there is dL/dX "
        "is O here."
    )
    if notation.name == "unfold":
        latex = r"O &= \mathrm{fold}\left(\tilde W^\top X\right)"
        return [told, Formula(("O = fold(W~ᵀ X) + b",), (latex + " + b",))]
    bounds, slid = _bounded(layer.twin, ("p", "i")), _slide(layer.twin, "X", "output")
    return [told, *bounds, Paragraph("The same, for all outputs at once, as a convolution:"), *slid]


def _input_route(layer: Layer, notation: Notation) -> list[Block]:
    """How dL/dX is found."""
    if layer.transposed:
        text = (
            "That is the forward pass of the plain layer: dL/dO, with its padding, is correlated with the kernel as it "
            f"is, in steps of the stride, {times(layer.stride)}. Nothing is dilated, and nothing is flipped."
        )
        if notation.name == "unfold":
            latex = r"\frac{\partial L}{\partial X} &= \tilde W \, \mathrm{unfold}"
            latex += r"\left(\frac{\partial L}{\partial O}\right)"
            return [Formula(("dL/dX = W~ unfold(dL/dO)",), (latex,)), Paragraph(text)]
        return [Paragraph(text)]
    route = _ROUTES[notation.name]
    if not layer.repeats_samples:
        return route(layer)
    copies = []
    for name, axis in zip(AXIS_NAMES[len(layer.axes)], layer.axes, strict=True):
        border = [*range(axis.before), *range(axis.before + axis.size, axis.padded_size)]
        held = ", ".join(f"{q} → {axis.origin[q]}" for q in border) or "none"
        copies.append((name, held))
    return [
        Paragraph(
            "The padded input holds copies of samples. First the gradient of the padded input, as if it were an input "
            "without padding, with q, its positions, for p:"
        ),
        *route(on_padded(layer)),
        Paragraph(
            f"Then the border is folded back ({layer.padding_mode}): the gradient of every copy is added to that of "
            "the sample that it holds. To drop the border, as for zeros, loses it."
        ),
        Table(("", "position of a copy → sample of X"), tuple(copies)),
    ]


def _weight_route(layer: Layer, notation: Notation) -> list[Block]:
    """How dL/dW is found."""
    if notation.name == "unfold":
        text, latex = "dL/dW~ = dL/dO X~ᵀ", r"\frac{\partial L}{\partial O} \tilde X^\top"
        if layer.transposed:
            text, latex = "dL/dW~ = X unfold(dL/dO)ᵀ", (
                r"X \, \mathrm{unfold}\left(\frac{\partial L}{\partial O}\right)^\top"
            )  # fmt: skip
        latex = r"\frac{\partial L}{\partial \tilde W} &= " + latex
        return [Formula((text,), (latex,)), Paragraph(f"Summed over {layer.batch} sample(s).")]
    batch = f"a·d from its corner, multiply and add up, over the {layer.batch} sample(s) of the batch."
    if layer.transposed:
        text = (
            f"Tap a takes each of the {times(layer.input)} entries of X to one output: lay the dilated X over dL/dO "
            f"with its padding, {batch}"
        )
        return [Paragraph(text)]
    text = (
        f"Tap a meets one input sample in every one of the {times(layer.output)} windows: lay the dilated dL/dO "
        f"over the padded input, {batch}"
    )
    remainder = [axis.remainder for axis in layer.axes]
    if any(remainder):
        text += f" The last {times(remainder)} padded samples (the remainder) are met by no window and do not count."
    return [Paragraph(text)]


def _bounds(layer: Layer, letters: tuple[str, str] = ("i", "p")) -> Formula:
    """Write which windows read an entry; the letters are those of the window and of the entry."""
    (i, p), lines = letters, []
    for name, a in zip(AXIS_NAMES[len(layer.axes)], layer.axes, strict=True):
        lower = f"max(0, ceil(({p} + {a.before} - {a.effective_kernel - 1}) / {a.stride}))"
        upper = f"min({a.output_size - 1}, floor(({p} + {a.before}) / {a.stride}))"
        whole = f" / {a.dilation}, where that is whole" if a.dilation > 1 else ""
        lines.append(f"{name}: {i} from {lower} to {upper}, a = ({p} + {a.before} - {a.stride}{i}){whole}")
    return Formula.of_sizes(lines)


def _own(layer: Layer) -> list[Block]:
    """The field's own way: bounds of the sum, and the same as a convolution."""
    return [*_bounded(layer), Paragraph("The same, for all entries at once, as a convolution:"), *_slide(layer)]


def _bounded(layer: Layer, letters: tuple[str, str] = ("i", "p")) -> list[Block]:
    text = (
        f"Solved for {letters[0]}, the sum has bounds. The lower one is rounded up (down would reach past the kernel's "
        "end when the stride is above 1), and both are clipped to what exists."
    )
    return [Paragraph(text), _bounds(layer, letters)]


def _index_sums(layer: Layer) -> list[Block]:
    """T0: bounds of the sum, and what the published one lets in: a window that ends before the entry."""
    blocks = _bounded(layer)
    for name, axis in zip(AXIS_NAMES[len(layer.axes)], layer.axes, strict=True):
        reach = axis.effective_kernel - 1
        # An entry whose published lower bound, rounded down, is an output that exists and does not read it.
        for position in range(axis.before, axis.before + axis.size):
            first = (position - reach) // axis.stride
            tap = (position - first * axis.stride) // axis.dilation
            if 0 <= first < axis.output_size and tap >= axis.kernel and axis.readers(position):
                p = position - axis.before
                text = (
                    f"Rounded down, as the bound is published, it is i = {first} for p = {p} along the {name}: a "
                    f"window that ends before the entry. Its tap would be {tap}, and the last tap is {axis.kernel - 1}."
                )
                seen = {i: f"tap {a}" for i, a in axis.readers(position)}
                wrong = {first: f"tap {tap}: there is none"}
                return [*blocks, Paragraph(text), _windows(axis, position, seen, wrong)]
    stays = "On this layer both roundings give the same: it shows where the stride is above 1."
    return [*blocks, Paragraph(stays)]


def _windows(axis: Axis, position: int, seen: Mapping[int, str], wrong: Mapping[int, str]) -> Drawing:
    """Draw windows below the positions of an axis, tap by tap, and say what each does with an entry."""
    outputs = sorted({*seen, *wrong})
    start = max(0, min(min(outputs) * axis.stride, position))
    stop = max(max(outputs) * axis.stride + axis.effective_kernel, position + 1)
    if stop - start > _WIDEST:
        start = max(start, position - _WIDEST // 2)
        stop = min(stop, start + _WIDEST)
    label = max(len(f"window {i}") for i in outputs)

    def row(name: str, cells: Callable[[int], str], note: str = "") -> str:
        return f"{name:<{label}}  {' '.join(f'{cells(q):>3}' for q in range(start, stop))}  {note}".rstrip()

    def taps(i: int) -> Callable[[int], str]:
        window = axis.window(i)
        return lambda q: str(window.index(q)) if q in window else "."

    lines = [
        row("X", lambda q: str(q - axis.before) if 0 <= q - axis.before < axis.size else "pad"),
        row("", lambda q: "|" if q == position else "", "the entry"),
    ]
    for i in outputs:
        told = f"WRONG: {wrong[i]}" if i in wrong else f"right: {seen[i]}"
        lines.append(row(f"window {i}", taps(i), told))
    return Drawing(tuple(lines))


def _regroup(layer: Layer) -> list[Block]:
    """T1: from F filters of depth C to C filters of depth F."""
    depth, count = layer.channels_per_group, layer.filters_per_group
    groups = f" in each of {layer.groups} groups" if layer.groups > 1 else ""
    text = (
        f"Forward there are {count} filters of depth {depth}{groups}. Backward, every input channel gets a filter of "
        f"its own: {depth} filters of depth {count}, made of the slices that the forward filters apply to that "
        "channel, each rotated by 180 degrees. This is a new tensor with the last two axes exchanged, not w with its "
        "indices renamed: with as many filters as channels the unexchanged one runs, and is wrong."
    )
    formula = Formula(("w'[a, f, c] = w[k-1-a, c, f]",), (r"w'_{a,f,c} &= w_{k-1-a,\,c,\,f}",))
    return [Paragraph(text), formula, *_slide(layer)]


def _discard(layer: Layer) -> list[Block]:
    """T2: what to do with indices that are out of range, and what clamping them lets in."""
    text = (
        "A pair (i, a) whose output does not exist is discarded. To clamp its index to 0, as in max(0, p - a), counts "
        "the first row and column several times; to let it wrap round counts the last ones."
    )
    blocks: list[Block] = [Paragraph(text), _bounds(layer)]
    for name, axis in zip(AXIS_NAMES[len(layer.axes)], layer.axes, strict=True):
        for position in range(axis.before, axis.before + axis.size):
            clamped = [a for a in range(axis.kernel) if position < a * axis.dilation]
            if clamped and axis.readers(position):
                p = position - axis.before
                which = f"tap{'s' if len(clamped) > 1 else ''} {', '.join(map(str, clamped))}"
                told = (
                    f"Along the {name}, p = {p} would be read through {which} by windows that begin before the first. "
                    "Clamped to 0 as published, each of them is counted as window 0, which reads p through another tap "
                    "or not at all."
                )
                seen = {i: f"tap {a}" for i, a in axis.readers(position)}
                wrong = {
                    (position - a * axis.dilation) // axis.stride: f"tap {a}; clamped to window 0" for a in clamped
                }
                return [*blocks, Paragraph(told), _windows(axis, position, seen, wrong)]
    return [*blocks, Paragraph("On this layer no index is clamped: every window begins in front of every entry.")]


def _slide(layer: Layer, given: str = "dL/dO", entry: str = "input entry") -> list[Block]:
    """T3: dilate, pad, flip."""
    return [
        Paragraph(f"Dilate {given}: put s - 1 zeros between neighbours, so that windows s apart become neighbours:"),
        Formula.of_sizes(dilation_lines(layer)),
        Paragraph(f"Pad it to full size, so that the kernel reaches every {entry} (a negative number is a crop):"),
        Formula.of_sizes(padding_lines(layer)),
        Paragraph(
            f"Flip the kernel ({turned(layer).replace('°', ' degrees')}), since tap a moves what is handed back "
            "forward by a; slide it:"
        ),
        Formula.of_sizes(crop_lines(layer)),
    ]


def _unfold(layer: Layer) -> list[Block]:
    """T4: three matrices."""
    rows, columns = layer.channels_per_group * prod(layer.kernel), prod(layer.output)
    each = " (per group)" if layer.groups > 1 else ""
    shapes = (
        ("W~", f"{layer.filters_per_group} × {rows}", f"a row per filter{each}"),
        ("X~", f"{rows} × {columns}", "a column per window, a row per channel and tap"),
        ("dL/dO", f"{layer.filters_per_group} × {columns}", "a row per filter"),
    )
    formula = Formula(("O = W~ X~ + b", "dL/dX~ = W~ᵀ dL/dO", "dL/dX = fold(dL/dX~)"), (
        r"O &= \tilde W \tilde X + b",
        r"\frac{\partial L}{\partial \tilde X} &= \tilde W^\top \frac{\partial L}{\partial O}",
        r"\frac{\partial L}{\partial X} &= \mathrm{fold}\left(\frac{\partial L}{\partial \tilde X}\right)",
    ))  # fmt: skip
    text = (
        f"dL/dX~ is {rows} × {columns}, and not yet dL/dX, which is {layer.channels_per_group} × {times(layer.input)}: "
        "fold it back, adding up the copies of every entry and dropping what lies on padding."
    )
    return [Table(("matrix", "shape", "which is"), shapes), formula, Paragraph(text)]


#: By the name of the notation.
_ROUTES: Mapping[str, Callable[[Layer], list[Block]]] = {
    "own": _own, "index-sums": _index_sums, "channels-last": _regroup, "same-size": _discard, "dilate-flip": _slide,
    "unfold": _unfold,
}  # fmt: skip
