"""The unfolded input: every window a column, so that one input entry stands in it several times."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.common import PRODUCTS, at, axis_names, bracketed, no_kinds, plus, scale_of
from convcheck.explain.pictures.panel import Index, Kind, Kinds, Panel, Story
from convcheck.explain.pictures.window import Selection, cut, leading, most_read, padded_kinds, window_of
from convcheck.gradients.dilate_flip import padded_input
from convcheck.gradients.unfold import unfold
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer

#: Rows and columns of the unfolded matrix that are shown.
_ROWS, _COLUMNS = 16, 16


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
    readers = product(*(axis.readers(p + axis.before) for axis, p in zip(layer.axes, entry, strict=True)))
    copies = [(tuple(a for _, a in pairs), tuple(i for i, _ in pairs)) for pairs in readers]
    view = _View(
        _choose(list(np.ndindex(*layer.kernel)), [tap for tap, _ in copies], _ROWS),
        _choose(list(np.ndindex(*layer.output)), [output for _, output in copies], _COLUMNS),
        copies,
    )
    gradient = _grad_columns(layer, weight, grad_output, chosen)
    columns, kinds = _unfolded(layer, x, chosen)
    return Story(
        name="unfold",
        title="Unfold: the convolution as a matrix product, and back",
        intro=(
            "O = W~ X~, where column i of X~ holds what window i reads. An entry that several windows read stands in "
            "X~ several times. Backward, each copy gets a gradient of its own; folding adds the copies up.",
        ),
        panels=(
            _input_panel(layer, x, chosen, entry),
            view.panel(layer, "2", "X~: one column per window, one row per tap", columns, kinds),
            view.panel(layer, "3", "dL/dX~ = W~ᵀ dL/dO: a gradient per copy", gradient, no_kinds(gradient)),
        ),
        example=(_example(view, layer, gradient, at(entry)),),
    )


def _example(view: _View, layer: Layer, gradient: Array, name: str) -> str:
    """Add the copies up, as `fold` does."""
    values = [
        float(gradient[np.ravel_multi_index(t, layer.kernel), np.ravel_multi_index(o, layer.output)])
        for t, o in view.copies
    ]
    listed = plus([bracketed(value) for value in values[:PRODUCTS]], len(values))
    shown, total = len(view.cells), len(view.copies)
    which = f"the {total} copies" if shown == total else f"{shown} of the {total} copies"
    return f"Outlined: {which} of X{name}. Folding: dL/dX{name} = {listed} = {sizes.number(sum(values))}."


@dataclass(frozen=True)
class _View:
    """The rows and columns that are shown, by tap and output, and where the copies of one entry stand."""

    taps: list[Index]
    outputs: list[Index]
    copies: list[tuple[Index, Index]]

    @property
    def cells(self) -> frozenset[Index]:
        """Row and column, in what is shown, of every copy that is shown."""
        return frozenset(
            (self.taps.index(tap), self.outputs.index(output))
            for tap, output in self.copies
            if tap in self.taps and output in self.outputs
        )

    def panel(self, layer: Layer, number: str, title: str, matrix: Array, kinds: Kinds) -> Panel:
        """The shown part of a matrix, one row per tap and one column per output."""
        rows = [int(np.ravel_multi_index(tap, layer.kernel)) for tap in self.taps]
        order = np.ix_(rows, [int(np.ravel_multi_index(output, layer.output)) for output in self.outputs])
        values = matrix[order]
        lines = [f"{matrix.shape[0]} taps × {matrix.shape[1]} windows (of this channel and sample)"]
        if values.shape != matrix.shape:
            lines.append(f"shown: {values.shape[0]} taps and {values.shape[1]} windows; the labels say which")
        return Panel(
            number=number,
            title=title,
            lines=tuple(lines),
            values=values,
            kinds=kinds[order],
            names=("tap", "window"),
            start=(0, 0),
            shape=values.shape,
            scale=scale_of(values),
            outlined=self.cells,
            labels=(tuple(map(_label, self.taps)), tuple(map(_label, self.outputs))),
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
