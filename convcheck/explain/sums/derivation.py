"""Layer -> Document: the backward pass of a layer, step by step, on the route that a text takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from convcheck.explain.pictures.selection import require_plain
from convcheck.explain.pictures.sizes import AXIS_NAMES, crop_lines, dilation_lines, padding_lines, times, turned
from convcheck.explain.sums.notation import Notation
from convcheck.explain.sums.writers import Block, Document, Drawing, Formula, Heading, Paragraph, Table
from convcheck.layer.axis import Axis
from convcheck.layer.layer import Layer
from convcheck.layer.words import forward_geometry

#: Positions that a drawing of windows has at most.
_WIDEST = 8

#: The letters of the sizes along an axis.
_LETTERS = (
    "n: size of the input, k: size of the kernel, s: stride, d: dilation",
    "P = n + before + after: padded size",
    "e = d(k - 1) + 1: samples that a window spans",
    "m = (P - e) div s + 1: outputs",
    "r = (P - e) mod s: the remainder, samples at the end that no window reads",
)


def document(layer: Layer, notation: Notation) -> Document:
    """Derive the backward pass of a layer."""
    require_plain(layer)
    # The numbers of every axis, and how many outputs read an entry.
    sizes, readers = [], []
    for name, a in zip(AXIS_NAMES[len(layer.axes)], layer.axes, strict=True):
        numbers = (a.size, a.before, a.after, a.padded_size, a.kernel, a.stride, a.dilation)
        sizes.append((name, *map(str, (*numbers, a.effective_kernel, a.output_size, a.remainder))))
        counts = [len(a.readers(p + a.before)) for p in range(a.size)]
        readers.append((name, str(min(counts)), str(max(counts)), str(counts.count(0))))
    size_head = ("", "n", "before", "after", "P", "k", "s", "d", "e", "m", "r")
    blocks: list[Block] = [
        Paragraph(f"{', '.join(forward_geometry(layer))}."),
        Paragraph(f"Notation: {notation.about} Indices count from 0; what is out of range counts as zero."),
        Heading("1. Forward"),
        notation.formula("output", layer),
        Table(size_head, tuple(sizes)),
        Formula.of_sizes(_LETTERS),
        Heading("2. The chain rule"),
        Paragraph(
            "An entry of X changes the loss through every output that reads it, each by the tap through which it is "
            "read; so the gradients of those outputs, times those taps, add up. Along an axis, output i reads padded "
            "position q through tap a exactly if i·s + a·d = q."
        ),
        Table(("", "fewest outputs that read an entry", "most", "entries that none reads"), tuple(readers)),
        Heading("3. The gradient of the input"),
        notation.formula("input", layer),
        *_ROUTES[notation.name](layer),
        Heading("4. The gradient of the weights"),
        notation.formula("weight", layer),
    ]
    if notation.name == "unfold":
        latex = r"\frac{\partial L}{\partial \tilde W} &= \frac{\partial L}{\partial O} \tilde X^\top"
        blocks += [Formula(("dL/dW~ = dL/dO X~ᵀ",), (latex,)), Paragraph(f"Summed over {layer.batch} sample(s).")]
    else:
        text = (
            f"Tap a meets one input sample in every one of the {times(layer.output)} windows: lay the dilated dL/dO "
            f"over the padded input, a·d from its corner, multiply and add up, over the {layer.batch} sample(s) of the "
            "batch."
        )
        remainder = [axis.remainder for axis in layer.axes]
        if any(remainder):
            text += (
                f" The last {times(remainder)} padded samples (the remainder) are met by no window and do not count."
            )
        blocks.append(Paragraph(text))
    if layer.bias:
        outputs = f"each of the {times(layer.output)} outputs of {layer.batch} sample(s)"
        blocks += [
            Heading("5. The gradient of the bias"),
            notation.formula("bias", layer),
            Paragraph(f"The bias enters {outputs} once, with factor 1."),
        ]
    return Document(f"The backward pass of layer {layer.name}", tuple(blocks))


def _bounds(layer: Layer) -> Formula:
    lines = []
    for name, a in zip(AXIS_NAMES[len(layer.axes)], layer.axes, strict=True):
        lower = f"max(0, ceil((p + {a.before} - {a.effective_kernel - 1}) / {a.stride}))"
        upper = f"min({a.output_size - 1}, floor((p + {a.before}) / {a.stride}))"
        whole = f" / {a.dilation}, where that is whole" if a.dilation > 1 else ""
        lines.append(f"{name}: i from {lower} to {upper}, a = (p + {a.before} - {a.stride}i){whole}")
    return Formula.of_sizes(lines)


def _own(layer: Layer) -> list[Block]:
    """The field's own way: bounds of the sum, and the same as a convolution."""
    return [*_bounded(layer), Paragraph("The same, for all entries at once, as a convolution:"), *_slide(layer)]


def _bounded(layer: Layer) -> list[Block]:
    text = (
        "Solved for i, the sum has bounds. The lower one is rounded up (down would reach past the kernel's end when "
        "the stride is above 1), and both are clipped to the outputs that exist."
    )
    return [Paragraph(text), _bounds(layer)]


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


def _slide(layer: Layer) -> list[Block]:
    """T3: dilate, pad, flip."""
    return [
        Paragraph("Dilate dL/dO: put s - 1 zeros between neighbours, so that windows s apart become neighbours:"),
        Formula.of_sizes(dilation_lines(layer)),
        Paragraph("Pad it to full size, so that the kernel reaches every input entry (a negative number is a crop):"),
        Formula.of_sizes(padding_lines(layer)),
        Paragraph(
            f"Flip the kernel ({turned(layer).replace('°', ' degrees')}), since tap a moves an output's gradient "
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
