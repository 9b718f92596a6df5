"""dL/dX: dilate, pad, flip, slide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Index, Kind, Panel, Story, overview, scale_of
from convcheck.explain.pictures.selection import Selection, readers
from convcheck.explain.pictures.window import Window, full_kinds, input_kinds, window_of
from convcheck.gradients.dilate_flip import correlate, dilated_gradient, full_gradient, rotated_kernel
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer


def story(layer: Layer, weight: Array, grad_output: Array, chosen: Selection) -> Story:
    """Tell how dL/dX comes about: dL/dO, dilated, padded, the flipped kernel, the result.

    Parameters
    ----------
    weight : array, shape (F, C/groups, *kernel)
    grad_output : array, shape (N, F, *output)
    """
    arrays, window = InputGradient.of(layer, weight, grad_output, chosen), window_of(layer, chosen)
    entry, panels = chosen.place, panels_of(arrays, window)
    shown = [panel for panel in panels if panel]
    if shown[-1].partial:
        title = f"All of dL/dX, {sizes.times(layer.input)}"
        shown.append(overview(shown[-1], arrays.total, str(int(shown[-1].number) + 1), title))
    return Story(
        name="input-gradient",
        title="The input gradient dL/dX: dilate and pad dL/dO, flip the kernel, slide",
        intro=(
            "Forward, each output is a window of the input times the kernel. Backward, each input entry collects from "
            "every output whose window it was in, each time through another tap: sliding the flipped kernel over the "
            "dilated and padded dL/dO does just that.",
        ),
        panels=tuple(shown),
        example=tuple(
            f"Outlined: {line}." if number == 0 else f"{line}." for number, line in enumerate(arrays.sums(entry))
        ),
    )


@dataclass(frozen=True, eq=False)
class InputGradient:
    """The arrays of one slice of the computation of dL/dX, as `dilate_flip` makes them.

    Attributes
    ----------
    grad_output, dilated : array
        dL/dO of the chosen sample and filter, and what becomes of it.
    all_full, all_rotated : array, shape (F/groups, *full) and (F/groups, *kernel)
        For every filter of the group: the dilated and padded dL/dO, and the flipped slice of W for the chosen channel.
    inside : int
        The chosen filter within its group.
    kernel : array
        The slice of W between the chosen channel and filter.
    part, total : array
        What the chosen filter contributes to dL/dX, and what all filters of the group do.
    """

    layer: Layer
    selection: Selection
    grad_output: Array
    dilated: Array
    all_full: Array
    all_rotated: Array
    inside: int
    kernel: Array
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
            layer, chosen, outputs[0, inside], dilated_gradient(layer, outputs)[0, inside], full[0], rotated, inside,
            weight[chosen.filter, chosen.channel % layer.channels_per_group],
            slide(slice(inside, inside + 1)), slide(slice(None)),
        )  # fmt: skip

    @property
    def full(self) -> Array:
        """The dilated and padded dL/dO of the chosen filter."""
        plane: Array = self.all_full[self.inside]
        return plane

    @property
    def rotated(self) -> Array:
        """The slice of W between the chosen channel and filter, flipped."""
        kernel: Array = self.all_rotated[self.inside]
        return kernel

    def parts(self, entry: Index) -> list[float]:
        """What every filter of the group contributes to an entry of dL/dX."""
        under = tuple(
            slice(p, p + axis.effective_kernel, axis.dilation) for p, axis in zip(entry, self.layer.axes, strict=True)
        )
        products = self.all_full[(slice(None), *under)] * self.all_rotated
        found: list[float] = products.reshape(len(products), -1).sum(axis=1, dtype=np.float64).tolist()
        return found

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

    def sums(self, entry: Index) -> list[str]:
        """Write an entry of dL/dX out: the products of the chosen filter, and the parts of all filters added up."""
        products, value = sizes.sum_text(self.terms(entry)), sizes.number(float(self.part[entry]))
        equation = f"{products} = {value}" if self.terms(entry) else "0 (only zeros under the kernel)"
        name = f"dL/dX{sizes.at(entry)}"
        parts = self.parts(entry)
        if len(parts) == 1:
            return [f"{name} = {equation}"]
        first = self.selection.filter - self.inside
        filters = f"filters {first} to {first + len(parts) - 1}"
        return [
            f"filter {self.selection.filter}'s part of {name} = {equation}",
            f"Added up over {filters}: {name} = {sizes.parts_text(parts)}",
        ]


class Panels(NamedTuple):
    """The panels in the order in which they are read.

    `part` is what the chosen filter contributes to dL/dX, and `total` what all do; with one filter there is no total.
    `spread` is the flipped kernel with its holes, where it is dilated.
    """

    grad_output: Panel
    dilated: Panel
    full: Panel
    kernel: Panel
    rotated: Panel
    spread: Panel | None
    part: Panel
    total: Panel | None


def panels_of(arrays: InputGradient, window: Window) -> Panels:
    """Show the arrays in a window; outlined is what belongs to the entry of dL/dX that is worked out."""
    layer, chosen, entry = arrays.layer, arrays.selection, arrays.selection.place
    outputs = [output for output, _ in readers(layer, entry)]
    meeting = arrays.meeting(entry)
    # dL/dO, dilated, and padded.
    scale = scale_of(arrays.grad_output)
    grad_output = Panel.of(
        "1", "dL/dO: what the next layer hands back",
        [f"{sizes.times(layer.output)}, sample {chosen.sample}, filter {chosen.filter}"],
        arrays.grad_output, window.output, scale=scale, outlined=outputs,
    )  # fmt: skip
    dilated = Panel.of(
        "2", "The dilated dL/dO", [_inserted(layer), *sizes.dilation_lines(layer)], arrays.dilated, window.dilated,
        kinds=full_kinds(layer, padded=False), scale=scale,
        outlined=[tuple(i * s for i, s in zip(output, layer.stride, strict=True)) for output in outputs],
    )  # fmt: skip
    crops = any(amount < 0 for axis in layer.axes for amount in axis.full_padding)
    full = Panel.of(
        "3", "The dilated and padded dL/dO",
        ["padded and cropped to full size" if crops else "padded to full size", *sizes.padding_lines(layer)],
        arrays.full, window.full, kinds=full_kinds(layer, padded=True), scale=scale,
        outlined=[cell for cell, _ in meeting],
    )  # fmt: skip
    reach = tuple(axis.effective_kernel - 1 for axis in layer.axes)
    under = entry, tuple(i + more for i, more in zip(entry, reach, strict=True))
    # The kernel before and after the turn, which its lettered corners show; an axis of size 1 has one end.
    ends = product(*((0, k - 1) if k > 1 else (0,) for k in layer.kernel))
    letters = {place: chr(ord("A") + rank) for rank, place in enumerate(ends)}
    turned = {
        tuple(k - 1 - a for k, a in zip(layer.kernel, place, strict=True)): name for place, name in letters.items()
    }
    single = max(layer.kernel) == 1
    lines = ["a single tap: nothing to turn" if single else f"{sizes.turned(layer)}: follow the lettered corners"]
    size = f"{sizes.times(layer.kernel)}, from channel {chosen.channel} to filter {chosen.filter}"
    scale, spread = scale_of(arrays.kernel), None
    kernel = Panel.of("4a", "W: the kernel as it goes forward", [size], arrays.kernel, scale=scale)
    rotated = Panel.of(
        "4b", "The flipped kernel: W as it goes backward", lines, arrays.rotated, scale=scale,
        outlined=[tap for _, tap in meeting],
    )  # fmt: skip
    slides = "4b"
    if max(layer.dilation) > 1 and not single:
        places = {
            tap: tuple(a * d for a, d in zip(tap, layer.dilation, strict=True)) for tap in np.ndindex(*layer.kernel)
        }
        holes = np.full([more + 1 for more in reach], Kind.HOLE, np.int8)
        values = np.zeros(holes.shape)
        for tap, place in places.items():
            values[place], holes[place] = arrays.rotated[tap], Kind.VALUE
        slides = "4c"
        spread = Panel.of(
            "4c", "The flipped kernel with its holes",
            [f"dilation {sizes.times(layer.dilation)}: this is what slides", sizes.times(values.shape)],
            values, kinds=holes, scale=scale, outlined=[places[tap] for _, tap in meeting],
        )  # fmt: skip
    # The result: of one filter, and of all.
    where, kinds = f"sample {chosen.sample}, channel {chosen.channel}", input_kinds(layer)
    sliding, total = f"slide {slides} over 3, one product sum per place", None
    if layer.filters_per_group == 1:
        title, lines = "dL/dX", [sliding, *sizes.crop_lines(layer), where]
    else:
        title, lines = f"Filter {chosen.filter}'s part of dL/dX", [sliding, *sizes.crop_lines(layer), where]
        summed = f"sum over the {layer.filters_per_group} filters" + (" of the group" if layer.groups > 1 else "")
        total = Panel.of(
            "6", f"dL/dX: {summed}", [sizes.times(layer.input), where], arrays.total, window.input, kinds=kinds,
            outlined=[entry],
        )  # fmt: skip
    part = Panel.of("5", title, lines, arrays.part, window.input, kinds=kinds, outlined=[entry])
    return Panels(
        grad_output, dilated, replace(full, framed=(under,)), replace(kernel, corners=letters),
        replace(rotated, corners=turned), spread, part, total,
    )  # fmt: skip


def _inserted(layer: Layer) -> str:
    """Say how many zeros stand between neighbours."""
    gaps = [s - 1 for s in layer.stride]
    if not any(gaps):
        return "stride 1: no zeros to insert"
    if len(set(gaps)) == 1:
        return f"{gaps[0]} {'zero' if gaps[0] == 1 else 'zeros'} inserted between neighbours (stride {layer.stride[0]})"
    parts = [f"{gap} between {name}" for gap, name in zip(gaps, sizes.AXIS_NAMES[len(gaps)], strict=True)]
    return f"stride − 1 zeros inserted: {', '.join(parts)}"
