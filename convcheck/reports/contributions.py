"""What one entry of a gradient, or of the output, is made of, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.wording import counted, readable

_SYMBOLS = {"output": "O", "input": "dL/dX", "weight": "dL/dW", "bias": "dL/db"}

#: So many terms are written out.
_WRITTEN = 4


class _Term(NamedTuple):
    """One product: what reaches the entry, with what, and both numbers."""

    source: str
    through: str
    amount: complex
    factor: complex


def entry_name(gradient: str, index: tuple[int, ...]) -> str:
    """Return an entry as formulas write it: ``dL/dX[0,0,0,2]``."""
    return f"{_SYMBOLS[gradient]}{_place(index)}"


def contributions(layer: Layer, operands: Operands, gradient: str, index: tuple[int, ...]) -> str:
    """Return which terms that are not zero make an entry what it should be, the first few of them written out."""
    if operands.x.dtype.kind == "c" and gradient != "output":
        # The gradients of complex numbers are made with these.
        operands = replace(operands, x=operands.x.conj(), weight=operands.weight.conj())
    written, total = [], 0
    only = None
    for term in _terms(layer, operands, gradient, index):
        if term.amount * term.factor:
            total += 1
            only = term
            if total <= _WRITTEN:
                written.append(f"{_factor(term.amount)}·{_factor(term.factor)}")
    if only is None:
        return "nothing but zeros reaches it"
    if total > 1:
        return f"it is the sum of {counted(total, 'term')}, {' + '.join(written)}{' + ...' if total > _WRITTEN else ''}"
    verb = f"{only.source} = {readable(only.amount, 6)} reaches it"
    return f"{verb} through {only.through}" if only.through else f"{verb} and nothing else does"


def _factor(value: complex) -> str:
    text = readable(value, 6)
    return f"({text})" if isinstance(value, complex) else text


def _terms(layer: Layer, at: Operands, gradient: str, index: tuple[int, ...]) -> Iterator[_Term]:
    sample, inside = index[0], index[2:]
    channels, filters = layer.channels_per_group, layer.filters_per_group
    if gradient == "input":
        channel = index[1]
        readers = [np.argwhere(axis.source == p).tolist() for axis, p in zip(layer.axes, inside, strict=True)]
        for number, pairs in product(_of_group(channel // channels, filters), product(*readers)):
            output, tap = (tuple(pair[side] for pair in pairs) for side in (0, 1))
            kernel = _kernel(layer, number, channel, tap)
            yield _through_tap(at, "dL/dO", (sample, number, *output), at.grad_output, kernel)
    elif gradient == "weight":
        first, second = index[:2]
        if layer.transposed:
            channel, number = first, first // channels * filters + second
        else:
            channel, number = first // filters * channels + second, first
        for sample, output in product(range(layer.batch), product(*map(range, layer.output))):
            place = _read(layer, output, inside)
            if place is not None:
                name = "conj X" if at.x.dtype.kind == "c" else "X"
                amount = at.grad_output[(sample, number, *output)].item()
                value = at.x[(sample, channel, *place)].item()
                through = f"{name}{_place((sample, channel, *place))} = {readable(value, 6)}"
                yield _Term(f"dL/dO{_place((sample, number, *output))}", through, amount, value)
    elif gradient == "bias":
        for sample, output in product(range(layer.batch), product(*map(range, layer.output))):
            place = (sample, index[0], *output)
            yield _Term(f"dL/dO{_place(place)}", "", at.grad_output[place].item(), 1.0)
    else:
        number = index[1]
        for channel, tap in product(_of_group(number // filters, channels), product(*map(range, layer.kernel))):
            place = _read(layer, inside, tap)
            if place is not None:
                kernel = _kernel(layer, number, channel, tap)
                yield _through_tap(at, "X", (sample, channel, *place), at.x, kernel)
        if at.bias is not None:
            yield _Term(f"b[{number}]", "", at.bias[number].item(), 1.0)


def _of_group(group: int, count: int) -> range:
    return range(group * count, (group + 1) * count)


def _kernel(layer: Layer, number: int, channel: int, tap: tuple[int, ...]) -> tuple[int, ...]:
    """Return where W has the tap through which a filter reads a channel of its group."""
    if layer.transposed:
        return (channel, number % layer.filters_per_group, *tap)
    return (number, channel % layer.channels_per_group, *tap)


def _through_tap(at: Operands, source: str, place: tuple[int, ...], array: Array, kernel: tuple[int, ...]) -> _Term:
    amount, weight = array[place].item(), at.weight[kernel].item()
    name = "conj W" if source != "X" and at.weight.dtype.kind == "c" else "W"
    where = f", where {name} is {readable(weight, 6)}" if weight != 1 else ""
    return _Term(f"{source}{_place(place)}", f"tap {_place(kernel[2:])}{where}", amount, weight)


def _read(layer: Layer, output: tuple[int, ...], tap: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the position of the input that an output reads through a tap; None where there is none."""
    place = tuple(int(axis.source[o, a]) for axis, o, a in zip(layer.axes, output, tap, strict=True))
    return place if min(place) >= 0 else None


def _place(index: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, index))}]"
