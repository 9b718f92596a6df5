"""How a class of the user's is constructed: what each parameter takes, and in which of the usual ways it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter
from itertools import product
from typing import Any

import numpy as np

from convcheck.errors import TargetError
from convcheck.layer.arrays import Array
from convcheck.layer.axis import same_padding
from convcheck.layer.layer import Layer
from convcheck.targets.binding import Binding, bind, parameters_of, per_axis, plain, symmetric_padding, with_kinds
from convcheck.targets.spec import LEARNING_RATE, TargetSpec

_RATES = ("lr", "learningrate", "learnrate", "lrate")

#: These may be something else too, so that only a value that must be given is taken for a learning rate.
_OR_RATES = ("eta", "alpha", "stepsize", "rate")

#: Ways to write a value, in words.
_IN_WORDS = {
    "number": "one number",
    "tuple": "one number per axis",
    "word": '"same" or "valid"',
    "WORD": '"SAME" or "VALID"',
    "sample": "the shape of one sample",
    "batch": "the shape of a batch",
    "size": "the spatial size",
    "gaps": "the number of samples between taps",
}

WORDS_ONLY = 'it takes padding as "same" or "valid" only'

#: What each constructed value is written like, by what it is: {"kernel": "tuple"}.
Way = Mapping[str, str]


class Construction:
    """A class, and what its constructor takes.

    Parameters
    ----------
    in_order : callable
        Brings what belongs to the axes of an image into the target's order.

    Attributes
    ----------
    rate : float or None
        The learning rate that objects are constructed with.
    from_zero : bool
        Whether a dilation of 0 is none: 1 is then no dilation either, or a sample between taps.
    way : mapping of str to str
        How the values were written when it last worked.
    """

    def __init__(
        self, name: str, factory: Any, spec: TargetSpec, in_order: Callable[[Sequence[Any]], list[Any]]
    ) -> None:
        if not callable(factory):
            raise TargetError(f"target {name}: {type(factory).__name__} cannot be called; expected a class")
        self._factory, self._in_order, self._tuples = factory, in_order, spec.tuples
        self._parameters = {parameter.name: parameter for parameter in parameters_of(factory) or []}
        rates = {name: LEARNING_RATE for name, parameter in self._parameters.items() if takes_rate(parameter)}
        constants = rates | dict(spec.constants)
        self.binding = bind(name, factory, (), with_kinds(factory, spec).keywords, constants)
        self.rate = rate_in(constants)
        self.from_zero = any(what == "dilation" and self._zero(name) for name, what in self.binding.keywords.items())
        self.way: Way = {}

    def ways(self, layer: Layer) -> Iterator[tuple[Way, bool]]:
        """Yield how the values can be written, and whether that is the usual way or has worked before.

        What worked before comes first, then the usual way, then ways that differ from it more and more. Of a dilation
        that may be read in two ways, that says nothing: where taps are single, both work.
        """
        choices = {what: ways for name, what in self.binding.keywords.items() if (ways := self._ways_of(what, name))}
        ranked = sorted(product(*map(enumerate, choices.values())), key=lambda chosen: sum(at for at, _ in chosen))
        every: list[Way] = [dict(zip(choices, (way for _, way in chosen), strict=True)) for chosen in ranked]
        tried: list[list[Any]] = []
        for way in [self.way, *every] if self.way else every:
            values = [self._written(what, layer, chosen) for what, chosen in way.items()]
            if values not in tried and None not in values:
                tried.append(values)
                yield way, way in (self.way, every[0]) and not self.from_zero

    def _zero(self, name: str) -> bool:
        """Whether a parameter is 0 by default, or so on every axis."""
        default = getattr(self._parameters.get(name), "default", None)
        values = default if isinstance(default, tuple) else (default,)
        return bool(values) and all(type(value) is int and value == 0 for value in values)

    def _ways_of(self, what: str, name: str) -> list[str]:
        """Return how a parameter's value can be written, the usual way first."""
        sizes = ["tuple"] if self._tuples else ["number", "tuple"]
        if isinstance(per_axis((1,), name, tuples=False), tuple):
            sizes.reverse()
        default = getattr(self._parameters.get(name), "default", None)
        if name in self.binding.axes or what not in ("kernel", "stride", "padding", "dilation", "input"):
            return []
        if what == "padding" and isinstance(default, str):
            return ["WORD" if default.isupper() else "word", *sizes]
        if what == "padding":
            return [*sizes, "word", "WORD"]
        if what == "input" and "batch" in plain(name):
            return ["batch"]
        if what == "input":
            of_space = ["size", "sample", "batch"] if "size" in plain(name) else ["sample", "batch", "size"]
            return [*of_space, "number"]
        return [*sizes, "gaps"] if what == "dilation" and self._zero(name) else sizes

    def _written(self, what: str, layer: Layer, way: str) -> Any:
        """Return a value; None if it cannot be written that way."""
        match way:
            case "word" | "WORD":
                word = word_of(layer)
                return word.upper() if word and way == "WORD" else word
            case "sample":
                return tuple(size for size in self._in_order((None, layer.channels, *layer.input)) if size is not None)
            case "batch":
                return tuple(self._in_order(layer.input_shape))
            case "gaps":
                return per_axis(tuple(each - 1 for each in layer.dilation), "", tuples=self._tuples)
        return constructor_value(what, "", layer, tuples=way in ("tuple", "size"))

    def settle(self, way: Way) -> list[str]:
        """Keep what worked; return what is unusual in it, in words."""
        self.way = way
        names = [(name, what) for name, what in self.binding.keywords.items() if what in way]
        return [
            f"its constructor takes {name} as {_IN_WORDS[way[what]]}"
            for name, what in names
            if way[what] not in self._ways_of(what, name)[:1]
        ]

    def construct(self, layer: Layer, weight: Array, bias: Array | None, way: Way) -> tuple[Any, dict[str, Array]]:
        """Return an object, and the arrays that its constructor was given."""
        passed: dict[str, Array] = {}

        def value(what: str, name: str) -> Any:
            if what in way and name not in self.binding.axes:
                return self._written(what, layer, way[what])
            if what == "weight":
                passed[what] = weight.copy()
            elif what == "bias" and "weight" in self.binding.takes:
                if bias is None and self._parameters[name].default is None:
                    return None
                passed[what] = np.zeros(layer.filters, layer.dtype) if bias is None else bias.copy()
            else:
                return constructor_value(what, name, layer, tuples=self._tuples)
            return passed[what]

        return self.binding.call(self._factory, value), passed


