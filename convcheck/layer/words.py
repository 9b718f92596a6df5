"""The geometry of a layer in words, as every text writes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from convcheck.layer.fields import ZEROS
from convcheck.layer.layer import Layer
from convcheck.wording import counted


def forward_geometry(layer: Layer) -> list[str]:
    """Return what the layer does, in phrases that are to stay whole; defaults that say nothing are left out."""
    parts = [
        *(["transposed"] if layer.transposed else []),
        f"{counted(layer.channels, 'channel')} → {counted(layer.filters, 'filter')}",
        f"kernel {per_axis(layer.kernel)}",
    ]
    if any(step > 1 for step in layer.stride):
        parts.append(f"stride {per_axis(layer.stride)}")
    if any(amount for pair in layer.padding for amount in pair):
        parts.append(f"padding {_pairs(layer.padding)}")
    if any(step > 1 for step in layer.dilation):
        parts.append(f"dilation {per_axis(layer.dilation)}")
    if layer.padding_mode != ZEROS:
        parts.append(f"padding mode {layer.padding_mode}")
    if any(layer.output_padding):
        parts.append(f"output padding {per_axis(layer.output_padding)}")
    if layer.groups > 1:
        parts.append(f"groups {layer.groups}")
    if not layer.bias:
        parts.append("no bias")
    sizes = f"{per_axis(layer.input)} in, {per_axis(layer.output)} out"
    return [*parts, sizes, f"batch {layer.batch}", layer.dtype]


def backward_geometry(layer: Layer) -> list[str]:
    """Return what the backward pass works with, or the forward pass of a transposed layer; phrases that stay whole."""
    return [
        f"{'X' if layer.transposed else 'dL/dO'} dilated to {per_axis(axis.dilated_size for axis in layer.axes)}",
        f"full padding {_pairs([axis.full_padding for axis in layer.axes], always=True)}",
        f"remainder {per_axis(axis.remainder for axis in layer.axes)}",
    ]


def named_by_sizes(layer: Layer) -> str:
    """Return a name that says all about a layer's sizes."""

    def of(name: str, values: Any, usual: Any) -> list[str]:
        if all(value == usual for value in values):
            return []
        texts = ["+".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in values]
        return [f"{name}-{'x'.join(texts if len(set(texts)) > 1 else texts[:1])}"]

    padding = [pair[0] if pair[0] == pair[1] else pair for pair in layer.padding]
    parts = [
        *(["transposed"] if layer.transposed else []),
        f"{layer.channels}to{layer.filters}",
        "x".join(map(str, layer.kernel)),
        *of("stride", layer.stride, 1),
        *of("padding", padding, 0),
        *of("dilation", layer.dilation, 1),
        *([layer.padding_mode] if layer.padding_mode != ZEROS else []),
        *of("output-padding", layer.output_padding, 0),
        *of("groups", (layer.groups,), 1),
        "on",
        "x".join(map(str, layer.input)),
        *of("batch", (layer.batch,), 2),
        *([] if layer.bias else ["no-bias"]),
    ]
    return "-".join(parts)


def per_axis(numbers: Iterable[int]) -> str:
    return "×".join(str(number) for number in numbers)


def _pairs(pairs: Sequence[tuple[int, int]], *, always: bool = False) -> str:
    """Return (before, after) per axis, or one number per axis where both sides are always the same."""
    if not always and all(before == after for before, after in pairs):
        return per_axis(before for before, _ in pairs)
    return "×".join(f"({before},{after})" for before, after in pairs)
