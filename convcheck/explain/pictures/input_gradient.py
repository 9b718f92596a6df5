"""dL/dX: dilate, pad, flip, slide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.common import at, axis_names, corners, no_kinds, scale_of, sum_text
from convcheck.explain.pictures.panel import Index, Kind, Panel, Story
from convcheck.explain.pictures.window import LIMIT, Selection, Window, cut, full_kinds, leading, most_read, window_of
from convcheck.gradients.dilate_flip import correlate, dilated_gradient, full_gradient, rotated_kernel
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer


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

    def terms(self, entry: Index) -> list[tuple[float, float]]:
        """Products of an entry, without those that are zero because of an inserted or border zero."""
        kinds = full_kinds(self.layer, padded=True)
        return [
            (float(self.full[cell]), float(self.rotated[tap]))
            for cell, tap in self.window_of_entry(entry)
            if kinds[cell] == Kind.VALUE
        ]


def story(layer: Layer, weight: Array, grad_output: Array, chosen: Selection, limit: int = LIMIT) -> Story:
    """Tell how dL/dX comes about, step by step.

    Parameters
    ----------
    layer : Layer
    weight : array, shape (F, C/groups, *kernel)
    grad_output : array, shape (N, F, *output)
    chosen : Selection
    limit : int
        Cells per axis up to which maps are shown whole.
    """
    arrays, window = InputGradient.of(layer, weight, grad_output, chosen), window_of(layer, limit)
    entry = most_read(layer, window)
    panels = [
        *_gradient_panels(arrays, window, entry),
        *_kernel_panels(arrays, entry),
        *_result_panels(arrays, window, entry),
    ]
    return Story(
        name="input-gradient",
        title="The input gradient dL/dX: insert zeros, pad, turn the kernel, slide",
        intro=(
            "Forward, each output is a window of the input times the kernel. Backward, each input entry collects from "
            "every output whose window it was in, each time through another tap: sliding the turned kernel over the "
            "spread-out dL/dO does just that.",
        ),
        panels=tuple(panels),
        example=(_example(arrays, entry),),
    )


def _gradient_panels(arrays: InputGradient, window: Window, entry: Index) -> list[Panel]:
    """dL/dO, dilated, and padded; outlined is what belongs to the entry."""
    layer, chosen = arrays.layer, arrays.selection
    read = product(*(axis.readers(p + axis.before) for axis, p in zip(layer.axes, entry, strict=True)))
    outputs = [tuple(i for i, _ in pairs) for pairs in read]
    spread = [tuple(i * s for i, s in zip(output, layer.stride, strict=True)) for output in outputs]
    cells = [cell for cell, _ in arrays.window_of_entry(entry)]
    size = [f"{sizes.times(layer.output)}, sample {chosen.sample}, filter {chosen.filter}"]
    own = no_kinds(arrays.grad_output)
    dilated_kinds, all_kinds = (full_kinds(layer, padded=padded) for padded in (False, True))
    dilation, padding = sizes.dilation_lines(layer), sizes.padding_lines(layer)
    panels = (
        ("dL/dO: what the next layer hands back", size, arrays.grad_output, own, window.output),
        (_dilation_title(layer), dilation, arrays.dilated, dilated_kinds, window.dilated),
        (_padding_title(layer), padding, arrays.full, all_kinds, window.full),
    )
    return [
        Panel(
            number=str(number),
            title=title,
            lines=tuple(lines),
            values=cut(values, shown),
            kinds=cut(kinds, shown),
            names=axis_names(layer),
            start=tuple(r.start for r in shown),
            shape=values.shape,
            scale=scale_of(arrays.grad_output),
            outlined=frozenset(outlined),
        )
        for number, (title, lines, values, kinds, shown), outlined in zip(
            (1, 2, 3), panels, (outputs, spread, cells), strict=True
        )
    ]


def _kernel_panels(arrays: InputGradient, entry: Index) -> list[Panel]:
    """The kernel before and after the turn; outlined are the taps that meet a value for the entry."""
    layer, chosen, shape = arrays.layer, arrays.selection, arrays.layer.kernel
    letters = corners(shape)
    kinds = full_kinds(layer, padded=True)
    meeting = frozenset(tap for cell, tap in arrays.window_of_entry(entry) if kinds[cell] == Kind.VALUE)
    lines = [_turn_words(layer)]
    if max(layer.dilation) > 1:
        lines.append(f"when sliding, its taps are {sizes.times(layer.dilation)} apart (dilation)")

    def panel(number: str, title: str, lines: list[str], values: Array, marks: dict[Index, str]) -> Panel:
        part = cut(values, leading(values.shape))
        return Panel(
            number=number,
            title=title,
            lines=tuple(lines),
            values=part,
            kinds=no_kinds(part),
            names=axis_names(layer),
            start=(0,) * part.ndim,
            shape=values.shape,
            scale=scale_of(values),
            corners=marks,
        )

    size = f"{sizes.times(shape)}, from channel {chosen.channel} to filter {chosen.filter}"
    turn = "turned end for end" if len(shape) == 1 else "rotated by 180°"
    turned = {_opposite(place, shape): letter for place, letter in letters.items()}
    after = panel("4b", f"W {turn}, as it goes backward", lines, arrays.rotated, turned)
    return [
        panel("4a", "W: the kernel as it goes forward", [size], arrays.kernel, letters),
        replace(after, outlined=meeting),
    ]


def _turn_words(layer: Layer) -> str:
    return "follow the lettered corners" if max(layer.kernel) > 1 else "a single tap: nothing to turn"


def _opposite(tap: Index, kernel: Index) -> Index:
    """Where a tap is once the kernel is rotated."""
    return tuple(k - 1 - a for k, a in zip(kernel, tap, strict=True))


def _result_panels(arrays: InputGradient, window: Window, entry: Index) -> list[Panel]:
    layer, chosen = arrays.layer, arrays.selection
    many = layer.filters_per_group > 1

    def panel(number: str, title: str, lines: list[str], values: Array) -> Panel:
        part = cut(values, window.input)
        return Panel(
            number, title, tuple(lines), part, no_kinds(part), axis_names(layer),
            tuple(r.start for r in window.input), values.shape, scale_of(part), frozenset([entry]),
        )  # fmt: skip

    where = f"sample {chosen.sample}, channel {chosen.channel}"
    slid = "slide 4b over 3, one product sum per place"
    if not many:
        return [panel("5", f"dL/dX: {slid}", [*sizes.crop_lines(layer), where], arrays.total)]
    summed = f"sum over the {layer.filters_per_group} filters" + (" of the group" if layer.groups > 1 else "")
    return [
        panel(
            "5",
            slid[0].upper() + slid[1:],
            [*sizes.crop_lines(layer), f"filter {chosen.filter}'s part of dL/dX"],
            arrays.part,
        ),
        panel("6", f"dL/dX: {summed}", [sizes.times(layer.input), where], arrays.total),
    ]


def _dilation_title(layer: Layer) -> str:
    gaps = [s - 1 for s in layer.stride]
    if not any(gaps):
        return "Stride 1: no zeros to insert"
    if len(set(gaps)) == 1:
        return f"Insert {gaps[0]} {'zero' if gaps[0] == 1 else 'zeros'} between neighbours (stride {layer.stride[0]})"
    parts = [f"{gap} between {name}" for gap, name in zip(gaps, axis_names(layer), strict=True)]
    return f"Insert stride − 1 zeros: {', '.join(parts)}"


def _padding_title(layer: Layer) -> str:
    crops = any(amount < 0 for axis in layer.axes for amount in axis.full_padding)
    return "Pad and crop to full size" if crops else "Pad to full size"


def _example(arrays: InputGradient, entry: Index) -> str:
    terms = arrays.terms(entry)
    value = sizes.number(float(arrays.part[entry]))
    which = "dL/dX" if arrays.layer.filters_per_group == 1 else f"filter {arrays.selection.filter}'s part of dL/dX"
    return (
        f"Outlined: {which}{at(entry)} = {sum_text(terms)} = {value}: outlined cells of 3 times the taps of 4b on them."
    )