def lacking(binding: Binding) -> set[str]:
    """Return the options that a callable does not take."""
    return set() if "layer" in binding.takes else {"stride", "padding", "dilation", "groups"} - binding.takes


def constructor_value(what: str, name: str, layer: Layer, *, tuples: bool) -> Any:
    """Return what a constructor's parameter is given."""
    if what == "layer":
        return layer
    if what == "padding":
        if any(before != after for before, after in layer.padding):
            return layer.padding
        return per_axis(symmetric_padding(layer), name, tuples=tuples)
    value = getattr(layer, what)
    return per_axis(value, name, tuples=tuples) if isinstance(value, tuple) else value


def word_of(layer: Layer) -> str | None:
    """Return the word for a layer's padding; None if there is none, or one that not everybody reads alike."""
    if not any(map(any, layer.padding)):
        return "valid"
    if layer.transposed:
        # For some as many outputs as inputs, for others a stride times as many.
        return None
    alike = all(
        axis.effective_kernel % 2
        and (axis.effective_kernel // 2,) * 2
        == (axis.before, axis.after)
        == same_padding(axis.size, axis.effective_kernel, axis.stride)
        for axis in layer.axes
    )
    return "same" if alike else None


def takes_rate(parameter: Parameter) -> bool:
    """Whether a parameter is a learning rate that is given, rather than left at 0 or nothing."""
    if parameter.default is Parameter.empty:
        return plain(parameter.name) in _RATES + _OR_RATES
    return plain(parameter.name) in _RATES and is_rate(parameter.default)


def is_rate(value: Any) -> bool:
    """Whether a value can be a learning rate by which something changes."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value != 0


def rate_in(values: Mapping[str, Any]) -> float | None:
    """Return the learning rate among values by their names."""
    names = [name for name in values if plain(name) in _RATES] or [n for n in values if plain(n) in _OR_RATES]
    return next((values[name] for name in names if is_rate(values[name])), None)


def rate_attributes(instance: Any) -> list[str]:
    """Return the attributes in which an object keeps its learning rate."""
    return [
        name for name, value in getattr(instance, "__dict__", {}).items() if plain(name) in _RATES and is_rate(value)
    ]
