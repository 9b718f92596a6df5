"""Dilate, pad, flip, slide: dL/dX of a plain layer, and the output of a transposed one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple, Self

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Index, Kind, Panel, overview, scale_of
from convcheck.explain.pictures.roles import PLAIN, TWIN, Roles
from convcheck.explain.pictures.selection import Selection, readers
from convcheck.explain.pictures.window import (
    Window,
    folded_back,
    full_kinds,
    input_kinds,
    on_padded,
    padded_kinds,
    window_of,
    with_copies,
)
from convcheck.gradients.dilate_flip import correlate, dilated_gradient, full_gradient, rotated_kernel
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer


@dataclass(frozen=True, eq=False)
class InputGradient:
    """The arrays of one slice of the computation of dL/dX, as `dilate_flip` makes them.

    Attributes
    ----------
    layer : Layer
        Plain; the twin of a transposed one.
    slid : Layer
        The layer of whose input the kernel's slide gives the gradient: the same, or, where its padding repeats samples,
        the one that reads the padded input.
    grad_output, dilated : array
        dL/dO of the chosen sample and filter, and what becomes of it.
    all_full, all_rotated : array, shape (F/groups, *full) and (F/groups, *kernel)
        For every filter of the group: the dilated and padded dL/dO, and the flipped slice of W for the chosen channel.
    inside : int
        The chosen filter within its group.
    kernel : array
        The slice of W between the chosen channel and filter.
    slide : array, shape (*slid.input)
        What the chosen filter's slide gives.
    part, total : array, shape (*input)
        What the chosen filter contributes to dL/dX, and what all filters of the group and the bias do.
    bias : float or None
        Of a transposed layer.
    """

    layer: Layer
    slid: Layer
    selection: Selection
    roles: Roles
    grad_output: Array
    dilated: Array
    all_full: Array
    all_rotated: Array
    inside: int
    kernel: Array
    slide: Array
    part: Array
    total: Array
    bias: float | None

    @classmethod
    def of(cls, layer: Layer, weight: Array, grad_output: Array, chosen: Selection, bias: Array | None = None) -> Self:
        """Run the formulation on the chosen slice of a layer; of a transposed one, with its input for dL/dO."""
        roles, added = PLAIN, None
        if layer.transposed:
            added = None if bias is None else float(bias[chosen.filter])
            layer, chosen, roles = layer.twin, chosen.of_twin, TWIN
        slid = on_padded(layer) if layer.repeats_samples else layer
        per_group = layer.filters_per_group
        first = chosen.filter // per_group * per_group
        inside = chosen.filter - first
        outputs = grad_output[chosen.sample : chosen.sample + 1, first : first + per_group]
        full, rotated = full_gradient(slid, outputs), rotated_kernel(layer, weight)[chosen.channel]
        ones = [1] * len(layer.axes)

        def slide(filters: slice) -> Array:
            # One group, one channel of dL/dX.
            found: Array = correlate(
                full[:, np.newaxis, filters], rotated[np.newaxis, np.newaxis, filters], ones, layer.dilation
            )
            plane: Array = found[0, 0, 0]
            return plane

        part, total = slide(slice(inside, inside + 1)), slide(slice(None))
        return cls(
            layer, slid, chosen, roles, outputs[0, inside], dilated_gradient(layer, outputs)[0, inside], full[0],
            rotated, inside, weight[chosen.filter, chosen.channel % layer.channels_per_group], part,
            folded_back(layer, part), folded_back(layer, total) + (added or 0), added,
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

    def places(self, entry: Index) -> list[Index]:
        """Places of the slide's result that add up to an entry of dL/dX: its own, and those of its copies."""
        if self.slid is self.layer:
            return [entry]
        return list(product(*(axis.positions(p) for axis, p in zip(self.layer.axes, entry, strict=True))))

    def parts(self, entry: Index) -> list[float]:
        """What every filter of the group contributes to an entry of dL/dX."""
        found = np.zeros(len(self.all_full))
        for place in self.places(entry):
            under = tuple(
                slice(p, p + axis.effective_kernel, axis.dilation)
                for p, axis in zip(place, self.layer.axes, strict=True)
            )
            products = self.all_full[(slice(None), *under)] * self.all_rotated
            found += products.reshape(len(products), -1).sum(axis=1, dtype=np.float64)
        told: list[float] = found.tolist()
        return told

    def window_of_entry(self, entry: Index) -> list[tuple[Index, Index]]:
        """Pairs (cell of the full map, tap of the rotated kernel) that meet for an entry of dL/dX."""
        taps = list(product(*(range(k) for k in self.layer.kernel)))
        return [
            (tuple(p + a * d for p, a, d in zip(place, tap, self.layer.dilation, strict=True)), tap)
            for place in self.places(entry)
            for tap in taps
        ]

    def meeting(self, entry: Index) -> list[tuple[Index, Index]]:
        """Those of the pairs whose cell is a value: no inserted, remainder or border zero."""
        kinds = full_kinds(self.slid, padded=True)
        return [(cell, tap) for cell, tap in self.window_of_entry(entry) if kinds[cell] == Kind.VALUE]

    def terms(self, entry: Index) -> list[tuple[float, float]]:
        """Factors of every product that an entry adds up."""
        return [(float(self.full[cell]), float(self.rotated[tap])) for cell, tap in self.meeting(entry)]

    def sums(self, entry: Index) -> list[str]:
        """Write an entry of dL/dX out: the products of the chosen filter, the fold, and the parts of all filters."""
        terms, value = self.terms(entry), sizes.number(float(self.part[entry]))
        equation = f"{sizes.sum_text(terms)} = {value}" if terms else "0 (only zeros under the kernel)"
        name, word = f"{self.roles.grad_input}{sizes.at(entry)}", self.roles.filter
        parts, places = self.parts(entry), self.places(entry)
        addends = [*parts, *([] if self.bias is None else [self.bias])]
        of = name if len(addends) == 1 else f"{word} {self.selection.filter}'s part of {name}"
        lines = [f"{of} = {equation}"]
        if len(places) > 1:
            folded = sizes.parts_text([float(self.slide[place]) for place in places])
            lines.append(f"Folded back from {', '.join(map(sizes.at, places))} of the padded map: {folded}")
        if len(addends) > 1:
            first = self.selection.filter - self.inside
            over = [f"{word}s {first} to {first + len(parts) - 1}" if len(parts) > 1 else f"{word} {first}"]
            over += [] if self.bias is None else ["the bias"]
            lines.append(f"Added up over {' and '.join(over)}: {name} = {sizes.parts_text(addends)}")
        return lines

    def panels(self) -> tuple[Panel, ...]:
        """Show the arrays around the entry that is worked out, and all of the result where that is a part of it."""
        shown = [panel for panel in panels_of(self, window_of(self.layer, self.selection)) if panel]
        if shown[-1].partial:
            title = f"All of {self.roles.grad_input}, {sizes.times(self.layer.input)}"
            shown.append(overview(shown[-1], self.total, str(int(shown[-1].number) + 1), title))
        return tuple(shown)

    def example(self) -> list[str]:
        """Say how the entry comes about."""
        first, *more = self.sums(self.selection.place)
        return [f"Outlined: {first}.", *(f"{line}." for line in more)]


