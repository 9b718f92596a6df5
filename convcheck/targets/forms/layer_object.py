"""An object that holds its parameters and their gradients, as most frameworks have them.

The class is constructed with the layer's sizes. Its parameters are then set to the data, forward and backward are
called, and the gradients are taken from what backward returns or from where it leaves them. Every name can be mapped;
PyTorch's names and the usual short ones are found without.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from convcheck.errors import TargetError
from convcheck.layer.layer import Layer
from convcheck.targets import attributes, features
from convcheck.targets.binding import bind, per_axis, symmetric_padding
from convcheck.targets.form import Form, Given, Session
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import TargetContractError

_WEIGHTS = ("weight", "W", "w", "weights", "kernel", "kernels", "filters", "params.W", "params.w", "params.weight")
_BIASES = ("bias", "b", "B", "biases", "params.b", "params.bias")

#: PyTorch's way first; `weight.grad` counts where the parameter is an object of its own.
_GRADIENTS = {
    "weight": (
        "{0}.grad", "grad_{0}", "{0}_grad", "d{0}", "d_{0}", "grad{0}", "grad_weight", "weight_grad", "dweight", "dW",
        "dw", "d_weight", "grads.{0}", "grads.W", "grads.w", "grads.weight",
    ),
    "bias": (
        "{0}.grad", "grad_{0}", "{0}_grad", "d{0}", "d_{0}", "grad{0}", "grad_bias", "bias_grad", "dbias", "db",
        "d_bias", "grads.{0}", "grads.b", "grads.bias",
    ),
}  # fmt: skip


class LayerForm(Form):
    """A class whose objects hold weight, bias and their gradients."""

    def __init__(self, name: str, factory: Any, spec: TargetSpec) -> None:
        if not callable(factory):
            raise TargetError(f"target {name}: {type(factory).__name__} cannot be called; expected a class")
        self._factory = factory
        self._binding = bind(name, factory, (), spec.keywords, spec.constants)
        taken = self._binding.takes
        lacking = {option for option in ("stride", "padding", "dilation", "groups") if option not in taken}
        if "layer" in taken:
            lacking = set()
        takes = features.ALL - lacking - {"asymmetric-padding", "1d", "2d", "3d"} | features.ranks_in(name)
        super().__init__(name, spec, frozenset(takes))

    def session(self, layer: Layer, given: Given) -> Session:
        instance = self._binding.call(
            self._factory, lambda what, name: constructor_value(what, name, layer, tuples=self.spec.tuples)
        )
        return _LayerSession(instance, self.spec.attributes, given)


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


class _LayerSession(Session):
    def __init__(self, instance: Any, names: Mapping[str, str], given: Given) -> None:
        self._instance, self._names, self._given = instance, names, given
        self._weight = attributes.find(instance, "weight", names.get("weight"), _WEIGHTS)
        self._bias = None
        if given.bias is not None:
            self._bias = attributes.find(instance, "bias", names.get("bias"), _BIASES)
        elif any(attributes.has(instance, name) for name in _BIASES) and "bias" not in names:
            self._no_bias()
        self.renew(given)

    def renew(self, given: Given) -> None:
        self._given = given
        _put_array(self._instance, self._weight, given.weight)
        if self._bias is not None:
            _put_array(self._instance, self._bias, given.bias)

    def _no_bias(self) -> None:
        """An object that has a bias whether it is wanted or not gets zeros."""
        path = next(name for name in _BIASES if attributes.has(self._instance, name))
        array = _array_of(attributes.get(self._instance, path))
        if isinstance(array, np.ndarray):
            _put_array(self._instance, path, np.zeros_like(array, dtype=self._given.x.dtype))

    def forward(self) -> Any:
        method = self._method("forward", ("forward", "__call__"))
        return method(self._given.x)

    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        self._forget_gradients()
        returned = self._method("backward", ("backward",))(grad_output)
        if isinstance(returned, (tuple, list)):
            if len(returned) not in (2, 3):
                raise TargetContractError(
                    f"backward returned {len(returned)} values; expected grad_input, or the triple (grad_input, "
                    "grad_weight, grad_bias)"
                )
            grad_input, grad_weight, grad_bias = (*returned, None)[:3]
            return grad_input, grad_weight, grad_bias
        if "grad_input" in self._names:
            path = attributes.find(self._instance, "grad_input", self._names["grad_input"], ())
            returned = attributes.get(self._instance, path)
        return returned, self._gradient("weight", self._weight), self._gradient("bias", self._bias)

    def arguments(self) -> Mapping[str, Any]:
        now = {"x": self._given.x, "weight": _array_of(attributes.get(self._instance, self._weight))}
        return now if self._bias is None else now | {"bias": _array_of(attributes.get(self._instance, self._bias))}

    def _method(self, role: str, usual: tuple[str, ...]) -> Any:
        declared = self._names.get(role)
        for name in (declared,) if declared else usual:
            if callable(getattr(self._instance, name, None)):
                return getattr(self._instance, name)
        raise TargetContractError(
            f"{type(self._instance).__name__} has no method {declared or usual[0]}; give its name in the mapping: "
            f"attributes: {{{role}: NAME}}"
        )

    def _gradient(self, role: str, parameter: str | None) -> Any:
        if parameter is None:
            return None
        usual = [path.format(parameter) for path in _GRADIENTS[role]]
        path = attributes.find(self._instance, f"grad_{role}", self._names.get(f"grad_{role}"), usual)
        return _array_of(attributes.get(self._instance, path))

    def _forget_gradients(self) -> None:
        """Set back gradients that add up by design: by the object's own method, or on parameters of PyTorch's kind."""
        zero = self._names.get("zero_grad", "zero_grad")
        if callable(getattr(self._instance, zero, None)):
            getattr(self._instance, zero)()
            return
        for path in filter(None, (self._weight, self._bias)):
            parameter = attributes.get(self._instance, path)
            if not isinstance(parameter, np.ndarray) and getattr(parameter, "grad", None) is not None:
                with suppress(TypeError, ValueError):
                    parameter.grad = np.zeros_like(parameter.grad)


def _array_of(value: Any) -> Any:
    """Return the array inside a parameter object; an array is its own."""
    return value if isinstance(value, np.ndarray) else getattr(value, "data", value)


def _put_array(instance: Any, path: str, array: Any) -> None:
    there = attributes.get(instance, path)
    shape = tuple(getattr(_array_of(there), "shape", array.shape))
    if _squeezed(shape) != _squeezed(array.shape):
        raise TargetContractError(
            f"its {path} has shape {shape}; expected {array.shape}: check the names of the constructor's keywords, and "
            "give the order of the weight's axes as weight_layout"
        )
    # A bias may well be held as (1, F) or (F, 1, 1).
    array = array.reshape(shape)
    if isinstance(there, np.ndarray) or not hasattr(there, "data"):
        attributes.put(instance, path, array)
    else:
        there.data = array


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
