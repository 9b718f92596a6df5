"""Two functions with a cache, as courses have them.

``forward(x, w, b, conv_param) -> (out, cache)`` with ``conv_param = {"stride": int, "pad": int}``, and
``backward(dout, cache) -> (dx, dw, db)``. A forward function that takes ``stride`` and ``pad`` by name does as well. A
layer without a bias is given zeros, which is the same layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from convcheck.errors import TargetError
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.targets.binding import bind, per_axis, symmetric_padding
from convcheck.targets.form import Form, Given, Session, triple
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import TargetContractError

#: What this style takes unless the mapping says more: one stride and one padding, two axes, any kernel.
_TAKES = frozenset({"stride", "padding", "per-axis-kernel", "2d", *DTYPES})

#: What the dictionary calls the options of a layer.
_KEYS = {"stride": "stride", "padding": "pad", "dilation": "dilation", "groups": "groups"}


class CacheForm(Form):
    """A forward function that returns a cache, and a backward function that takes it."""

    def __init__(self, name: str, forward: Any, backward: Any, spec: TargetSpec) -> None:
        for role, function in (("forward", forward), ("backward", backward)):
            if not callable(function):
                raise TargetError(
                    f"target {name}: {role} is {type(function).__name__}, which cannot be called; expected a function"
                )
        self._forward, self._backward = forward, backward
        arrays = ("x", "weight", "bias") if "bias" not in spec.unsupported else ("x", "weight")
        self._binding = bind(name, forward, arrays, spec.keywords, extra="conv_param")
        taken = self._binding.takes & {"stride", "padding", "dilation", "groups", "bias"}
        takes = _TAKES if "conv_param" in self._binding.takes else _TAKES - {"stride", "padding"}
        super().__init__(name, spec, takes | taken)

    def session(self, layer: Layer, given: Given) -> Session:
        return _CacheSession(self, layer, given)

    def call(self, layer: Layer, given: Given) -> Any:
        """Run the forward function."""
        return self._binding.call(self._forward, lambda what, name: self._value(what, name, layer, given))

    def gradients(self, grad_output: Any, cache: Any) -> Any:
        """Run the backward function."""
        backward: Callable[[Any, Any], Any] = self._backward
        return backward(grad_output, cache)

    def _value(self, what: str, name: str, layer: Layer, given: Given) -> Any:
        if what == "conv_param":
            names = {key: self.spec.keywords.get(key, usual) for key, usual in _KEYS.items()}
            wanted = [key for key in names if key in ("stride", "padding") or key in self._takes]
            return {names[key]: self._option(key, "", layer) for key in wanted if names[key] is not None}
        if what in ("x", "weight", "bias"):
            return getattr(given, what)
        return self._option(what, name, layer)

    def _option(self, what: str, name: str, layer: Layer) -> Any:
        if what == "padding":
            if any(before != after for before, after in layer.padding):
                return layer.padding
            return per_axis(symmetric_padding(layer), name, tuples=self.spec.tuples)
        value = getattr(layer, what)
        return per_axis(value, name, tuples=self.spec.tuples) if isinstance(value, tuple) else value


class _CacheSession(Session):
    def __init__(self, target: CacheForm, layer: Layer, given: Given) -> None:
        self._target, self._layer, self._has_bias = target, layer, layer.bias
        self._cache: Any = None
        self.renew(given)

    def forward(self) -> Any:
        result = self._target.call(self._layer, self._given)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            got = f"{len(result)} values" if isinstance(result, (tuple, list)) else f"one {type(result).__name__}"
            raise TargetContractError(f"forward returned {got}; expected the pair (out, cache)")
        output, self._cache = result
        return output

    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        return triple(self._target.gradients(grad_output, self._cache), bias=self._has_bias)

    def arguments(self) -> Mapping[str, Any]:
        return vars(self._given)

    def renew(self, given: Given) -> None:
        bias = np.zeros(self._layer.filters, self._layer.dtype) if given.bias is None else given.bias
        self._given = Given(given.x, given.weight, bias, given.differentiate)
