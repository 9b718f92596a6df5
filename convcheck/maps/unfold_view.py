"""The unfolded input: every window a column, so that one input entry stands in it several times."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from convcheck.arrays import Array
from convcheck.formulations.dilate_flip import padded_input
from convcheck.formulations.unfold import unfold
from convcheck.layer import Layer
from convcheck.maps import sizes
from convcheck.maps.common import PRODUCTS, at, axis_names, bracketed, no_kinds, plus, scale_of
from convcheck.maps.panel import Index, Kind, Kinds, Panel, Story
from convcheck.maps.window import Selection, cut, leading, most_read, padded_kinds, window_of

__all__ = ["story"]

#: Rows and columns of the unfolded matrix that are shown.
_ROWS, _COLUMNS = 16, 12

Labels = tuple[tuple[str, ...], tuple[str, ...]]


def story(layer: Layer, x: Array, weight: Array, grad_output: Array, chosen: Selection) -> Story:
    """Tell how the backward pass becomes matrix products.

    Parameters
    ----------
    layer : Layer
    x : array, shape (N, C, *input)
    weight : array, shape (F, C/groups, *kernel)
    grad_output : array, shape (N, F, *output)
    chosen : Selection
    """
    entry = most_read(layer, window_of(layer))
    readers = list(product(*(axis.readers(p + axis.before) for axis, p in zip(layer.axes, entry, strict=True))))
    copies = [(tuple(a for _, a in pairs), tuple(i for i, _ in pairs)) for pairs in readers]
    taps = _choose(list(np.ndindex(*layer.kernel)), [tap for tap, _ in copies], _ROWS)
    outputs = _choose(list(np.ndindex(*layer.output)), [output for _, output in copies], _COLUMNS)
    columns, kinds = _unfolded(layer, x, chosen)
    gradient = _grad_columns(layer, weight, grad_output, chosen)
    cells = frozenset((taps.index(t), outputs.index(o)) for t, o in copies if t in taps and o in outputs)
    rows = [int(np.ravel_multi_index(t, layer.kernel)) for t in taps]
    order = np.ix_(rows, [int(np.ravel_multi_index(o, layer.output)) for o in outputs])
    labels = (tuple(_label(tap) for tap in taps), tuple(_label(output) for output in outputs))
    values = [gradient[np.ravel_multi_index(t, layer.kernel), np.ravel_multi_index(o, layer.output)] for t, o in copies]
    total = sizes.number(float(sum(values)))
    copied = _matrix(
        "2", "X~: one column per window, one row per tap", columns[order], kinds[order], cells, labels, columns.shape
    )
    back = _matrix(
        "3",
        "dL/dX~ = W~ᵀ dL/dO: a gradient per copy",
        gradient[order],
        no_kinds(gradient[order]),
        cells,
        labels,
        gradient.shape,
    )
    listed = plus([bracketed(float(v)) for v in values[:PRODUCTS]], len(values))
    return Story(
        name="unfold",
        title="Unfold: the convolution as a matrix product, and back",
        intro=(
            "O = W~ X~, where column i of X~ holds what window i reads. An entry that several windows read stands in "
            "X~ several times. Backward, each copy gets a gradient of its own; folding adds the copies up.",
        ),
        panels=(_input_panel(layer, x, chosen, entry), copied, back),
        example=(
            f"Outlined: the {len(copies)} copies of X{at(entry)}. Folding: dL/dX{at(entry)} = {listed} = {total}.",
        ),
    )


def _unfolded(layer: Layer, x: Array, chosen: Selection) -> tuple[Array, Kinds]:
    """Rows of X~ that belong to the chosen channel, and what each cell is."""
    group, inside = divmod(chosen.channel, layer.channels_per_group)
    rows = slice(inside * prod(layer.kernel), (inside + 1) * prod(layer.kernel))
    one = x[chosen.sample : chosen.sample + 1]
    holds = unfold(layer, np.ones_like(one))[0, group, rows]
    return unfold(layer, one)[0, group, rows], np.where(holds, Kind.VALUE, Kind.BORDER).astype(np.int8)


def _grad_columns(layer: Layer, weight: Array, grad_output: Array, chosen: Selection) -> Array:
    """Rows of dL/dX~ = W~ᵀ dL/dO that belong to the chosen channel."""
    group, inside = divmod(chosen.channel, layer.channels_per_group)
    filters = slice(group * layer.filters_per_group, (group + 1) * layer.filters_per_group)
    matrix = weight[filters, inside].reshape(layer.filters_per_group, -1)
    found: Array = matrix.T @ grad_output[chosen.sample, filters].reshape(layer.filters_per_group, -1)
    return found


def _choose(everything: list[Index], wanted: list[Index], limit: int) -> list[Index]:
    """Return at most ``limit`` indices in their order: those that are wanted, and the first of the others."""
    if len(everything) <= limit:
        return everything
    kept = list(dict.fromkeys(wanted))[:limit]
    kept += [index for index in everything[: 2 * limit] if index not in kept][: limit - len(kept)]
    return sorted(kept)


def _label(index: Index) -> str:
    return ",".join(map(str, index))


def _matrix(
    number: str, title: str, values: Array, kinds: Kinds, cells: frozenset[Index], labels: Labels, shape: Index
) -> Panel:
    rows, columns = shape
    lines = [f"{rows} taps × {columns} windows (of this channel and sample)"]
    if values.shape != shape:
        lines.append(f"shown: {values.shape[0]} taps and {values.shape[1]} windows; the labels say which")
    return Panel(
        number, title, tuple(lines), values, kinds, ("tap", "window"), (0, 0), values.shape, scale_of(values), cells,
        labels=labels,
    )  # fmt: skip


def _input_panel(layer: Layer, x: Array, chosen: Selection, entry: Index) -> Panel:
    padded = padded_input(layer, x[chosen.sample : chosen.sample + 1, chosen.channel : chosen.channel + 1])[0, 0]
    shown = leading(padded.shape)
    place = tuple(p + axis.before for p, axis in zip(entry, layer.axes, strict=True))
    title = "X with its padding" if any(map(any, layer.padding)) else "X: the input"
    lines = [*sizes.input_lines(layer), f"sample {chosen.sample}, channel {chosen.channel}"]
    if any(before for before, _ in layer.padding):
        lines.append(f"X{at(entry)} is at {at(place)} here")
    return Panel(
        "1", title, tuple(lines), cut(padded, shown), cut(padded_kinds(layer), shown), axis_names(layer),
        (0,) * padded.ndim, padded.shape, scale_of(cut(padded, shown)), frozenset([place]),
    )  # fmt: skip
