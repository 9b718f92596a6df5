"""The convolution as matrix products: unfold, multiply, fold; every window is a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import prod

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Index, Kind, Kinds, Panel, Story, near
from convcheck.explain.pictures.roles import PLAIN, TWIN
from convcheck.explain.pictures.selection import Selection, readers
from convcheck.explain.pictures.window import input_kinds, input_panel, window_of
from convcheck.gradients.dilate_flip import padded_input
from convcheck.gradients.unfold import fold, unfold
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.wording import counted

#: Rows and columns of the matrices that are shown.
_TAPS, _WINDOWS, _FILTERS = 12, 12, 6


def story(layer: Layer, x: Array, weight: Array, grad_output: Array, chosen: Selection) -> Story:
    """Tell how the backward pass becomes matrix products: the matrices, with the copies of one entry marked.

    Of a transposed layer it is the forward pass that folds.

    Parameters
    ----------
    x : array, shape (N, C, *input)
    weight : array, shape (F, C/groups, *kernel), or of a transposed layer (C, F/groups, *kernel)
    grad_output : array, shape (N, F, *output)
    """
    roles, bias = PLAIN, ""
    if layer.transposed:
        bias = ", without the bias" if layer.bias else ""
        layer, chosen, roles, x, grad_output = layer.twin, chosen.of_twin, TWIN, grad_output, x
    given, back, result = roles.input, roles.grad_output, roles.grad_input
    # The rows of X~ and the columns of W~ that belong to the chosen channel; the rows of dL/dO are those of its group.
    n, one = chosen.sample, x[chosen.sample : chosen.sample + 1]
    group, inside = divmod(chosen.channel, layer.channels_per_group)
    rows = slice(inside * prod(layer.kernel), (inside + 1) * prod(layer.kernel))
    columns, holds = (unfold(layer, array)[0, group, rows] for array in (one, np.ones_like(one)))
    filters = slice(group * layer.filters_per_group, (group + 1) * layer.filters_per_group)
    kernel = weight[filters, inside].reshape(layer.filters_per_group, -1)
    outputs_of = grad_output[n, filters].reshape(layer.filters_per_group, -1)
    copies_of, products = kernel.T @ outputs_of, outputs_of @ columns.T
    folded = fold(layer.alike(channels=1, filters=1, groups=1, batch=1), copies_of[np.newaxis, np.newaxis])[0, 0]

    # Where the copies of the entry stand, and the rows and columns that are shown of the matrices.
    entry, copies = chosen.place, readers(layer, chosen.place)
    read_by, through = [output for output, _ in copies], [tap for _, tap in copies]
    taps, outputs = (
        _choose(layer.kernel, [chosen.tap, *through], _TAPS),
        _choose(layer.output, [chosen.output, *read_by], _WINDOWS),
    )
    (shown,) = near((layer.filters_per_group,), (chosen.filter - filters.start,), (_FILTERS,))
    one_filter, letter = roles.filter, roles.filter[0]
    numbers: dict[str, list[Index]] = {"tap": taps, "window": outputs}
    numbers[one_filter] = [(f + filters.start,) for f in shown]
    sides = {
        "tap": (_places(taps, layer.kernel), tuple(sizes.at(tap)[1:-1] for tap in taps)),
        "window": (_places(outputs, layer.output), tuple(sizes.at(output)[1:-1] for output in outputs)),
        one_filter: (list(shown), tuple(f"{letter}{f + filters.start}" for f in shown)),
    }

    def panel(
        number: str, title: str, down: str, across: str, matrix: Array, outlined: Sequence[tuple[Index, Index]],
        note: str = "", kinds: Kinds | None = None,
    ) -> Panel:  # fmt: skip
        order = np.ix_(sides[down][0], sides[across][0])
        values, kept = matrix[order], None if kinds is None else kinds[order]
        lines = [f"{counted(matrix.shape[0], down)} × {counted(matrix.shape[1], across)}", *([note] if note else [])]
        if values.shape != matrix.shape:
            lines.append(f"shown: {values.shape[0]} × {values.shape[1]}; the labels say which")
        cells = [
            (numbers[down].index(a), numbers[across].index(b))
            for a, b in outlined
            if a in numbers[down] and b in numbers[across]
        ]
        made = Panel.of(number, title, lines, values, tuple(map(range, values.shape)), kinds=kept, outlined=cells)
        return made.labelled((sides[down][1], sides[across][1]), (f"{down}s", f"{across}s"))

    padded = padded_input(layer, one[:, chosen.channel : chosen.channel + 1])[0, 0]
    held = list(product(*(axis.positions(p) for p, axis in zip(entry, layer.axes, strict=True))))
    name, under = sizes.at(entry), input_panel(layer, padded, chosen, roles)
    moved = [f"{given}{name} is at {' and '.join(map(sizes.at, held))} here"] if any(map(any, layer.padding)) else []
    at_copies = [(tap, output) for output, tap in copies]
    f, tap, unfolded = chosen.filter, chosen.tap, f"{given}~"
    added = f"copies added up, padding {'folded back' if layer.repeats_samples else 'dropped'}"
    read_from = "the unfolded input" if roles is PLAIN else f"{given}, unfolded"
    total = "" if layer.batch == 1 else f"sample {n}'s part; the samples' parts add up"
    terms = [float(copies_of[_places([t], layer.kernel)[0], _places([o], layer.output)[0]]) for o, t in copies]
    tap_name, w_row = sizes.at(tap), outputs_of[f - filters.start]
    factors = list(zip(w_row.tolist(), columns[_places([tap], layer.kernel)[0]].tolist(), strict=True))
    weight_value = sizes.number(float(products[f - filters.start, _places([tap], layer.kernel)[0]]))
    return Story(
        name="unfold",
        title="Unfold: the convolution as a matrix product, and back",
        intro=(_INTRO[roles], f"Shown is one {roles.channel}: its rows of {unfolded} and its columns of W~."),
        panels=(
            replace(under, lines=(*under.lines, *moved), outlined=frozenset(held)),
            panel(
                "2", f"{unfolded}: {read_from}", "tap", "window", columns, at_copies,
                kinds=np.where(holds, Kind.VALUE, Kind.BORDER).astype(np.int8),
            ),
            panel("3", "W~: the kernels as rows", one_filter, "tap", kernel, [((f,), tap)]),
            panel("4", f"{back} as a matrix", one_filter, "window", outputs_of, [((f,), o) for o in outputs]),
            panel("5", f"{result}~ = W~ᵀ {back}", "tap", "window", copies_of, at_copies, "a number per copy"),
            Panel.of(
                "6", f"{result} = fold({result}~){bias}", [sizes.times(layer.input), added], folded,
                window_of(layer, chosen).input, kinds=input_kinds(layer), outlined=[entry],
            ),
            panel("7", f"dL/dW~ = {back} {unfolded}ᵀ", one_filter, "tap", products, [((f,), tap)], total),
        ),
        example=(
            f"Outlined: {'the' if len(copies) != 1 else 'the only'} {_copies(len(copies))} of {given}{name}. Folding: "
            f"{result}{name} = {sizes.parts_text(terms) if terms else '0'}.",
            f"{one_filter.capitalize()} {f}, tap {tap_name}: row {letter}{f} of 4 times row {tap_name[1:-1]} of "
            f"{unfolded} gives dL/dW~ = "
            f"{sizes.sum_text(factors)} = {weight_value}.",
        ),
    )  # fmt: skip


_INTRO = {
    PLAIN: (
        "O = W~ X~, where column i of X~ holds what window i reads. An entry that several windows read stands in X~ "
        "several times. Backward, each copy gets a gradient of its own; folding adds the copies up."
    ),
    TWIN: (
        "Forward, W~ᵀ X gives a column for every entry of X: the window of O that it is handed out to. Folding adds up "
        "what overlaps. Backward, dL/dX = W~ dL/dO~, where column i of dL/dO~ holds the window of entry i."
    ),
}


def _copies(count: int) -> str:
    return "copy" if count == 1 else f"{count} copies"


def _choose(shape: Index, wanted: list[Index], limit: int) -> list[Index]:
    """Return at most ``limit`` indices in their order: those that are wanted, and the first of the others."""
    everything = list(np.ndindex(*shape))
    if len(everything) <= limit:
        return everything
    kept = list(dict.fromkeys(wanted))[:limit]
    kept += [index for index in everything[: 2 * limit] if index not in kept][: limit - len(kept)]
    return sorted(kept)


def _places(indices: list[Index], shape: Index) -> list[int]:
    """Rows of the unfolded matrix by tap, or columns by output."""
    return [int(np.ravel_multi_index(index, shape)) for index in indices]
