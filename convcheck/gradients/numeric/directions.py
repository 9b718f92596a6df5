"""In which directions an operand is perturbed so that every entry's effect can be told apart.

Convolution is local, so one evaluation can perturb many entries at once, as long as no output sees two of them. For the
input, that is the column grouping of Curtis, Powell and Reid (1974): see `Axis.colors`. The structure comes from the
layer, never from the gradient under test.

A set of directions knows how to perturb its operand, which outputs see the same entry, and how to book what these add
up to, to the entry:

    gradient[entry] = sum over the outputs n, f, i that see the entry, of grad_output[n, f, i] * change[n, f, i]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convcheck.layer.arrays import Array, widest
from convcheck.layer.axis import Axis
from convcheck.layer.data import Operands, as_weight, by_filter
from convcheck.layer.layer import Layer

#: forward(layer, x, weight, bias) -> output. Where several evaluations are merged into one call, the layer given has
#: more filters, or x a larger batch, than the layer under test.
Forward = Callable[[Layer, Array, Array, Array | None], Array]

#: An output, or what waits for it where another process computes it.
Output = Array | Callable[[], Array]

#: Asks for such a forward pass.
Ask = Callable[[Layer, Array, Array, Array | None], Output]

#: Sums of several colours that are booked at once, at most: index arrays as large take 1 MiB.
_TOGETHER = 2**17

#: Samples of an input of which the colours are kept for all checks of its layer: arrays as large take 128 KiB.
_KEPT = 2**14

#: The operand that a gradient is with respect to.
OPERAND_OF = {"input": "x", "weight": "weight", "bias": "bias"}

#: One perturbation: the number of a direction, and how far to go along it.
Step = tuple[int, float]


class Directions(ABC):
    """The directions along which one operand of a layer is perturbed.

    Parameters
    ----------
    operands : Operands
        The point from which the steps start.
    """

    def __init__(self, layer: Layer, operands: Operands) -> None:
        self.layer = layer
        self.operands = operands

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of directions that reach every entry of the operand."""

    @property
    def dtype(self) -> str:
        """The format of the gradient."""
        return widest(self.layer.dtype)

    @property
    def entries(self) -> int:
        """Entries of the largest array that one evaluation makes: bounds how many are merged into one call."""
        return prod(self.layer.output_shape)

    @abstractmethod
    def evaluate(self, ask: Ask, evaluations: Sequence[Sequence[Step]]) -> Output:
        """Ask for the forward pass once per entry of ``evaluations``, each with all its steps taken at once.

        Returns
        -------
        array, shape (len(evaluations), N, F, *output), or what waits for it
        """

    @abstractmethod
    def empty_gradient(self) -> Array:
        """Return zeros into which `book` adds."""

    @property
    @abstractmethod
    def terms(self) -> int:
        """How many outputs `sums` adds up."""

    @abstractmethod
    def sums(self, weighted: NDArray[Any]) -> NDArray[Any]:
        """Add up those outputs that see the same entry.

        Parameters
        ----------
        weighted : array, shape (T, N, F, *output)
            For T directions, or more, grad_output * change.

        Returns
        -------
        array, shape (T, ...)
        """

    @abstractmethod
    def book(self, gradient: Array, directions: Sequence[int], sums: NDArray[Any]) -> None:
        """Add the parts of some directions to the gradient; of each, what `sums` gives is a row of ``sums``."""

    def finish(self, gradient: Array) -> Array:
        """Return the gradient in the shape of its operand."""
        return gradient


