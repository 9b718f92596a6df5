"""dL/dW: the dilated dL/dO laid over the padded input, once per tap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Panel, Story
from convcheck.explain.pictures.window import Selection, full_kinds, input_panel
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
    padded = padded_input(layer, x[:, chosen.channel : chosen.channel + 1])[:, 0]
    outputs = grad_output[:, chosen.filter : chosen.filter + 1]
    dilated = dilated_gradient(layer, outputs)[:, 0]
    # The first tap that the padding in front does not hide from the image, and the factors that meet at it, by their
    # place in the padded input.
    tap = tuple(min(a.kernel - 1, -(-a.before // a.dilation)) for a in layer.axes)
    pairs = {}
    for output in np.ndindex(*layer.output):
        place = tuple(axis.window(i)[a] for axis, i, a in zip(layer.axes, output, tap, strict=True))
        pairs[place] = float(padded[(chosen.sample, *place)]), float(outputs[(chosen.sample, 0, *output)])

    under = input_panel(layer, padded[chosen.sample], chosen)
    gradient = Panel.of(
        "2", "dL/dO, spread out as the windows are" if max(layer.stride) > 1 else "dL/dO",
        [*sizes.dilation_lines(layer), f"sample {chosen.sample}, filter {chosen.filter}"],
        dilated[chosen.sample], kinds=full_kinds(layer, padded=False),
    )  # fmt: skip
    start = [a * d for a, d in zip(tap, layer.dilation, strict=True)]
    visible = {
        place: f"{sizes.number(a)}\n×{sizes.number(b)}"
        for place, (a, b) in pairs.items()
        if all(i < size for i, size in zip(place, under.values.shape, strict=True))
    }
    overlay = replace(
        under, number="3", title=f"Panel 2 laid over panel 1, from {sizes.at(start)} on",
        lines=(f"tap {sizes.at(tap)}: input sample · dL/dO", f"{len(pairs)} products, one per window"),
        outlined=frozenset(visible), texts=visible,
    )  # fmt: skip

    apart = f", {sizes.times(layer.dilation)} apart (dilation)" if max(layer.dilation) > 1 else ""
    size = f"{sizes.times(layer.kernel)}: one place of 2 per tap{apart}"
    where = f"filter {chosen.filter}, channel {chosen.channel}"
    part = _laid_over(layer, padded[[chosen.sample]], dilated[[chosen.sample]])
    which = "dL/dW" if layer.batch == 1 else f"sample {chosen.sample}'s part of dL/dW"
    if layer.batch == 1:
        results = [Panel.of("4", "dL/dW: the sum, tap by tap", [size, where], part, outlined=[tap])]
    else:
        total, title = _laid_over(layer, padded, dilated), f"dL/dW: sum over the {layer.batch} samples"
        results = [
            Panel.of("4", "The sum, tap by tap", [size, which], part, outlined=[tap]),
            Panel.of("5", title, [where], total, outlined=[tap]),
        ]
    products, value = sizes.sum_text(list(pairs.values())), sizes.number(float(part[tap]))
    return Story(
        name="weight-gradient",
        title="The weight gradient dL/dW: dL/dO laid over the input",
        intro=(
            "Each tap of the kernel met one input sample in every window. Its gradient is the sum, over the windows, "
            "of that sample times the dL/dO of the window: lay the spread-out dL/dO over the input at the tap's place.",
        ),
        panels=(under, gradient, overlay, *results),
        example=(f"Outlined: {which}{sizes.at(tap)} = {products} = {value}: the products in 3, added up.",),
    )


def _laid_over(layer: Layer, padded: Array, dilated: Array) -> Array:
    """Sum over samples, as the formulation does: they stand where channels do."""
    reached = padded[at_sites(slice(axis.padded_size - axis.remainder) for axis in layer.axes)]
    image, kernel = reached[np.newaxis, np.newaxis], dilated[np.newaxis, np.newaxis]
    found: Array = correlate(image, kernel, layer.dilation, [1] * len(layer.axes))
    gradient: Array = found[0, 0, 0]
    return gradient