class Panels(NamedTuple):
    """The panels in the order in which they are read.

    `part` is what the chosen filter contributes to dL/dX, and `total` what all do and the bias; with nothing to add up
    there is no total. `padded` is that of the padded input, where its border is then folded back. `spread` is the
    flipped kernel with its holes, where it is dilated.
    """

    grad_output: Panel
    dilated: Panel
    full: Panel
    kernel: Panel
    rotated: Panel
    spread: Panel | None
    padded: Panel | None
    part: Panel
    total: Panel | None


def panels_of(arrays: InputGradient, window: Window) -> Panels:
    """Show the arrays in a window; outlined is what belongs to the entry of dL/dX that is worked out."""
    layer, chosen, entry, roles = arrays.layer, arrays.selection, arrays.selection.place, arrays.roles
    given, slid = roles.grad_output, arrays.slid
    outputs = list(dict.fromkeys(output for output, _ in readers(layer, entry)))
    meeting = arrays.meeting(entry)
    # dL/dO, dilated, and padded.
    scale = scale_of(arrays.grad_output)
    grad_output = Panel.of(
        "1", f"{given}: {roles.comes}",
        [f"{sizes.times(axis.windows for axis in layer.axes)}, sample {chosen.sample}, {roles.filter} {chosen.filter}"],
        arrays.grad_output, window.output, scale=scale, outlined=outputs,
    )  # fmt: skip
    dilated = Panel.of(
        "2", f"The dilated {given}", [_inserted(layer), *sizes.dilation_lines(layer)], arrays.dilated, window.dilated,
        kinds=full_kinds(layer, padded=False), scale=scale,
        outlined=[tuple(i * s for i, s in zip(output, layer.stride, strict=True)) for output in outputs],
    )  # fmt: skip
    crops = any(amount < 0 for axis in slid.axes for amount in axis.full_padding)
    full = Panel.of(
        "3", f"The dilated and padded {given}",
        ["padded and cropped to full size" if crops else "padded to full size", *sizes.padding_lines(slid)],
        arrays.full, window.full, kinds=full_kinds(slid, padded=True), scale=scale,
        outlined=[cell for cell, _ in meeting],
    )  # fmt: skip
    reach = tuple(axis.effective_kernel - 1 for axis in layer.axes)
    under = tuple(
        (place, tuple(i + more for i, more in zip(place, reach, strict=True))) for place in arrays.places(entry)
    )
    kernel, rotated, spread = _kernel_panels(arrays, [tap for _, tap in meeting], reach)
    results = _results(arrays, window, "4b" if spread is None else "4c")
    return Panels(grad_output, dilated, replace(full, framed=under), kernel, rotated, spread, *results)