class InputDirections(Directions):
    """One direction per colour and channel of a group: all groups and all samples of the batch are perturbed at once.

    Their number does not depend on the size of the input: of a plain layer it is at most C/groups * prod(kernel).
    """

    def __init__(self, layer: Layer, operands: Operands) -> None:
        super().__init__(layer, operands)
        self._colors, self._places = _colors, _places
        if prod(layer.input) > _KEPT:
            # Given back with the directions.
            self._colors, self._places = (lru_cache(maxsize=4)(find) for find in (_find_colors, _find_places))

    @property
    def count(self) -> int:
        """Number of directions: C/groups times the number of colours."""
        return direction_count("input", self.layer)

    @property
    def entries(self) -> int:
        """Of the output, or of what is unfolded: the input, or the output of a transposed layer."""
        layer = self.layer
        unfolded = layer.weight_terms * prod(layer.kernel) * (layer.filters if layer.transposed else layer.channels)
        return max(super().entries, unfolded, self.operands.x.size)

    def evaluate(self, ask: Ask, evaluations: Sequence[Sequence[Step]]) -> Output:
        """Merge the evaluations into one batch."""
        layer, operands = self.layer, self.operands
        copies, directions, amounts = _apart(evaluations)
        colors, channels = np.divmod(directions, layer.channels_per_group)
        # Only the channels that are moved are looked at: of each, the step of every colour, then of every sample.
        place = copies * layer.channels_per_group + channels
        there = np.bincount(place) > 0
        rows, row = np.flatnonzero(there), there.cumsum()[place] - 1
        of_sample = self._colors(layer.axes)
        steps = np.zeros((len(rows), prod(_color_counts(layer.axes))), operands.x.dtype)
        steps[row, colors] = amounts
        x = np.repeat(operands.x[np.newaxis], len(evaluations), axis=0)
        by_group = x.reshape(len(x), layer.batch, layer.groups, layer.channels_per_group, *layer.input)
        copies, channels = np.divmod(rows, layer.channels_per_group)
        by_group[copies, :, :, channels] += steps[:, of_sample][:, np.newaxis, np.newaxis]
        output = ask(layer, x.reshape(-1, *operands.x.shape[1:]), operands.weight, operands.bias)
        return _then(output, lambda found: found.reshape(-1, *layer.output_shape))

    def empty_gradient(self) -> Array:
        """Zeros of shape (N, groups, C/groups, prod(input) + 1), the last for outputs that see no such sample."""
        layer = self.layer
        return np.zeros((layer.batch, layer.groups, layer.channels_per_group, prod(layer.input) + 1), self.dtype)

    @property
    def terms(self) -> int:
        """The filters of a group."""
        return self.layer.filters_per_group

    def sums(self, weighted: NDArray[Any]) -> NDArray[Any]:
        """Over the filters of a group, at every output: shape (T, N * groups, prod(output))."""
        layer = self.layer
        maps = layer.batch * layer.groups
        total: NDArray[Any] = weighted.reshape(len(weighted), maps, layer.filters_per_group, -1).sum(axis=2)
        return total

    def book(self, gradient: Array, directions: Sequence[int], sums: NDArray[Any]) -> None:
        """Add each output's part to the one sample that it saw."""
        batch, groups, depth, places = gradient.shape
        colors, channels = np.divmod(directions, depth)
        # Directions come colour by colour. Of few, only their channels are looked at, and these colour by colour; large
        # images too.
        apart = len(directions) < depth or sums.size > _TOGETHER
        for some in [colors == color for color in dict.fromkeys(colors.tolist())] if apart else [slice(None)]:
            of_color, of_channel = colors[some], channels[some]
            first, last = of_channel.min(), of_channel.max() + 1
            rows = (of_channel - first)[:, np.newaxis] + np.arange(batch * groups) * (last - first)
            seen = self._places(self.layer.axes, int(of_color[0]), int(of_color[-1]) + 1)[of_color - of_color[0]]
            where = (rows[..., np.newaxis] * places + seen[:, np.newaxis]).ravel()
            parts, size = sums[some].ravel(), batch * groups * (last - first) * places
            booked = np.bincount(where, parts.real, size)
            if gradient.dtype.kind == "c":
                booked = booked + 1j * np.bincount(where, parts.imag, size)
            gradient[:, :, first:last] += booked.reshape(batch, groups, -1, places)

    def finish(self, gradient: Array) -> Array:
        """Leave out what belongs to no sample."""
        return gradient[..., :-1].reshape(self.layer.input_shape)


