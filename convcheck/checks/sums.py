"""The sums that a layer's passes make: which terms meet in one, and how chosen terms are put into them.

All terms but those chosen are zeros, since one operand is ones and the other zeros elsewhere. The sums of an output lie
by its filter, those of dL/dX by the channel, those of dL/dW and dL/db by the filter of grad_output: their owners.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convcheck.checks.ran import ahead
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.directions import at_hand
from convcheck.layer.arrays import Array, wide
from convcheck.layer.data import Operands, as_weight, by_filter
from convcheck.layer.layer import Layer
from convcheck.targets.target import Target


class Meeting(NamedTuple):
    """Terms that meet in one sum: a grid among all of an owner's.

    Attributes
    ----------
    shape : tuple of int
        Of all of the owner's terms.
    along : sequence of array
        Which of them along each axis.
    """

    shape: tuple[int, ...]
    along: Sequence[NDArray[np.int64]]

    @property
    def first(self) -> int:
        return len(self.along[0])

    @property
    def size(self) -> int:
        return prod(map(len, self.along))

    def numbers(self, where: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of terms among all of the owner's, by those among the ones that meet."""
        places = np.unravel_index(where, [len(along) for along in self.along])
        there = tuple(along[place] for along, place in zip(self.along, places, strict=True))
        return np.asarray(np.ravel_multi_index(there, self.shape), np.int64)


@dataclass(frozen=True)
class View:
    """A way to put terms into sums: which arrays show them, and how sums lie in what was given and what comes back.

    Attributes
    ----------
    owners : callable
        How many owners of sums a layer has.
    terms : callable
        How many terms an owner has.
    meeting : callable
        Which of an owner's terms meet in one sum; a list of all such.
    operands : callable
        Puts an array of terms, shape (owners, terms), into the operands.
    by_owner : mapping of str to callable
        Brings an array that shows them into the shape (owners, sums).
    """

    shows: tuple[str, ...]
    forward: bool
    owners: Callable[[Layer], int]
    terms: Callable[[Layer], int]
    meeting: Callable[[Layer], list[Meeting]]
    operands: Callable[[Layer, Operands, NDArray[np.float64]], Operands]
    by_owner: dict[str, Callable[[Layer, NDArray[Any]], NDArray[Any]]]


def filled(rows: int, terms: int, places: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    array = np.zeros((rows, terms))
    np.put_along_axis(array, places, np.broadcast_to(values, places.shape), axis=1)
    return array


def constant(layer: Layer) -> Operands:
    """Return ones, and no bias."""
    bias = np.zeros(layer.bias_shape, layer.dtype) if layer.bias else None
    x, weight, grad_output = (
        np.ones(shape, layer.dtype) for shape in (layer.input_shape, layer.weight_shape, layer.output_shape)
    )
    return Operands(x, weight, bias, grad_output)


def right(layer: Layer, at: Operands, views: View) -> dict[str, Array]:
    """Return what is right, in float64 or complex128, for such operands."""
    built_in = formulation(FASTEST)
    if views.forward:
        return {"output": built_in.forward(layer, at.x, at.weight, at.bias)}
    found = built_in.backward(layer, at.x, at.weight, at.grad_output)._asdict()
    return {name: found[name] for name in views.shows if found[name] is not None}


def given(layer: Layer, target: Target, data: Iterable[Operands], views: View) -> Iterator[dict[str, Array]]:
    """Yield in float64, or complex128, what the target gives for each of some data.

    In another process, several are asked for before the first is waited for.
    """
    for arrive in ahead((_asked(layer, target, at, views) for at in data), target, layer):
        yield arrive()


def _asked(layer: Layer, target: Target, at: Operands, views: View) -> Callable[[], dict[str, Array]]:
    """Ask for one pass; return what waits for what it gives."""
    if views.forward:
        output = target.merged(layer, layer, at.x, at.weight, at.bias)
        return lambda: {"output": _kept(at_hand(output))}
    run = target.both(layer, at)

    def arrive() -> dict[str, Array]:
        found = dict(zip(("input", "weight", "bias"), run.backward(), strict=True))
        return {name: _kept(found[name]) for name in views.shows if found[name] is not None}

    return arrive


def _kept(array: Any) -> Array:
    # A copy: code may return the same memory from every call.
    return wide(np.array(array))


def _weight_by_filter(layer: Layer, plain: Operands, terms: NDArray[np.float64]) -> Operands:
    return replace(plain, weight=as_weight(layer, terms).astype(layer.dtype))


def _weight_by_channel(layer: Layer, plain: Operands, terms: NDArray[np.float64]) -> Operands:
    grouped = terms.reshape(layer.groups, layer.channels_per_group, layer.filters_per_group, -1)
    weight = as_weight(layer, grouped.swapaxes(1, 2)).astype(layer.dtype)
    return replace(plain, x=np.zeros_like(plain.x), weight=weight)


def _grad_output(layer: Layer, plain: Operands, terms: NDArray[np.float64]) -> Operands:
    by_filter = terms.reshape(layer.filters, layer.batch, *layer.output)
    grad_output = np.moveaxis(by_filter, 0, 1).astype(layer.dtype)
    return replace(plain, weight=np.zeros_like(plain.weight), grad_output=np.ascontiguousarray(grad_output))


def _second_axis_first(layer: Layer, array: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(array, 1, 0).reshape(array.shape[1], -1)


def _by_filter(layer: Layer, array: NDArray[Any]) -> NDArray[Any]:
    return (array if array.ndim == 1 else by_filter(layer, array)).reshape(layer.filters, -1)


def _grids(first: int, axes: Sequence[Collection[tuple[int, ...]]], sizes: Sequence[int]) -> list[Meeting]:
    """Return all that meet, by what meets along each axis."""
    return [
        Meeting((first, *sizes), [np.arange(first), *(np.array(one, np.int64) for one in along)])
        for along in product(*axes)
    ]


def _where(there: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(there).tolist())


def _taps_of_outputs(layer: Layer) -> list[Meeting]:
    met = [{_where(row >= 0) for row in axis.source} for axis in layer.axes]
    return _grids(layer.channels_per_group, met, layer.kernel)


def _taps_of_samples(layer: Layer) -> list[Meeting]:
    met = [{_where((axis.source == sample).any(axis=0)) for sample in range(axis.size)} for axis in layer.axes]
    return _grids(layer.filters_per_group, met, layer.kernel)


def _outputs_of_taps(layer: Layer) -> list[Meeting]:
    """Return the outputs that meet in an entry of dL/dW, and all, which meet in one of dL/db."""
    met = [{_where(column >= 0) for column in axis.source.T} for axis in layer.axes]
    every = [{tuple(range(size))} for size in layer.output]
    together = [met] if not layer.bias or met == every else [every, met]
    return [meeting for axes in together for meeting in _grids(layer.batch, axes, layer.output)]


VIEWS = {
    "forward": View(
        ("output",), True, lambda layer: layer.filters, lambda layer: layer.channels_per_group * prod(layer.kernel),
        _taps_of_outputs, _weight_by_filter, {"output": _second_axis_first},
    ),
    "input": View(
        ("input",), False, lambda layer: layer.channels, lambda layer: layer.filters_per_group * prod(layer.kernel),
        _taps_of_samples, _weight_by_channel, {"input": _second_axis_first},
    ),
    "weight": View(
        ("weight", "bias"), False, lambda layer: layer.filters, lambda layer: layer.batch * prod(layer.output),
        _outputs_of_taps, _grad_output, {"weight": _by_filter, "bias": _by_filter},
    ),
}  # fmt: skip
