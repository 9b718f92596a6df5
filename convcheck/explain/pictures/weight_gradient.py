"""dL/dW: the dilated dL/dO laid over the padded input, once per tap."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.common import at, axis_names, no_kinds, scale_of, sum_text
from convcheck.explain.pictures.panel import Index, Kinds, Panel, Story
from convcheck.explain.pictures.window import Selection, cut, full_kinds, leading, padded_kinds
from convcheck.gradients.dilate_flip import correlate, dilated_gradient, padded_input
from convcheck.layer.arrays import Array, at_sites
from convcheck.layer.layer import Layer


def story(layer: Layer, x: Array, grad_output: Array, chosen: Selection) -> Story:
    """Tell how dL/dW comes about.

    Parameters
    ----------
    layer : Layer
    x : array, shape (N, C, *input)
    grad_output : array, shape (N, F, *output)
    chosen : Selection
    """
    padded = padded_input(layer, x[:, chosen.channel : chosen.channel + 1])[:, 0]
    outputs = grad_output[:, chosen.filter : chosen.filter + 1]
    dilated = dilated_gradient(layer, outputs)[:, 0]
    tap = _tap(layer)
    upper = (_input_panel(layer, padded[chosen.sample], chosen), _gradient_panel(layer, dilated[chosen.sample], chosen))
    pairs = _pairs(layer, padded[chosen.sample], outputs[chosen.sample, 0], tap)
    parts = [_correlate(layer, padded[which], dilated[which]) for which in ([chosen.sample], slice(None))]
    number = sizes.number(float(parts[0][tap]))
    which = "dL/dW" if len(x) == 1 else f"sample {chosen.sample}'s part of dL/dW"
    products = sum_text([pair for _, pair in pairs])
    return Story(
        name="weight-gradient",
        title="The weight gradient dL/dW: dL/dO laid over the input",
        intro=(
            "Each tap of the kernel met one input sample in every window. Its gradient is the sum, over the windows, "
            "of that sample times the dL/dO of the window: lay the spread-out dL/dO over the input at the tap's place.",
        ),
        panels=(*upper, _overlay(layer, upper[0], dict(pairs), tap), *_results(layer, chosen, parts, tap)),
        example=(f"Outlined: {which}{at(tap)} = {products} = {number}: the products in 3, added up.",),
    )


def _correlate(layer: Layer, padded: Array, dilated: Array) -> Array:
    """Sum over samples, as the formulation does: they stand where channels do."""
    reached = padded[at_sites(slice(axis.padded_size - axis.remainder) for axis in layer.axes)]
    image, kernel = reached[np.newaxis, np.newaxis], dilated[np.newaxis, np.newaxis]
    found: Array = correlate(image, kernel, layer.dilation, [1] * len(layer.axes))
    gradient: Array = found[0, 0, 0]
    return gradient


def _tap(layer: Layer) -> Index:
    """Return the first tap that the padding in front does not hide from the image."""
    return tuple(min(a.kernel - 1, -(-a.before // a.dilation)) for a in layer.axes)


def _pairs(layer: Layer, padded: Array, grad_output: Array, tap: Index) -> list[tuple[Index, tuple[float, float]]]:
    """Place in the padded input, and the two factors that meet there, for every window."""
    found = []
    for output in product(*map(range, layer.output)):
        place = tuple(axis.window(i)[a] for axis, i, a in zip(layer.axes, output, tap, strict=True))
        found.append((place, (float(padded[place]), float(grad_output[output]))))
    return found


def _panel(number: str, title: str, lines: list[str], values: Array, kinds: Kinds, layer: Layer) -> Panel:
    shown = leading(values.shape)
    part = cut(values, shown)
    return Panel(
        number, title, tuple(lines), part, cut(kinds, shown), axis_names(layer), (0,) * part.ndim, values.shape,
        scale_of(part),
    )  # fmt: skip


def _input_panel(layer: Layer, padded: Array, chosen: Selection) -> Panel:
    title = "X with its padding" if any(map(any, layer.padding)) else "X: the input"
    lines = [*sizes.input_lines(layer), f"sample {chosen.sample}, channel {chosen.channel}"]
    return _panel("1", title, lines, padded, padded_kinds(layer), layer)


def _gradient_panel(layer: Layer, dilated: Array, chosen: Selection) -> Panel:
    title = "dL/dO, spread out as the windows are" if max(layer.stride) > 1 else "dL/dO"
    lines = [*sizes.dilation_lines(layer), f"sample {chosen.sample}, filter {chosen.filter}"]
    return _panel("2", title, lines, dilated, full_kinds(layer, padded=False), layer)


def _overlay(layer: Layer, under: Panel, pairs: dict[Index, tuple[float, float]], tap: Index) -> Panel:
    """The input with the factors that meet at one tap."""
    visible = {
        p: pair for p, pair in pairs.items() if all(i < size for i, size in zip(p, under.values.shape, strict=True))
    }
    moved = sizes.times(a * d for a, d in zip(tap, layer.dilation, strict=True))
    start = f"Panel 2 laid over panel 1, from [{moved.replace('×', ',')}] on"
    lines = (f"tap {at(tap)}: input sample · dL/dO", f"{len(pairs)} products, one per window")
    texts = {place: f"{sizes.number(a)}\n×{sizes.number(b)}" for place, (a, b) in visible.items()}
    return replace(under, number="3", title=start, lines=lines, outlined=frozenset(visible), texts=texts)


def _results(layer: Layer, chosen: Selection, parts: list[Array], tap: Index) -> list[Panel]:
    where = f"filter {chosen.filter}, channel {chosen.channel}"
    rule = "one place of 2 per tap" + (
        f", {sizes.times(layer.dilation)} apart (dilation)" if max(layer.dilation) > 1 else ""
    )
    size = f"{sizes.times(layer.kernel)}: {rule}"
    if layer.batch == 1:
        panels = [_panel("4", "dL/dW: the sum, tap by tap", [size, where], parts[0], no_kinds(parts[0]), layer)]
    else:
        part = f"sample {chosen.sample}'s part of dL/dW"
        panels = [
            _panel("4", "The sum, tap by tap", [size, part], parts[0], no_kinds(parts[0]), layer),
            _panel("5", f"dL/dW: sum over the {layer.batch} samples", [where], parts[1], no_kinds(parts[1]), layer),
        ]
    return [replace(panel, outlined=frozenset([tap])) for panel in panels]
