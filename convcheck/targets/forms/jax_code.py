"""JAX: a function of (x, weight, bias), such as one around ``jax.lax.conv_general_dilated``; jax.vjp differentiates it.

Padding is given as pairs. A function that takes none gets its input padded, inside what is differentiated.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from convcheck.errors import TargetError
from convcheck.layer.arrays import Array
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.targets import features
from convcheck.targets.binding import bind, parameters_of, per_axis, refuse_unused
from convcheck.targets.form import Form
from convcheck.targets.placement import Placed
from convcheck.targets.session import Given, Session, StatelessSession
from convcheck.targets.spec import TargetSpec

#: With which products are made while code is checked: float32 in float32.
_PRECISION = "highest"


def is_jax(found: Any) -> bool:
    """Whether something is a function of JAX's own or compiled by it, without importing JAX."""
    if "jax" not in sys.modules:
        return False
    modules = (str(getattr(found, "__module__", "")), type(found).__module__)
    return any(module.partition(".")[0] in ("jax", "jaxlib") for module in modules)


class JaxForm(Form):
    """A function of arrays."""

    inapplicable: Mapping[str, str] = {
        **dict.fromkeys(
            ("not-contiguous", "transposed-memory", "negative-strides", "broadcast-grad-output", "out-of-bounds"),
            "an array of JAX's has no memory layout",
        ),
        "read-only": "no array of JAX's can be written",
        "after-no-grad": "a function of JAX's has no modes",
    }

    conjugates = False

    def __init__(self, name: str, function: Any, spec: TargetSpec) -> None:
        self._jax = _import_jax(name)
        self._device = _device(self._jax, name, spec.device)
        if not callable(function) or isinstance(function, type):
            raise TargetError(f"target {name}: expected a function of (x, weight, bias, ...)")
        self._function = function
        # Padding of jax.lax's own is that of the convolution in which zeros stand between the samples.
        self._of_jax = str(getattr(function, "__module__", "")).partition(".")[0] == "jax"
        arrays = ("x", "weight", "bias") if "bias" not in spec.unsupported else ("x", "weight")
        behind = any(parameter.name == "output_padding" for parameter in parameters_of(function) or ())
        own = {"output_padding": "output_padding"} if behind and "output_padding" not in spec.constants else {}
        self._binding = bind(name, function, arrays, {**own, **spec.keywords}, spec.constants)
        refuse_unused(name, spec.constants, self._binding)
        taken = self._binding.takes
        transposed = behind or "transpose" in str(getattr(function, "__name__", "")).lower()
        self.shown = frozenset({"transposed"} if transposed else ())
        self.kinds = self.shown | ({"transposed"} if "layer" not in taken else features.KINDS)
        options = {option for option in ("stride", "dilation", "groups") if option in taken or "layer" in taken}
        takes = {"padding", "asymmetric-padding", "per-axis", "per-axis-kernel", *DTYPES, *self.shown}
        lacking = {"plain"} if transposed else set()
        lacking |= set() if behind or self._of_jax or "layer" in taken else {"output-padding"}
        takes |= options | (taken & {"bias"}) | features.ranks_in(name)
        super().__init__(name, spec, frozenset(takes), lacking=lacking, around={"padding"} - taken)
        self.differentiable = self.gives_sums
        if self._device.platform != "cpu":
            self.room = _room(self._device)
            self.note(f"it runs on {spec.device}, {self._device.device_kind}")

    def own(self, array: Array) -> Any:
        return self._jax.device_put(array, self._device)

    def own_placed(self, where: Placed) -> Any:
        return self.own(where.view().copy())

    def locked(self, array: Any) -> Any:
        return array

    def refill(self, array: Any, values: Array) -> Any:
        return self.own(values.copy())

    def numpy(self, value: Any) -> Any:
        # Which waits until it has been computed.
        return np.asarray(value)

    def world(self, layer: Layer) -> AbstractContextManager[Any]:
        outside = self._jax.config.jax_default_matmul_precision
        if outside not in (None, _PRECISION) or self._device.platform != "cpu":
            said = "unset, which is TF32 on a GPU" if outside is None else outside
            self.note(f"JAX's matmul precision is {said}; while it is checked it is {_PRECISION}")
        return _settings(self._jax, wide=layer.dtype in ("float64", "complex128"))

    def session(self, layer: Layer, given: Given) -> Session:
        return _JaxSession(self, layer, given)

    def call(self, layer: Layer, x: Any, weight: Any, bias: Any) -> Any:
        """Run the function."""
        whole: list[slice] = []
        itself = "padding" in self.untold or self._binding.takes & {"padding", "layer"}
        if not itself and layer.transposed:
            whole = [slice(before, -after or None) for before, after in layer.padding]
            layer = replace(layer, padding=((0, 0),) * len(whole))
        elif not itself:
            x = self._jax.numpy.pad(x, self._images.in_order([(0, 0), (0, 0), *layer.padding]))
            padded = tuple(size + sum(pair) for size, pair in zip(layer.input, layer.padding, strict=True))
            layer = replace(layer, padding=((0, 0),) * len(padded), input=padded)
        arrays = {"x": x, "weight": weight, "bias": bias}

        def value(what: str, name: str) -> Any:
            if what in arrays:
                return arrays[what]
            if what == "padding":
                # Tuples, also of tuples, can be static arguments of what is compiled; lists cannot.
                return _of_dilated(layer) if layer.transposed and self._of_jax else layer.padding
            option = layer if what == "layer" else getattr(layer, what)
            return per_axis(option, name, tuples=self.spec.tuples) if isinstance(option, tuple) else option

        output = self._binding.call(self._function, value)
        return output[tuple(self._images.in_order([slice(None), slice(None), *whole]))] if whole else output

    @property
    def jax(self) -> Any:
        """The module."""
        return self._jax


