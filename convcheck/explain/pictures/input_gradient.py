"""dL/dX: dilate, pad, flip, slide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Index, Kind, Panel, Story, scale_of
from convcheck.explain.pictures.window import Selection, Window, full_kinds, most_read, readers, window_of
from convcheck.gradients.dilate_flip import correlate, dilated_gradient, full_gradient, rotated_kernel
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer


def story(layer: Layer, weight: Array, grad_output: Array, chosen: Selection) -> Story:
    """Tell how dL/dX comes about: dL/dO, zeros inserted, padded, the kernel turned, the result.

    Parameters
    ----------
    weight : array, shape (F, C/groups, *kernel)
    grad_output : array, shape (N, F, *output)
    """
    arrays, window = InputGradient.of(layer, weight, grad_output, chosen), window_of(layer)
    entry = most_read(layer, window)
    which = "dL/dX" if layer.filters_per_group == 1 else f"filter {chosen.filter}'s part of dL/dX"
    products, value = sizes.sum_text(arrays.terms(entry)), sizes.number(float(arrays.part[entry]))
    return Story(
        name="input-gradient",
        title="The input gradient dL/dX: insert zeros, pad, turn the kernel, slide",
        intro=(
            "Forward, each output is a window of the input times the kernel. Backward, each input entry collects from "
            "every output whose window it was in, each time through another tap: sliding the turned kernel over the "
            "spread-out dL/dO does just that.",
        ),
        panels=tuple(panel for panel in panels_of(arrays, window, entry) if panel),
        example=(
            f"Outlined: {which}{sizes.at(entry)} = {products} = {value}: "
            "outlined cells of 3 times the taps of 4b on them.",
        ),
    )


@dataclass(frozen=True, eq=False)
class InputGradient:
    """The arrays of one slice of the computation of dL/dX, as `dilate_flip` makes them.

    Attributes
    ----------
    grad_output, dilated, full : array
        dL/dO of the chosen sample and filter, and what becomes of it.
    kernel, rotated : array
        The slice of W between the chosen channel and filter, and the same rotated.
    part, total : array
        What the chosen filter contributes to dL/dX, and what all filters of the group do.
    """

    layer: Layer
    selection: Selection
    grad_output: Array
    dilated: Array
    full: Array
    kernel: Array
    rotated: Array
    part: Array
    total: Array

    @classmethod
    def of(cls, layer: Layer, weight: Array, grad_output: Array, chosen: Selection) -> InputGradient:
        """Run the formulation on the chosen slice."""
        per_group = layer.filters_per_group
        first = chosen.filter // per_group * per_group
        inside = chosen.filter - first
        outputs = grad_output[chosen.sample : chosen.sample + 1, first : first + per_group]
        full, rotated = full_gradient(layer, outputs), rotated_kernel(layer, weight)[chosen.channel]
        ones = [1] * len(layer.axes)

        def slide(filters: slice) -> Array:
            # One group, one channel of dL/dX.
            found: Array = correlate(
                full[:, np.newaxis, filters], rotated[np.newaxis, np.newaxis, filters], ones, layer.dilation
            )
            plane: Array = found[0, 0, 0]
            return plane

        return cls(
            layer, chosen, outputs[0, inside], dilated_gradient(layer, outputs)[0, inside], full[0, inside],
            weight[chosen.filter, chosen.channel % layer.channels_per_group], rotated[inside],
            slide(slice(inside, inside + 1)), slide(slice(None)),
        )  # fmt: skip

    def window_of_entry(self, entry: Index) -> list[tuple[Index, Index]]:
        """Pairs (cell of the full map, tap of the rotated kernel) that meet for an entry of dL/dX."""
        taps = product(*(range(k) for k in self.layer.kernel))
        return [
            (tuple(p + a * d for p, a, d in zip(entry, tap, self.layer.dilation, strict=True)), tap) for tap in taps
        ]

    def meeting(self, entry: Index) -> list[tuple[Index, Index]]:
        """Those of the pairs whose cell is a value: no inserted, remainder or border zero."""
        kinds = full_kinds(self.layer, padded=True)
        return [(cell, tap) for cell, tap in self.window_of_entry(entry) if kinds[cell] == Kind.VALUE]

    def terms(self, entry: Index) -> list[tuple[float, float]]:
        """Factors of every product that an entry adds up."""
        return [(float(self.full[cell]), float(self.rotated[tap])) for cell, tap in self.meeting(entry)]


class Panels(NamedTuple):
    """The panels in the order in which they are read.

    `part` is what the chosen filter contributes to dL/dX, and `total` what all do; with one filter there is no total.
    """

    grad_output: Panel
    dilated: Panel
    full: Panel
    kernel: Panel
    rotated: Panel
    part: Panel
    total: Panel | None


def panels_of(arrays: InputGradient, window: Window, entry: Index) -> Panels:
    """Show the arrays in a window; outlined is what belongs to one entry of dL/dX."""
    layer, chosen = arrays.layer, arrays.selection
    outputs = [output for output, _ in readers(layer, entry)]
    # dL/dO, dilated, and padded.
    scale = scale_of(arrays.grad_output)
    gaps = [s - 1 for s in layer.stride]
    if not any(gaps):
        inserted = "Stride 1: no zeros to insert"
    elif len(set(gaps)) == 1:
        zeros = "zero" if gaps[0] == 1 else "zeros"
        inserted = f"Insert {gaps[0]} {zeros} between neighbours (stride {layer.stride[0]})"
    else:
        names = sizes.AXIS_NAMES[len(gaps)]
        parts = [f"{gap} between {name}" for gap, name in zip(gaps, names, strict=True)]
        inserted = f"Insert stride − 1 zeros: {', '.join(parts)}"
    crops = any(amount < 0 for axis in layer.axes for amount in axis.full_padding)
    grad_output = Panel.of(
        "1", "dL/dO: what the next layer hands back",
        [f"{sizes.times(layer.output)}, sample {chosen.sample}, filter {chosen.filter}"],
        arrays.grad_output, window.output, scale=scale, outlined=outputs,
    )  # fmt: skip
    dilated = Panel.of(
        "2", inserted, sizes.dilation_lines(layer), arrays.dilated, window.dilated,
        kinds=full_kinds(layer, padded=False), scale=scale,
        outlined=[tuple(i * s for i, s in zip(output, layer.stride, strict=True)) for output in outputs],
    )  # fmt: skip
    full = Panel.of(
        "3", "Pad and crop to full size" if crops else "Pad to full size", sizes.padding_lines(layer),
        arrays.full, window.full, kinds=full_kinds(layer, padded=True), scale=scale,
        outlined=[cell for cell, _ in arrays.window_of_entry(entry)],
    )  # fmt: skip
    # The kernel before and after the turn, which its lettered corners show; an axis of size 1 has one end.
    ends = product(*((0, k - 1) if k > 1 else (0,) for k in layer.kernel))
    letters = {place: chr(ord("A") + rank) for rank, place in enumerate(ends)}
    turned = {
        tuple(k - 1 - a for k, a in zip(layer.kernel, place, strict=True)): name for place, name in letters.items()
    }
    lines = ["follow the lettered corners" if max(layer.kernel) > 1 else "a single tap: nothing to turn"]
    if max(layer.dilation) > 1:
        lines.append(f"when sliding, its taps are {sizes.times(layer.dilation)} apart (dilation)")
    size = f"{sizes.times(layer.kernel)}, from channel {chosen.channel} to filter {chosen.filter}"
    turn = "turned end for end" if len(layer.kernel) == 1 else "rotated by 180°"
    scale = scale_of(arrays.kernel)
    kernel = Panel.of("4a", "W: the kernel as it goes forward", [size], arrays.kernel, scale=scale)
    rotated = Panel.of(
        "4b", f"W {turn}, as it goes backward", lines, arrays.rotated, scale=scale,
        outlined=[tap for _, tap in arrays.meeting(entry)],
    )  # fmt: skip
    # The result: of one filter, and of all.
    where = f"sample {chosen.sample}, channel {chosen.channel}"
    total = None
    if layer.filters_per_group == 1:
        title, lines = "dL/dX: slide 4b over 3, one product sum per place", [*sizes.crop_lines(layer), where]
    else:
        title = "Slide 4b over 3, one product sum per place"
        lines = [*sizes.crop_lines(layer), f"filter {chosen.filter}'s part of dL/dX"]
        summed = f"sum over the {layer.filters_per_group} filters" + (" of the group" if layer.groups > 1 else "")
        total = Panel.of(
            "6", f"dL/dX: {summed}", [sizes.times(layer.input), where], arrays.total, window.input, outlined=[entry]
        )
    part = Panel.of("5", title, lines, arrays.part, window.input, outlined=[entry])
    return Panels(
        grad_output, dilated, full, replace(kernel, corners=letters), replace(rotated, corners=turned), part, total
    )