class WeightDirections(Directions):
    """One direction per tap and channel of a group: all filters are perturbed at once."""

    @property
    def count(self) -> int:
        """Number of directions: C/groups * prod(kernel)."""
        return direction_count("weight", self.layer)

    @property
    def entries(self) -> int:
        """Of the output, or of the weight."""
        return max(super().entries, self.operands.weight.size)

    def evaluate(self, ask: Ask, evaluations: Sequence[Sequence[Step]]) -> Output:
        """Merge the evaluations into one layer with as many more filters in each group."""
        layer, operands, copies = self.layer, self.operands, len(evaluations)
        # What a direction moves stands last, behind all filters of a group: (groups, copies, F/groups, directions).
        grouped = by_filter(layer, operands.weight).reshape(layer.groups, 1, layer.filters_per_group, -1)
        weight = np.repeat(grouped, copies, axis=1)
        at, directions, amounts = _apart(evaluations)
        weight[:, at, :, directions] += amounts[:, np.newaxis, np.newaxis]
        merged = layer if copies == 1 else layer.alike(filters=layer.filters * copies)
        bias = operands.bias
        if bias is not None:
            bias = np.repeat(bias.reshape(layer.groups, 1, -1), copies, axis=1).reshape(-1)

        def apart(output: Array) -> Array:
            split = output.reshape(layer.batch, layer.groups, copies, layer.filters_per_group, *layer.output)
            return np.moveaxis(split, 2, 0).reshape(copies, *layer.output_shape)

        return _then(ask(merged, operands.x, as_weight(merged, weight), bias), apart)

    def empty_gradient(self) -> Array:
        """Zeros of shape (F, C/groups * prod(kernel))."""
        return np.zeros((self.layer.filters, self.count), self.dtype)

    @property
    def terms(self) -> int:
        """All outputs of a filter."""
        return self.layer.batch * prod(self.layer.output)

    def sums(self, weighted: NDArray[Any]) -> NDArray[Any]:
        """Over each filter's outputs, which all see the same entry: shape (T, F)."""
        return _over_sites(weighted)

    def book(self, gradient: Array, directions: Sequence[int], sums: NDArray[Any]) -> None:
        """Add one entry to every filter."""
        gradient[:, directions] += sums.T

    def finish(self, gradient: Array) -> Array:
        """Give every channel and tap its axis."""
        return as_weight(self.layer, gradient)


class BiasDirections(Directions):
    """One direction: all biases at once, since each filter has its own."""

    @property
    def count(self) -> int:
        """One."""
        return 1

    def evaluate(self, ask: Ask, evaluations: Sequence[Sequence[Step]]) -> Output:
        """One call per evaluation: there are at most two."""
        operands = self.operands
        assert operands.bias is not None
        moved = [operands.bias + operands.bias.dtype.type(sum(amount for _, amount in steps)) for steps in evaluations]
        # Copies: code may return the same memory from every call.
        asked = [_then(ask(self.layer, operands.x, operands.weight, bias), np.array) for bias in moved]

        def together() -> Array:
            return np.stack([at_hand(output) for output in asked])

        return together if any(map(callable, asked)) else together()

    def empty_gradient(self) -> Array:
        """Zeros of shape (F,)."""
        return np.zeros(self.layer.filters, self.dtype)

    @property
    def terms(self) -> int:
        """All outputs of a filter."""
        return self.layer.batch * prod(self.layer.output)

    def sums(self, weighted: NDArray[Any]) -> NDArray[Any]:
        """Over each filter's outputs: shape (T, F)."""
        return _over_sites(weighted)

    def book(self, gradient: Array, directions: Sequence[int], sums: NDArray[Any]) -> None:
        """Add to every filter's."""
        gradient += sums.sum(axis=0)


class EntryDirections(Directions):
    """One direction per entry: makes no assumption about the forward pass, and costs an evaluation per entry.

    Parameters
    ----------
    layer, operands
        As for every set of directions.
    gradient : str
        "input", "weight" or "bias".
    """

    def __init__(self, layer: Layer, operands: Operands, gradient: str) -> None:
        super().__init__(layer, operands)
        self._operand = OPERAND_OF[gradient]
        self._shape = getattr(operands, self._operand).shape

    @property
    def count(self) -> int:
        """Number of entries."""
        return prod(self._shape)

    def evaluate(self, ask: Ask, evaluations: Sequence[Sequence[Step]]) -> Output:
        """One call per evaluation."""
        outputs = []
        for steps in evaluations:
            moved = getattr(self.operands, self._operand).copy()
            for entry, amount in steps:
                moved.flat[entry] += amount
            operands = replace(self.operands, **{self._operand: moved})
            outputs.append(np.array(at_hand(ask(self.layer, operands.x, operands.weight, operands.bias))))
        return np.stack(outputs)

    def empty_gradient(self) -> Array:
        """Zeros in the shape of the operand."""
        return np.zeros(self._shape, self.dtype)

    @property
    def terms(self) -> int:
        """All outputs."""
        return prod(self.layer.output_shape)

    def sums(self, weighted: NDArray[Any]) -> NDArray[Any]:
        """Over all outputs: every one's change belongs to the one entry."""
        total: NDArray[Any] = weighted.reshape(len(weighted), -1).sum(axis=1)
        return total

    def book(self, gradient: Array, directions: Sequence[int], sums: NDArray[Any]) -> None:
        """Add to the entries."""
        gradient.flat[list(directions)] += sums


def at_hand(output: Output) -> Array:
    """Return an output, which may have to be waited for."""
    return output() if callable(output) else output


