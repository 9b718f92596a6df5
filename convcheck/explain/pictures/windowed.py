"""Windows times the kernel: the output of a plain layer, and dL/dX of a transposed one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Index, Panel, near, overview
from convcheck.explain.pictures.roles import PLAIN, TWIN, Roles
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.pictures.window import input_panel
from convcheck.gradients.dilate_flip import correlate, padded_input
from convcheck.layer.arrays import Array, at_sites
from convcheck.layer.layer import Layer


@dataclass(frozen=True, eq=False)
class Windowed:
    """The arrays of one slice of a correlation with the kernel as it is.

    Attributes
    ----------
    layer : Layer
        Plain; the twin of a transposed one.
    inside, first : int
        The chosen channel within its group, and the group's first.
    padded : array, shape (C/groups, *padded)
        What the windows are cut from, with its padding.
    kernels, parts : array, shape (C/groups, *kernel) and (C/groups, *output)
        The kernel of every channel, and what it contributes.
    values : array, shape (*output)
        All of them and the bias, added up.
    """

    layer: Layer
    selection: Selection
    roles: Roles
    inside: int
    first: int
    padded: Array
    kernels: Array
    parts: Array
    bias: float | None
    values: Array

    @classmethod
    def of(cls, layer: Layer, x: Array, weight: Array, chosen: Selection, bias: Array | None = None) -> Self:
        """Run the formulation on the chosen slice of a layer; of a transposed one, with its dL/dO for the input."""
        roles = PLAIN
        if layer.transposed:
            layer, chosen, roles = layer.twin, chosen.of_twin, TWIN
        n, f, depth = chosen.sample, chosen.filter, layer.channels_per_group
        first = f // layer.filters_per_group * depth
        padded = padded_input(layer, x[n : n + 1, first : first + depth])
        # Of a twin, more windows may fit than there are. Every channel for itself: a group of one channel, one filter.
        reached = padded[at_sites(slice(axis.padded_size - axis.remainder) for axis in layer.axes)]
        image, kernel = reached[:, :, np.newaxis], weight[f][:, np.newaxis, np.newaxis]
        parts: Array = correlate(image, kernel, layer.stride, layer.dilation)[0, :, 0]
        added = None if bias is None else float(bias[f])
        values = parts.sum(axis=0) + (added or 0.0)
        return cls(layer, chosen, roles, chosen.channel - first, first, padded[0], weight[f], parts, added, values)

    def cells(self, output: Index) -> dict[Index, Index]:
        """The padded places that a window holds, by their taps."""
        windows = [axis.window(i) for axis, i in zip(self.layer.axes, output, strict=True)]
        return {
            tap: tuple(window[a] for window, a in zip(windows, tap, strict=True))
            for tap in np.ndindex(*self.layer.kernel)
        }

    def sums(self, output: Index) -> list[str]:
        """Write an output out: the products of the chosen channel, and the parts of all channels and the bias."""
        name, word = f"{self.roles.output}{sizes.at(output)}", self.roles.channel
        factors = [
            (float(self.padded[(self.inside, *cell)]), float(self.kernels[(self.inside, *tap)]))
            for tap, cell in self.cells(output).items()
        ]
        products = f"{sizes.sum_text(factors)} = {sizes.number(float(self.parts[(self.inside, *output)]))}"
        addends = [float(one[output]) for one in self.parts] + ([] if self.bias is None else [self.bias])
        if len(addends) == 1:
            return [f"{name} = {products}"]
        depth = len(self.parts)
        which = f"{word}s {self.first} to {self.first + depth - 1}" if depth > 1 else f"{word} {self.first}"
        which += " and the bias" if self.bias is not None else ""
        return [
            f"{word} {self.selection.channel}'s part of {name} = {products}",
            f"Added up over {which}: {name} = {sizes.parts_text(addends)}",
        ]

    def panels(self) -> list[Panel]:
        """Show the arrays, in the order in which they are read; outlined is what belongs to the output worked out."""
        layer, chosen, roles, output = self.layer, self.selection, self.roles, self.selection.output
        cells, result = self.cells(output), roles.output
        ends = tuple(cells.values())
        under = input_panel(layer, self.padded[self.inside], chosen, roles)
        frame = f"the frame: the window of {'output' if roles is PLAIN else result} {sizes.at(output)}"
        under = replace(
            under, outlined=frozenset(ends if max(layer.dilation) > 1 else ()), framed=((ends[0], ends[-1]),),
            lines=(*under.lines, frame),
        )  # fmt: skip
        between = f"from channel {chosen.channel} to filter {chosen.filter}"
        if roles is TWIN:
            between = f"from channel {chosen.filter} to filter {chosen.channel}, as it is"
        apart = [f"its taps are {sizes.times(layer.dilation)} apart (dilation)"] if max(layer.dilation) > 1 else []
        depth = len(self.parts)
        whole = f"{result}: sum over the {depth} {roles.channel}s" if depth > 1 else result
        whole += ", and the bias" if self.bias is not None else ""
        made = Panel.of(
            "3", whole, [sizes.times(layer.output), f"sample {chosen.sample}, {roles.filter} {chosen.filter}"],
            self.values, near(layer.output, output), outlined=[output],
        )  # fmt: skip
        kernel = Panel.of("2", "W: the kernel", [f"{sizes.times(layer.kernel)}, {between}", *apart],
                          self.kernels[self.inside])  # fmt: skip
        panels = [under, kernel, made]
        if made.partial:
            panels.append(overview(made, self.values, "4", f"All of {result}, {sizes.times(layer.output)}"))
        return panels
