"""A pair of functions, as courses have them.

``forward(x, w, b, conv_param) -> (out, cache)`` with ``conv_param = {"stride": int, "pad": int}``, and
``backward(dout, cache) -> (dx, dw, db)``. Functions that take their options by name, or that hand on arrays in place of
a cache, or give dictionaries, do as well; `roles` finds out what is what. A layer without a bias is given zeros, which
is the same layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from convcheck.errors import TargetError
from convcheck.layer.arrays import Array
from convcheck.layer.fields import DTYPES, FIELDS, OF_KINDS
from convcheck.layer.layer import Layer
from convcheck.targets import features
from convcheck.targets.binding import parameters_of, per_axis, refuse_unused, symmetric_padding
from convcheck.targets.construction import WORDS_ONLY, word_of
from convcheck.targets.form import Form
from convcheck.targets.layouts import one_sample
from convcheck.targets.roles import bind_function, gradient_named, option_named, result_named
from convcheck.targets.session import GRADIENTS, Given, Session, triple
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import TargetContractError

#: What this style takes unless the mapping says more: one stride and one padding, two axes, any kernel.
_TAKES = frozenset({"stride", "padding", "per-axis-kernel", *DTYPES})

#: What the dictionary calls the options of a layer.
_KEYS = {
    "stride": "stride", "padding": "pad", "dilation": "dilation", "groups": "groups",
    **{option: option for option in OF_KINDS},
}  # fmt: skip


class CacheForm(Form):
    """A forward function, and a backward function that takes its cache, or the same arrays."""

    def __init__(self, name: str, forward: Any, backward: Any, spec: TargetSpec) -> None:
        functions = {"forward": forward, "backward": backward}
        for role, function in functions.items():
            if not callable(function):
                raise TargetError(
                    f"target {name}: {role} is {type(function).__name__}, which cannot be called; expected a function"
                )
        if "output" not in spec.results.get("forward", ("output",)):
            raise TargetError(f"target {name}: results.forward: one of the names must be output")
        self._functions = functions
        self._bindings = {
            "forward": bind_function(name, "forward", forward, spec),
            "backward": bind_function(name, "backward", backward, spec),
        }
        refuse_unused(name, spec.constants, *self._bindings.values())
        parameters = [p for function in functions.values() for p in parameters_of(function) or []]
        self._defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        bound = self._bindings["forward"].takes
        taken = bound & {"stride", "padding", "dilation", "groups", "bias"}
        takes = _TAKES if bound & {"conv_param", "layer"} else _TAKES - {"stride", "padding"}
        ranks = features.ranks_in(name)
        super().__init__(name, spec, takes | taken | (ranks if len(ranks) == 1 else {"2d"}), bound)
        self._without_batch = one_sample(spec.layout)
        self._order: tuple[str, ...] | None = None
        self._bias_shapes: dict[Layer, Callable[[Array], Array]] = {}

    def session(self, layer: Layer, given: Given) -> Session:
        return _CacheSession(self, layer, given)

    def call(self, phase: str, layer: Layer, arrays: Mapping[str, Any]) -> Any:
        """Run one of the functions."""
        return self._bindings[phase].call(
            self._functions[phase], lambda what, name: self._value(what, name, phase, layer, arrays)
        )

    def _value(self, what: str, name: str, phase: str, layer: Layer, arrays: Mapping[str, Any]) -> Any:
        if what in arrays:
            return arrays[what]
        if what == "layer":
            return layer
        if what == "conv_param":
            names = {key: self.spec.keywords.get(key, usual) for key, usual in _KEYS.items()}
            of_kinds: dict[str, frozenset[str]] = dict.fromkeys(OF_KINDS, frozenset({"transposed"}))
            of_kinds["padding_mode"] = features.KINDS - {"transposed"}
            wanted = [
                key
                for key in names
                if key in ("stride", "padding") or not self.takes.isdisjoint(of_kinds.get(key, frozenset({key})))
            ]
            given: dict[str, Any] = {}
            for key in wanted:
                own = names[key] or ()
                whole = self._option(key, "", layer)
                each = whole if isinstance(whole, tuple) else [whole] * len(layer.kernel)
                given |= {own: whole} if isinstance(own, str) else dict(zip(own, each, strict=False))
            return _Options(given, lambda option: self._option(option, "", layer))
        if what in FIELDS:
            return self._option(what, name, layer)
        order = self._bindings[phase].positional
        parameters = parameters_of(self._functions[phase]) or []
        name = name or next((p.name for p, w in zip(parameters, order, strict=False) if w == what), what)
        example = ", ".join("x" if w == what else w for w in order)
        raise TargetContractError(
            f'the parameter "{name}" of {phase} seems to take {"a " if what == "cache" else ""}{what}, which forward '
            f"did not return; if it is a number or a switch, say so in the mapping: constants: {{{name}: VALUE}}; "
            f"otherwise what it is: arguments: {{{phase}: [{example}]}}"
        )

    def _option(self, what: str, name: str, layer: Layer) -> Any:
        usual = self._defaults.get(name)
        if what == "padding" and isinstance(usual, str):
            word = word_of(layer)
            if word is None:
                raise NotImplementedError(WORDS_ONLY)
            return word.upper() if usual.isupper() else word
        if what == "padding":
            if any(before != after for before, after in layer.padding):
                return layer.padding
            return per_axis(symmetric_padding(layer), name, tuples=self.spec.tuples)
        value = getattr(layer, what)
        return per_axis(value, name, tuples=self.spec.tuples) if isinstance(value, tuple) else value

    def results(self, layer: Layer, returned: Any) -> dict[str, Any]:
        """Return what forward returned by name; the output is among it."""
        names = self.spec.results.get("forward")
        if isinstance(returned, Mapping):
            named = {result_named(str(key)): value for key, value in returned.items()}
            if names is None and "output" in named:
                return named
            returned = tuple(returned.values())
        if names is not None:
            values = returned if isinstance(returned, (tuple, list)) and len(names) > 1 else (returned,)
            if len(values) == len(names):
                return dict(zip(names, values, strict=True))
        elif not isinstance(returned, (tuple, list)):
            return {"output": returned}
        elif len(returned) == 2:
            shape = tuple(self._images.in_order(layer.output_shape))[self._without_batch :]
            if [getattr(value, "shape", None) == shape for value in returned] == [False, True]:
                self.note("forward returns (cache, output)")
                returned = returned[::-1]
            return {"output": returned[0], "cache": returned[1]}
        expected = ", ".join(names) if names else "the output, or the pair (out, cache)"
        raise TargetContractError(
            f"forward returned {_kind(returned)}; expected {expected}; say in the mapping what it returns, in its "
            "order: results: {forward: [output, cache, NAME]}; a parameter of backward called NAME is given it"
        )

    def gradients(self, layer: Layer, given: Given, returned: Any) -> tuple[Any, Any, Any]:
        """Return (grad_input, grad_weight, grad_bias) from what backward returned, in whatever order."""
        names = self.spec.results.get("backward")
        if isinstance(returned, Mapping):
            named = {gradient_named(str(key)): value for key, value in returned.items()}
            if names is None and "grad_input" in named:
                return named["grad_input"], named.get("grad_weight"), named.get("grad_bias")
            returned = tuple(returned.values())
        if names is not None:
            values = returned if isinstance(returned, (tuple, list)) and len(names) > 1 else (returned,)
            if len(values) != len(names):
                raise TargetContractError(f"backward returned {_kind(returned)}; expected {', '.join(names)}")
            return triple([dict(zip(names, values, strict=True)).get(name) for name in GRADIENTS], bias=True)
        if not isinstance(returned, (tuple, list)) or len(returned) not in (2, 3):
            return triple(returned, bias=layer.bias)
        fitting = list(self.orders(layer, given, returned))
        usual = GRADIENTS[: len(returned)]
        if len(fitting) == 1:
            self._order = fitting[0]
            if self._order != usual:
                self.note(f"backward returns ({', '.join(self._order)})")
        elif fitting and self._order not in fitting:
            self._order = self._order_elsewhere(layer) or usual
        order = self._order if self._order in fitting else usual
        named = dict(zip(order, returned, strict=True))
        return triple([named[name] for name in usual], bias=layer.bias)

    def _order_elsewhere(self, layer: Layer) -> tuple[str, ...] | None:
        """Find the order on a layer of another batch, where two gradients have the same shape on this one."""
        other = replace(layer, batch=layer.batch + 1)
        given = self._filled(1, other)
        try:
            session = _CacheSession(self, other, given)
            session.forward()
            returned = session.returned_by_backward(self.in_its_order(np.ones(other.output_shape, layer.dtype)))
            fitting = list(self.orders(other, given, returned))
        except Exception:
            # That it does not run there is no finding about this layer.
            return None
        return fitting[0] if len(fitting) == 1 else None

    def _filled(self, value: int, layer: Layer) -> Given:
        x, weight = (np.full(shape, value, layer.dtype) for shape in (layer.input_shape, layer.weight_shape))
        return self._given(x, weight, None, gradients=())

    def shaped(self, layer: Layer, bias: Array) -> Array:
        """Return a bias in the shape that the function wants, which is found by trying."""
        if layer not in self._bias_shapes:
            self._bias_shapes[layer] = self._shape_of_bias(layer)
        return self._bias_shapes[layer](bias)

    def _shape_of_bias(self, layer: Layer) -> Callable[[Array], Array]:
        """Try shapes, a vector first: of zeros, the output is the bias alone."""
        ones = (1,) * len(layer.output)

        def per_position(bias: Array) -> Array:
            everywhere = np.broadcast_to(bias.reshape(1, -1, *ones), (1, *layer.output_shape[1:]))
            in_its_order: Array = self._images.to_target(everywhere)[0]
            return in_its_order

        if self.bias_per_position:
            return per_position
        tried: dict[str, Callable[[Array], Array]] = {}
        spatial = "1" * len(ones)
        for axes in ("F", f"{spatial}1F", "F1", f"F{spatial}", "1F", f"1F{spatial}"):
            sizes = tuple(layer.filters if axis == "F" else 1 for axis in axes)
            tried[f"({', '.join(axes)})"] = lambda bias, sizes=sizes: bias.reshape(sizes)  # type: ignore[misc]
        tried["(F, *output), one per output position"] = per_position
        bias = np.arange(1, layer.filters + 1).astype(layer.dtype)
        right = np.broadcast_to(bias.reshape(-1, *ones), layer.output_shape)
        fitting = []
        for shape, shaped in tried.items():
            given = self._filled(0, layer)
            x = given.x[0] if self._without_batch else given.x
            arrays = {"x": x, "weight": given.weight, "bias": shaped(bias)}
            try:
                output = self.results(layer, self.call("forward", layer, arrays))["output"]
                output = self.image(np.asarray(output)[None] if self._without_batch else output)
            except NotImplementedError:
                break
            except Exception:
                continue
            if np.array_equal(output, right):
                if shape != "(F)":
                    self.note(f"forward takes its bias as {shape}")
                    self.bias_per_position = shaped is per_position
                return shaped
            if np.shape(output) == right.shape:
                fitting.append(shaped)
        return fitting[0] if fitting else tried["(F)"]


class _Options(dict[str, Any]):
    """A dictionary of options, which knows each by all its usual names."""

    def __init__(self, usual: Mapping[str, Any], option: Callable[[str], Any]) -> None:
        super().__init__(usual)
        self._option = option

    def __missing__(self, key: str) -> Any:
        option = option_named(key)
        if option is None:
            raise KeyError(key)
        return self._option(option)

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self or option_named(key) else default


class _CacheSession(Session):
    def __init__(self, target: CacheForm, layer: Layer, given: Given) -> None:
        self._target, self._layer = target, layer
        self._results: Mapping[str, Any] = {}
        self.renew(given)

    def forward(self) -> Any:
        returned = self._target.call("forward", self._layer, self._arrays)
        self._results = self._target.results(self._layer, returned)
        return self._results["output"]

    def returned_by_backward(self, grad_output: Any) -> Any:
        """Run the backward function and return what it gives."""
        return self._target.call("backward", self._layer, {**self._arrays, **self._results, "grad_output": grad_output})

    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        return self._target.gradients(self._layer, self._given, self.returned_by_backward(grad_output))

    def arguments(self) -> Mapping[str, Any]:
        bias = np.asarray(self._arrays["bias"])
        if bias.size > self._layer.filters:
            # One entry for each filter, if all its positions still hold the same.
            at_positions = self._target.image(bias[None])[0].reshape(self._layer.filters, -1)
            bias = np.where((at_positions == at_positions[:, :1]).all(axis=1), at_positions[:, 0], np.nan)
        return {**self._arrays, "bias": bias}

    def resize(self, layer: Layer) -> None:
        self._layer = layer

    def renew(self, given: Given) -> None:
        bias = np.zeros(self._layer.filters, self._layer.dtype) if given.bias is None else given.bias
        self._given = given
        self._arrays = {"x": given.x, "weight": given.weight, "bias": self._target.shaped(self._layer, bias)}


def _kind(returned: Any) -> str:
    return f"{len(returned)} values" if isinstance(returned, (tuple, list)) else f"one {type(returned).__name__}"
