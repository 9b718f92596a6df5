"""The unfolded input: every window a column, so that one input entry stands in it several times."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Index, Kind, Kinds, Panel, Story
from convcheck.explain.pictures.window import Selection, input_panel, most_read, readers, window_of
from convcheck.gradients.dilate_flip import padded_input
from convcheck.gradients.unfold import unfold
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer

#: Rows and columns of the unfolded matrix that are shown.
_ROWS, _COLUMNS = 16, 16


def story(layer: Layer, x: Array, weight: Array, grad_output: Array, chosen: Selection) -> Story:
    """Tell how the backward pass becomes matrix products: the unfolded input, with the copies of one entry marked.

    Parameters
    ----------
    x : array, shape (N, C, *input)
    weight : array, shape (F, C/groups, *kernel)
    grad_output : array, shape (N, F, *output)
    """
    # The rows of X~ and of dL/dX~ = W~ᵀ dL/dO that belong to the chosen channel.
    one = x[chosen.sample : chosen.sample + 1]
    group, inside = divmod(chosen.channel, layer.channels_per_group)
    rows = slice(inside * prod(layer.kernel), (inside + 1) * prod(layer.kernel))
    columns, holds = (unfold(layer, array)[0, group, rows] for array in (one, np.ones_like(one)))
    filters = slice(group * layer.filters_per_group, (group + 1) * layer.filters_per_group)
    matrix = weight[filters, inside].reshape(layer.filters_per_group, -1)
    gradient: Array = matrix.T @ grad_output[chosen.sample, filters].reshape(layer.filters_per_group, -1)

    # Where the copies of the entry stand, and the rows and columns that are shown of the matrices.
    entry = most_read(layer, window_of(layer))
    copies = readers(layer, entry)
    read_by, through = [output for output, _ in copies], [tap for _, tap in copies]
    taps, outputs = _choose(layer.kernel, through, _ROWS), _choose(layer.output, read_by, _COLUMNS)
    cells = [(taps.index(t), outputs.index(o)) for o, t in copies if t in taps and o in outputs]

    def panel(number: str, title: str, matrix: Array, kinds: Kinds | None = None) -> Panel:
        order = np.ix_(_places(taps, layer.kernel), _places(outputs, layer.output))
        values = matrix[order]
        lines = [f"{matrix.shape[0]} taps × {matrix.shape[1]} windows (of this channel and sample)"]
        if values.shape != matrix.shape:
            lines.append(f"shown: {len(taps)} taps and {len(outputs)} windows; the labels say which")
        whole, kept = tuple(map(range, values.shape)), None if kinds is None else kinds[order]
        labels = (tuple(sizes.at(tap)[1:-1] for tap in taps), tuple(sizes.at(output)[1:-1] for output in outputs))
        return replace(Panel.of(number, title, lines, values, whole, kinds=kept, outlined=cells), labels=labels)

    padded = padded_input(layer, one[:, chosen.channel : chosen.channel + 1])[0, 0]
    place = tuple(p + axis.before for p, axis in zip(entry, layer.axes, strict=True))
    name, under = sizes.at(entry), input_panel(layer, padded, chosen)
    moved = [f"X{name} is at {sizes.at(place)} here"] if any(before for before, _ in layer.padding) else []
    # The copies added up, as `fold` does.
    values = gradient[_places(through, layer.kernel), _places(read_by, layer.output)].tolist()
    which = "the" if len(cells) == len(copies) else f"{len(cells)} of the"
    total = f"{sizes.sum_text([(value,) for value in values])} = {sizes.number(sum(values))}"
    return Story(
        name="unfold",
        title="Unfold: the convolution as a matrix product, and back",
        intro=(
            "O = W~ X~, where column i of X~ holds what window i reads. An entry that several windows read stands in "
            "X~ several times. Backward, each copy gets a gradient of its own; folding adds the copies up.",
        ),
        panels=(
            replace(under, lines=(*under.lines, *moved), outlined=frozenset([place])),
            panel(
                "2", "X~: one column per window, one row per tap", columns,
                np.where(holds, Kind.VALUE, Kind.BORDER).astype(np.int8),
            ),
            panel("3", "dL/dX~ = W~ᵀ dL/dO: a gradient per copy", gradient),
        ),
        example=(f"Outlined: {which} {len(copies)} copies of X{name}. Folding: dL/dX{name} = {total}.",),
    )  # fmt: skip


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
