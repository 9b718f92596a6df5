"""Of which products every entry of a gradient, or of the output, is the sum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from convcheck.layer.layer import Layer

#: An entry of "x", "weight", "bias" or "grad_output": the array and the index.
Entry = tuple[str, tuple[int, ...]]


def products(layer: Layer, array: str, index: Sequence[int]) -> Iterator[tuple[Entry, ...]]:
    """Yield the factors of every product: those of a gradient begin with the entry of grad_output.

    Padding of zeros gives none; padding that repeats samples gives one for each time that a sample is read.

    Parameters
    ----------
    array : str
        "input", "weight", "bias" or "output": which gradient, or the output.
    """
    if array == "bias":
        for n, site in product(range(layer.batch), product(*map(range, layer.output))):
            yield (("grad_output", (n, index[0], *site)),)
    elif array == "weight":
        c, f = layer.ends_of_slice(*index[:2])
        for n, (output, place) in product(range(layer.batch), _met(layer, index[2:])):
            yield ("grad_output", (n, f, *output)), ("x", (n, c, *place))
    elif array == "input":
        n, c, *spatial = index
        readers = list(product(*(axis.pairs(p) for axis, p in zip(layer.axes, spatial, strict=True))))
        for f, pairs in product(_partners(c, layer.channels_per_group, layer.filters_per_group), readers):
            output, tap = zip(*pairs, strict=True)
            yield ("grad_output", (n, f, *output)), ("weight", (*layer.slice_between(c, f), *tap))
    else:
        n, f, *spatial = index
        taps = [(tap, read(layer, spatial, tap)) for tap in product(*map(range, layer.kernel))]
        for c, (tap, met) in product(_partners(f, layer.filters_per_group, layer.channels_per_group), taps):
            if met is not None:
                yield ("weight", (*layer.slice_between(c, f), *tap)), ("x", (n, c, *met))
        if layer.bias:
            yield (("bias", (f,)),)


def read(layer: Layer, output: Sequence[int], tap: Sequence[int]) -> tuple[int, ...] | None:
    """Return the input entry that an output reads through a tap; None where there is none."""
    place = tuple(int(axis.source[i, a]) for axis, i, a in zip(layer.axes, output, tap, strict=True))
    return None if -1 in place else place


def _met(layer: Layer, tap: Sequence[int]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the pairs (output, input entry) that a tap connects, in the order of the outputs.

    Of a transposed layer, whose taps lead from an input entry to the outputs, in the order of the input.
    """
    found = [
        (output, place)
        for output in product(*map(range, layer.output))
        if (place := read(layer, output, tap)) is not None
    ]
    return sorted(found, key=lambda pair: pair[1]) if layer.transposed else found


def _partners(number: int, own: int, others: int) -> range:
    """Return the filters that read a channel, or the channels that a filter reads: those of its group."""
    group = number // own
    return range(group * others, (group + 1) * others)