def _then(output: Output, arrange: Callable[[Array], Array]) -> Output:
    """Return an output in another arrangement, or what waits for that."""
    return (lambda: arrange(output())) if callable(output) else arrange(output)


def _over_sites(weighted: NDArray[Any]) -> NDArray[Any]:
    """Sum over the batch and the outputs, shape (T, F)."""
    total: NDArray[Any] = weighted.reshape(*weighted.shape[:3], -1).sum(axis=(1, 3))
    return total


def _apart(evaluations: Sequence[Sequence[Step]]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return for every step the number of its evaluation, its direction and how far it goes."""
    copies = np.repeat(np.arange(len(evaluations)), [len(steps) for steps in evaluations])
    directions, amounts = zip(*(step for steps in evaluations for step in steps), strict=True)
    return copies, np.array(directions, np.intp), np.array(amounts, np.float64)


class Portion(Directions):
    """Some of the directions of a set, numbered from 0: what the others reach stays 0.

    Directions reach different entries, so the gradients of portions that lie side by side add up to that of the whole.

    Parameters
    ----------
    whole : Directions
    first, last : int
        The portion, without ``last``.
    """

    def __init__(self, whole: Directions, first: int, last: int) -> None:
        super().__init__(whole.layer, whole.operands)
        self._whole, self._first, self._last = whole, first, last

    @property
    def count(self) -> int:
        """Number of directions of the portion."""
        return self._last - self._first

    @property
    def entries(self) -> int:
        """As of the whole."""
        return self._whole.entries

    def evaluate(self, ask: Ask, evaluations: Sequence[Sequence[Step]]) -> Output:
        """Evaluate along directions of the whole."""
        moved = [[(self._first + direction, amount) for direction, amount in steps] for steps in evaluations]
        return self._whole.evaluate(ask, moved)

    def empty_gradient(self) -> Array:
        """As of the whole."""
        return self._whole.empty_gradient()

    @property
    def terms(self) -> int:
        """As of the whole."""
        return self._whole.terms

    def sums(self, weighted: NDArray[Any]) -> NDArray[Any]:
        """As of the whole."""
        return self._whole.sums(weighted)

    def book(self, gradient: Array, directions: Sequence[int], sums: NDArray[Any]) -> None:
        """Book to directions of the whole."""
        self._whole.book(gradient, [self._first + direction for direction in directions], sums)

    def finish(self, gradient: Array) -> Array:
        """As of the whole."""
        return self._whole.finish(gradient)


def _color_counts(axes: tuple[Axis, ...]) -> tuple[int, ...]:
    return tuple(axis.color_count for axis in axes)


def _find_colors(axes: tuple[Axis, ...]) -> NDArray[np.intp]:
    """Number of every sample's colour, shape (*input)."""
    of_axis = [np.searchsorted(list(axis.sample_of_color), axis.colors) for axis in axes]
    return np.ravel_multi_index(np.ix_(*of_axis), _color_counts(axes))


def _find_places(axes: tuple[Axis, ...], first: int, last: int) -> NDArray[np.intp]:
    """For some colours the number of the sample that each output sees, or behind the last one.

    Shape (last - first, prod(output)).
    """
    size = prod(axis.size for axis in axes)
    of_axis = np.unravel_index(np.arange(first, last), _color_counts(axes))
    places = np.zeros((last - first, 1), np.intp)
    for axis, colors in zip(axes, of_axis, strict=True):
        # Below every number of a sample where one axis sees none.
        samples = np.stack(list(axis.sample_of_color.values()))[colors]
        samples[samples < 0] = -size
        places = places[..., np.newaxis] * axis.size + samples[:, np.newaxis]
        places = places.reshape(last - first, -1)
    return np.where(places < 0, size, places)


# The checks of a layer follow one another, and directions come colour by colour: few arrays are in use at a time.
_colors, _places = lru_cache(maxsize=4)(_find_colors), lru_cache(maxsize=4)(_find_places)


def direction_count(gradient: str, layer: Layer) -> int:
    """Count the directions for a gradient without making them."""
    sites = [axis.color_count for axis in layer.axes] if gradient == "input" else layer.kernel
    return 1 if gradient == "bias" else layer.channels_per_group * prod(sites)


def directions_of(gradient: str, layer: Layer, operands: Operands) -> Directions:
    """Return the directions for a gradient: "input", "weight" or "bias"."""
    kinds: dict[str, type[InputDirections | WeightDirections | BiasDirections]] = {
        "input": InputDirections,
        "weight": WeightDirections,
        "bias": BiasDirections,
    }
    return kinds[gradient](layer, operands)