def _kernel_panels(arrays: InputGradient, taps: list[Index], reach: Index) -> tuple[Panel, Panel, Panel | None]:
    """Show the kernel before and after the turn, which its lettered corners show, and with its holes."""
    layer, chosen, roles = arrays.layer, arrays.selection, arrays.roles
    # An axis of size 1 has one end.
    ends = product(*((0, k - 1) if k > 1 else (0,) for k in layer.kernel))
    letters = {place: chr(ord("A") + rank) for rank, place in enumerate(ends)}
    turned = {
        tuple(k - 1 - a for k, a in zip(layer.kernel, place, strict=True)): name for place, name in letters.items()
    }
    single = max(layer.kernel) == 1
    lines = ["a single tap: nothing to turn" if single else f"{sizes.turned(layer)}: follow the lettered corners"]
    between = f"from channel {chosen.channel} to filter {chosen.filter}"
    plain, flipped = "W: the kernel as it goes forward", "The flipped kernel: W as it goes backward"
    if roles is TWIN:
        between = f"from channel {chosen.filter} to filter {chosen.channel}"
        plain, flipped = "W: the kernel as it goes backward", "The flipped kernel: W as it goes forward"
    scale, spread = scale_of(arrays.kernel), None
    kernel = Panel.of("4a", plain, [f"{sizes.times(layer.kernel)}, {between}"], arrays.kernel, scale=scale)
    rotated = Panel.of("4b", flipped, lines, arrays.rotated, scale=scale, outlined=taps)
    if max(layer.dilation) > 1 and not single:
        places = {
            tap: tuple(a * d for a, d in zip(tap, layer.dilation, strict=True)) for tap in np.ndindex(*layer.kernel)
        }
        holes = np.full([more + 1 for more in reach], Kind.HOLE, np.int8)
        values = np.zeros(holes.shape)
        for tap, place in places.items():
            values[place], holes[place] = arrays.rotated[tap], Kind.VALUE
        spread = Panel.of(
            "4c", "The flipped kernel with its holes",
            [f"dilation {sizes.times(layer.dilation)}: this is what slides", sizes.times(values.shape)],
            values, kinds=holes, scale=scale, outlined=[places[tap] for tap in taps],
        )  # fmt: skip
    return replace(kernel, corners=letters), replace(rotated, corners=turned), spread


def _results(arrays: InputGradient, window: Window, slides: str) -> tuple[Panel | None, Panel, Panel | None]:
    """Show what the slide gives, folded back where the padding repeats samples, and the sum over the filters."""
    layer, chosen, entry, roles = arrays.layer, arrays.selection, arrays.selection.place, arrays.roles
    result, several = roles.grad_input, layer.filters_per_group > 1
    where, kinds = f"sample {chosen.sample}, {roles.channel} {chosen.channel}", input_kinds(layer)
    lines, padded, number = (
        [f"slide {slides} over 3, one product sum per place", *sizes.crop_lines(arrays.slid)],
        None,
        5,
    )
    adds_up = several or arrays.bias is not None
    title = f"{roles.filter.capitalize()} {chosen.filter}'s part of {result}" if adds_up else result
    if arrays.slid is not layer:
        places = arrays.places(entry)
        padded = with_copies(layer, Panel.of(
            "5", f"{title}, of the padded {roles.input}", [*lines, where], arrays.slide, window.slid,
            kinds=padded_kinds(layer), outlined=places,
        ), places)  # fmt: skip
        lines, number = [sizes.times(layer.input), "5 with its border folded back: every copy added to its sample"], 6
    part = Panel.of(
        str(number), title, [*lines, where], arrays.part, window.input, kinds=kinds, outlined=[entry]
    )  # fmt: skip
    if not adds_up:
        return padded, part, None
    summed = f"{result}: sum over the {layer.filters_per_group} {roles.filter}s" if several else f"{result}: {number}"
    summed += " of the group" if layer.groups > 1 and several else ""
    summed += (", and the bias" if several else " and the bias") if arrays.bias is not None else ""
    total = Panel.of(
        str(number + 1), summed, [sizes.times(layer.input), where], arrays.total, window.input, kinds=kinds,
        outlined=[entry],
    )  # fmt: skip
    return padded, part, total


def _inserted(layer: Layer) -> str:
    """Say how many zeros stand between neighbours."""
    gaps = [s - 1 for s in layer.stride]
    if not any(gaps):
        return "stride 1: no zeros to insert"
    if len(set(gaps)) == 1:
        return f"{gaps[0]} {'zero' if gaps[0] == 1 else 'zeros'} inserted between neighbours (stride {layer.stride[0]})"
    parts = [f"{gap} between {name}" for gap, name in zip(gaps, sizes.AXIS_NAMES[len(gaps)], strict=True)]
    return f"stride − 1 zeros inserted: {', '.join(parts)}"
