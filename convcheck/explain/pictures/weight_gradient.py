"""dL/dW: the dilated dL/dO laid over the padded input, once per tap."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Index, Panel, Story, near, overview
from convcheck.explain.pictures.roles import PLAIN, TWIN, Roles
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.pictures.window import full_kinds, input_panel
from convcheck.gradients.dilate_flip import correlate, dilated_gradient, padded_input
from convcheck.layer.arrays import Array, at_sites
from convcheck.layer.layer import Layer


def story(layer: Layer, x: Array, grad_output: Array, chosen: Selection) -> Story:
    """Tell how dL/dW comes about: the padded input, the dilated dL/dO laid over it, the result.

    Parameters
    ----------
    x : array, shape (N, C, *input)
    grad_output : array, shape (N, F, *output)
    """
    arrays = WeightGradient.of(layer, x, grad_output, chosen)
    first, *more = arrays.sums(chosen.tap)
    title, intro = "The weight gradient dL/dW: the dilated dL/dO laid over the input", (
        "Each tap of the kernel met one input sample in every window. Its gradient is the sum, over the windows, "
        "of that sample times the dL/dO of the window: lay the dilated dL/dO over the input at the tap's place."
    )  # fmt: skip
    if layer.transposed:
        title, intro = "The weight gradient dL/dW: the dilated X laid over dL/dO", (
            "Each tap of the kernel took every entry of X to one output. Its gradient is the sum, over the entries, of "
            "the entry times the dL/dO that it was taken to: lay the dilated X over dL/dO at the tap's place."
        )  # fmt: skip
    return Story(
        name="weight-gradient",
        title=title,
        intro=(intro,),
        panels=arrays.panels(),
        example=(f"Outlined: {first}: the products in 3, added up.", *(f"{line}." for line in more)),
    )


@dataclass(frozen=True, eq=False)
class WeightGradient:
    """The arrays of one slice of the computation of dL/dW, as `dilate_flip` makes them.

    Attributes
    ----------
    padded, dilated : array, shape (N, *padded) and (N, *dilated)
        The padded input of the chosen channel, and the dilated dL/dO of the chosen filter.
    outputs : array, shape (N, *output)
    parts : array, shape (N, *kernel)
        What every sample contributes.
    total : array, shape (*kernel)
    """

    layer: Layer
    selection: Selection
    roles: Roles
    padded: Array
    dilated: Array
    outputs: Array
    parts: Array
    total: Array

    @classmethod
    def of(cls, layer: Layer, x: Array, grad_output: Array, chosen: Selection) -> WeightGradient:
        """Run the formulation on the chosen slice of a layer; of a transposed one, with x and dL/dO exchanged."""
        roles = PLAIN
        if layer.transposed:
            layer, chosen, roles, x, grad_output = layer.twin, chosen.of_twin, TWIN, grad_output, x
        padded = padded_input(layer, x[:, chosen.channel : chosen.channel + 1])[:, 0]
        outputs = grad_output[:, chosen.filter : chosen.filter + 1]
        dilated = dilated_gradient(layer, outputs)[:, 0]
        reached = padded[at_sites(slice(axis.padded_size - axis.remainder) for axis in layer.axes)]
        # Every sample for itself: each is a group with one channel and one filter.
        image, kernel = reached[np.newaxis, :, np.newaxis], dilated[:, np.newaxis, np.newaxis]
        parts: Array = correlate(image, kernel, layer.dilation, [1] * len(layer.axes))[0, :, 0]
        return cls(layer, chosen, roles, padded, dilated, outputs[:, 0], parts, parts.sum(axis=0))

    def meeting(self, tap: Index) -> list[tuple[Index, Index]]:
        """Pairs (place in the padded input, output) that meet for a tap, one per window."""
        return [
            (tuple(axis.window(i)[a] for axis, i, a in zip(self.layer.axes, output, tap, strict=True)), output)
            for output in np.ndindex(*self.layer.output)
        ]

    def factors(self, tap: Index) -> dict[Index, tuple[float, float]]:
        """What meets for a tap in the chosen sample, by its place in the padded input."""
        n = self.selection.sample
        return {
            place: (float(self.padded[(n, *place)]), float(self.outputs[(n, *output)]))
            for place, output in self.meeting(tap)
        }

    def sums(self, tap: Index) -> list[str]:
        """Write an entry of dL/dW out: the products of the chosen sample, and the parts of all samples added up."""
        name, n = f"dL/dW{sizes.at(tap)}", self.selection.sample
        products = sizes.sum_text(list(self.factors(tap).values()))
        equation = f"{name} = {products} = {sizes.number(float(self.parts[(n, *tap)]))}"
        if self.layer.batch == 1:
            return [equation]
        parts = sizes.parts_text([float(part[tap]) for part in self.parts])
        return [f"sample {n}'s part of {equation}", f"Added up over the {self.layer.batch} samples: {name} = {parts}"]

    def panels(self) -> tuple[Panel, ...]:
        """Show the arrays, in the order in which they are read; outlined is what belongs to the tap worked out."""
        layer, chosen, roles, tap = self.layer, self.selection, self.roles, self.selection.tap
        n, under = chosen.sample, input_panel(layer, self.padded[chosen.sample], chosen, roles)
        spread = tuple(i * s for i, s in zip(chosen.output, layer.stride, strict=True))
        given, over = roles.grad_output, "input sample · dL/dO" if roles is PLAIN else "dL/dO · X"
        gradient = Panel.of(
            "2", f"The dilated {given}" if max(layer.stride) > 1 else f"{given} (stride 1: nothing to dilate)",
            [*sizes.dilation_lines(layer), f"sample {n}, {roles.filter} {chosen.filter}"],
            self.dilated[n], near(self.dilated[n].shape, spread), kinds=full_kinds(layer, padded=False),
        )  # fmt: skip
        start = tuple(a * d for a, d in zip(tap, layer.dilation, strict=True))
        last = tuple(i + axis.dilated_size - 1 for i, axis in zip(start, layer.axes, strict=True))
        pairs, per = self.factors(tap), "window" if roles is PLAIN else "entry of X"
        texts = {place: f"{sizes.number(a)}\n×{sizes.number(b)}" for place, (a, b) in pairs.items()}
        overlay = replace(
            under, number="3", title=f"2 laid over 1, from {sizes.at(start)} on",
            lines=(f"tap {sizes.at(tap)}: {over}", f"{len(pairs)} products, one per {per}"),
            outlined=frozenset(pairs), texts=texts, framed=((start, last),),
        )  # fmt: skip
        apart = f", {sizes.times(layer.dilation)} apart (dilation)" if max(layer.dilation) > 1 else ""
        size = f"{sizes.times(layer.kernel)}: one place of 2 per tap{apart}"
        where = f"{roles.filter} {chosen.filter}, {roles.channel} {chosen.channel}"
        around = near(layer.kernel, tap)
        if layer.batch == 1:
            results = [Panel.of("4", "dL/dW: the sum, tap by tap", [size, where], self.total, around, outlined=[tap])]
        else:
            part, summed = f"Sample {n}'s part of dL/dW", f"dL/dW: sum over the {layer.batch} samples"
            results = [
                Panel.of("4", part, [size, "the sum, tap by tap"], self.parts[n], around, outlined=[tap]),
                Panel.of("5", summed, [where], self.total, around, outlined=[tap]),
            ]
        if under.partial:
            name = roles.input
            title = f"All of the padded {name}, {sizes.times(under.shape)}"
            title = title if any(map(any, layer.padding)) else f"All of {name}"
            results.append(overview(under, self.padded[n], str(int(results[-1].number) + 1), title))
        return under, gradient, overlay, *results