class _JaxSession(StatelessSession):
    def __init__(self, target: JaxForm, layer: Layer, given: Given) -> None:
        super().__init__(layer, given)
        self._target = target
        self._pull: Any = None
        self._names: list[str] = []

    def forward(self) -> Any:
        arrays = self._by_gradient(self._given)
        self._names = [name for name in self._given.gradients if arrays[name] is not None]
        variables = [arrays[name] for name in self._names]
        if not variables:
            return self._function()
        output, self._pull = self._target.jax.vjp(self._function, *variables)
        return output

    @staticmethod
    def _by_gradient(given: Given) -> dict[str, Any]:
        return {"input": given.x, "weight": given.weight, "bias": given.bias}

    def _function(self, *variables: Any) -> Any:
        """Return the output as a function of what is differentiated."""
        arrays = self._by_gradient(self._given) | dict(zip(self._names, variables, strict=True))
        return self._target.call(self._layer, *arrays.values())

    def _pairs(self, along: Given) -> tuple[list[Any], list[Any]]:
        """Return all arguments that there are, and what belongs to them of others."""
        arrays, others = self._by_gradient(self._given), self._by_gradient(along)
        self._names = [name for name, array in arrays.items() if array is not None]
        return [arrays[name] for name in self._names], [others[name] for name in self._names]

    def second(self, grad_output: Any, along: Given) -> tuple[Any, Any, Any]:
        vjp = self._target.jax.vjp
        variables, weights = self._pairs(along)

        def gradients(at: Any, *variables: Any) -> Any:
            return vjp(self._function, *variables)[1](at)

        _, pull = vjp(gradients, grad_output, *variables)
        by_output, by_input, by_weight, *_ = pull(tuple(weights))
        return by_output, by_input, by_weight

    def tangent(self, along: Given) -> Any:
        variables, directions = self._pairs(along)
        return self._target.jax.jvp(self._function, tuple(variables), tuple(directions))[1]

    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        found = dict(zip(self._names, self._pull(grad_output), strict=True))
        return found.get("input"), found.get("weight"), found.get("bias")


def _of_dilated(layer: Layer) -> tuple[tuple[int, int], ...]:
    """Return the padding of the convolution that a transposed layer is, of its input with zeros between the samples."""
    return tuple(
        (axis.effective_kernel - 1 - axis.before, axis.effective_kernel - 1 - axis.after + axis.output_padding)
        for axis in layer.axes
    )


def _room(device: Any) -> int | None:
    """Return the bytes that JAX may still use there; None where it does not say."""
    known = device.memory_stats() or {}
    if "bytes_limit" not in known:
        return None
    return int(known["bytes_limit"]) - int(known.get("bytes_in_use", 0))


def _import_jax(name: str) -> Any:
    try:
        import jax
        import jax.experimental
        import jax.numpy
    except ImportError as error:
        raise TargetError(
            f"target {name} needs JAX, which cannot be imported ({error}); install it: pip install jax"
        ) from error
    return jax


def _device(jax: Any, name: str, device: str | None) -> Any:
    try:
        return jax.devices(device or "cpu")[0]
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise TargetError(f"target {name}: device {device} cannot be used: {reason}; expected cpu or cuda") from error


@contextmanager
def _settings(jax: Any, *, wide: bool) -> Iterator[None]:
    with ExitStack() as stack:
        if wide:
            # A context of jax itself since 0.8, of jax.experimental before.
            enable = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
            stack.enter_context(enable(True))
        stack.enter_context(jax.default_matmul_precision(_PRECISION))
        yield
