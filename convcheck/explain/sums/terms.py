"""An entry of a gradient, or of the output, as the sum that it is: every term, and those that fall away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import fsum

import numpy as np

from convcheck.errors import Parameter, UsageError
from convcheck.gradients import FASTEST, formulation
from convcheck.layer.arrays import Array
from convcheck.layer.axis import Axis
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer

Index = tuple[int, ...]

#: What can be explained. "output" is an entry of O, the others are entries of dL/dX, dL/dW and dL/db.
ARRAYS = ("input", "weight", "bias", "output")

_ENTRY = re.compile(r"\s*(\w+)\s*\[([^\[\]]*)\]\s*")


@dataclass(frozen=True)
class Factor:
    """One number of a product.

    Attributes
    ----------
    array : str
        "x", "weight", "bias" or "grad_output".
    index : tuple of int
    value : float
    """

    array: str
    index: Index
    value: float


@dataclass(frozen=True)
class Term:
    """A product of one or two factors."""

    factors: tuple[Factor, ...]

    @property
    def value(self) -> float:
        """The product."""
        return float(np.prod([factor.value for factor in self.factors]))


@dataclass(frozen=True)
class Excluded:
    """A tap or a window that gives no term.

    Attributes
    ----------
    what : str
        Which one.
    why : str
    """

    what: str
    why: str


@dataclass(frozen=True)
class Explanation:
    """Everything about one entry.

    Attributes
    ----------
    layer : Layer
    array : str
        One of `ARRAYS`.
    index : tuple of int
    terms : tuple of Term
    excluded : tuple of Excluded
    reference : float
        For a gradient the change of the loss when the entry goes up by 1, from the forward pass alone; for the output
        the forward pass.
    """

    layer: Layer
    array: str
    index: Index
    terms: tuple[Term, ...]
    excluded: tuple[Excluded, ...]
    reference: float

    @property
    def value(self) -> float:
        """Sum of all terms, correctly rounded."""
        return fsum(term.value for term in self.terms)


def parse_entry(text: str, layer: Layer) -> tuple[str, Index]:
    """Read ``input[0,1,2,2]``.

    Raises
    ------
    UsageError
        If it cannot be read, or the layer has no such entry; says what is in range.
    """
    given = Parameter("entry", text)
    match = _ENTRY.fullmatch(text)
    if not match or match[1] not in ARRAYS:
        raise UsageError(
            given, f" is not allowed; expected one of {', '.join(ARRAYS)} with an index, such as input[0,1,2,2]"
        )
    array = match[1]
    if array == "bias" and not layer.bias:
        raise UsageError(given, f": layer {layer.name} has no bias")
    try:
        index = tuple(int(part) for part in match[2].split(","))
    except ValueError:
        raise UsageError(given, f": expected integers separated by commas, such as {_first(array, layer)}") from None
    shape = _shape(array, layer)
    if len(index) != len(shape):
        raise UsageError(given, f" has {len(index)} indices; expected {len(shape)}: {_range(array, layer)}")
    if not all(0 <= i < size for i, size in zip(index, shape, strict=True)):
        raise UsageError(given, f" is out of range; expected {_range(array, layer)}")
    return array, index


def _shape(array: str, layer: Layer) -> Index:
    shapes = {"input": layer.input_shape, "weight": layer.weight_shape, "bias": layer.bias_shape}
    return shapes.get(array, layer.output_shape)


def _first(array: str, layer: Layer) -> str:
    return f"{array}[{','.join('0' * len(_shape(array, layer)))}]"


def _range(array: str, layer: Layer) -> str:
    return f"{array}[{', '.join(f'0..{size - 1}' for size in _shape(array, layer))}]"


def explain(layer: Layer, operands: Operands, array: str, index: Index) -> Explanation:
    """Find the terms of an entry.

    Parameters
    ----------
    layer : Layer
    operands : Operands
    array : str
        One of `ARRAYS`.
    index : tuple of int
        In range.
    """
    finders = {"input": _input_terms, "weight": _weight_terms, "bias": _bias_terms, "output": _output_terms}
    terms, excluded = finders[array](layer, operands, index)
    return Explanation(layer, array, index, tuple(terms), tuple(excluded), _reference(layer, operands, array, index))


Found = tuple[list[Term], list[Excluded]]


def _input_terms(layer: Layer, at: Operands, index: Index) -> Found:
    """Every output that reads the entry, through the tap that reads it, and every filter of the group."""
    n, c, *place = index
    readers = [axis.readers(p + axis.before) for axis, p in zip(layer.axes, place, strict=True)]
    terms = [
        Term((_factor(at, "grad_output", (n, f, *i)), _factor(at, "weight", (f, c % layer.channels_per_group, *a))))
        for f in _filters(layer, c)
        for i, a in (_split(pairs) for pairs in product(*readers))
    ]
    return terms, list(_unread_taps(layer, place))


def _weight_terms(layer: Layer, at: Operands, index: Index) -> Found:
    """Every window of every sample, unless its tap lies on padding."""
    f, inside, *tap = index
    c = f // layer.filters_per_group * layer.channels_per_group + inside
    terms, excluded = [], []
    for output in np.ndindex(*layer.output):
        place = _sample(layer, output, tap)
        reason = _on_padding(layer, place)
        if reason:
            excluded.append(Excluded(f"output {_at(output)}", reason))
    for n in range(layer.batch):
        for output in np.ndindex(*layer.output):
            place = _sample(layer, output, tap)
            if not _on_padding(layer, place):
                terms.append(Term((_factor(at, "grad_output", (n, f, *output)), _factor(at, "x", (n, c, *place)))))
    return terms, excluded


def _bias_terms(layer: Layer, at: Operands, index: Index) -> Found:
    """Every output of the filter: a change of its bias changes each by as much."""
    sites = product(range(layer.batch), np.ndindex(*layer.output))
    return [Term((_factor(at, "grad_output", (n, index[0], *output)),)) for n, output in sites], []


def _output_terms(layer: Layer, at: Operands, index: Index) -> Found:
    """Every channel of the group and every tap, unless it lies on padding; and the bias."""
    n, f, *output = index
    first = f // layer.filters_per_group * layer.channels_per_group
    reasons = {tap: _on_padding(layer, _sample(layer, output, tap)) for tap in np.ndindex(*layer.kernel)}
    terms = [
        Term((_factor(at, "weight", (f, c, *tap)), _factor(at, "x", (n, first + c, *_sample(layer, output, tap)))))
        for c in range(layer.channels_per_group)
        for tap, reason in reasons.items()
        if not reason
    ]
    if layer.bias:
        terms.append(Term((_factor(at, "bias", (f,)),)))
    return terms, [Excluded(f"tap {_at(tap)}", reason) for tap, reason in reasons.items() if reason]


def _factor(at: Operands, array: str, index: Index) -> Factor:
    values: Array = getattr(at, array)
    return Factor(array, index, float(values[index]))


def _filters(layer: Layer, channel: int) -> range:
    first = channel // layer.channels_per_group * layer.filters_per_group
    return range(first, first + layer.filters_per_group)


def _split(pairs: Iterable[tuple[int, int]]) -> tuple[Index, Index]:
    outputs, taps = zip(*pairs, strict=True)
    return outputs, taps


def _sample(layer: Layer, output: Iterable[int], tap: Iterable[int]) -> Index:
    """Input sample that a tap of a window reads; out of range where it lies on padding."""
    return tuple(axis.window(i)[a] - axis.before for axis, i, a in zip(layer.axes, output, tap, strict=True))


def _on_padding(layer: Layer, place: Index) -> str:
    names = _axis_words(layer)
    outside = [f"{name} {p}" for name, p, size in zip(names, place, layer.input, strict=True) if not 0 <= p < size]
    return f"reads padding, which is 0 ({' and '.join(outside)} of the input does not exist)" if outside else ""


def _unread_taps(layer: Layer, place: Iterable[int]) -> Iterator[Excluded]:
    """Taps through which no output reads an input entry, with the reason."""
    per_axis = [
        [_tap_fault(axis, p, a, name) for a in range(axis.kernel)]
        for axis, p, name in zip(layer.axes, place, _axis_words(layer), strict=True)
    ]
    for tap in np.ndindex(*layer.kernel):
        faults = [faults[a] for faults, a in zip(per_axis, tap, strict=True) if faults[a]]
        if faults:
            yield Excluded(f"tap {_at(tap)}", "; ".join(faults))


def _tap_fault(axis: Axis, place: int, tap: int, name: str) -> str:
    """Say why no output reads an entry through a tap; empty if one does."""
    if any(a == tap for _, a in axis.readers(place + axis.before)):
        return ""
    start = place + axis.before - tap * axis.dilation
    if start < 0:
        return f"{name}: the window would start at {start}, before the padded input"
    if start % axis.stride:
        return f"{name}: the window would start at {start}, which is no multiple of the stride {axis.stride}"
    return f"{name}: the window would be output {start // axis.stride}, and the last is {axis.output_size - 1}"


def _axis_words(layer: Layer) -> tuple[str, ...]:
    return {1: ("position",), 2: ("row", "column"), 3: ("plane", "row", "column")}[len(layer.axes)]


def _at(index: Iterable[int]) -> str:
    return f"[{','.join(map(str, index))}]"


def _reference(layer: Layer, at: Operands, array: str, index: Index) -> float:
    """What the forward pass alone says: convolution is linear, so a step of 1 has no truncation error."""
    forward = formulation(FASTEST).forward
    start = forward(layer, at.x, at.weight, at.bias)
    if array == "output":
        return float(start[index])
    moved = {"x": at.x, "weight": at.weight, "bias": at.bias}
    name = "x" if array == "input" else array
    changed = np.array(moved[name])
    changed[index] += 1
    moved[name] = changed
    end = forward(layer, moved["x"], moved["weight"], moved["bias"])  # type: ignore[arg-type]
    return float(((end - start).astype(np.float64) * at.grad_output).sum())
