"""Operations of somebody's own autograd: tensors that remember how they were made, with ``backward`` and ``grad``.

A function of tensors, or a class whose parameters are such tensors. Every pass has fresh tensors, so that gradients
that add up start from nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from convcheck.errors import TargetError
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.targets import features
from convcheck.targets.binding import bind, with_kinds
from convcheck.targets.construction import constructor_value, lacking
from convcheck.targets.form import Form
from convcheck.targets.forms.layer_object import LayerForm, LayerSession
from convcheck.targets.session import Given, Session
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import TargetContractError

#: Where a tensor keeps its array, or gives it, and its gradient.
_ARRAYS = ("data", "value", "values", "val", "array", "arr", "numpy", "_data")
_GRADIENTS = ("grad", "gradient", "_grad", "g")

#: How grad_output reaches a tensor, in words.
_SEEDS = {
    "array": "backward is given grad_output as an array",
    "tensor": "backward is given grad_output as a tensor",
    "product": "backward starts from (output * grad_output).sum()",
}


class Tape:
    """Makes tensors, reads them, and runs their backward pass.

    Attributes
    ----------
    seed : str or None
        How grad_output reaches a tensor, once that is known; one of `_SEEDS`.
    """

    def __init__(self, name: str, tensor: Any, spec: TargetSpec) -> None:
        if not callable(tensor):
            raise TargetError(
                f"target {name}: style tape needs the class of the tensors; expected a mapping such as "
                f"{{style: tape, call: {name}, tensor: path/to/file.py:Tensor}}"
            )
        self._tensor, self._names = tensor, spec.attributes
        self.seed: str | None = None
        try:
            self._options = {"requires_grad": True} if "requires_grad" in inspect.signature(tensor).parameters else {}
        except (TypeError, ValueError):
            self._options = {}

    def tensor(self, array: Array) -> Any:
        """Return a fresh tensor."""
        return self._tensor(array, **self._options)

    def array(self, tensor: Any) -> Array:
        """Return the array in a tensor."""
        if isinstance(tensor, (np.ndarray, np.generic, float)):
            return np.asarray(tensor)
        for name in (self._names["data"],) if "data" in self._names else _ARRAYS:
            value = getattr(tensor, name, None)
            value = value() if inspect.ismethod(value) else value
            if isinstance(value, (np.ndarray, np.generic)):
                return np.asarray(value)
        raise TargetContractError(self._missing(tensor, "data", "its array"))

    def gradient(self, tensor: Any) -> Array | None:
        """Return the gradient that was left in a tensor; None if there is none."""
        for name in (self._names["grad"],) if "grad" in self._names else _GRADIENTS:
            if hasattr(tensor, name):
                value = getattr(tensor, name)
                return None if value is None else self.array(value)
        raise TargetContractError(self._missing(tensor, "grad", "its gradient"))

    def _missing(self, tensor: Any, role: str, meaning: str) -> str:
        there = ", ".join(name for name in vars(tensor)) if hasattr(tensor, "__dict__") else ""
        return (
            f"it is not clear where a {type(tensor).__name__} keeps {meaning}; its attributes are {there or 'none'}; "
            f"give the name in the mapping: attributes: {{{role}: NAME}}"
        )

    def pull(self, forward: Callable[[], tuple[Any, Any]], grad_output: Array, tell: Callable[[str], None]) -> Any:
        """Run both passes; return the tensor of the input, which has its gradient then.

        Parameters
        ----------
        forward : callable
            Gives (x, output) as fresh tensors.
        tell : callable
            Is told what was found out.
        """
        if self.seed is None:
            self.seed = self._found_seed(forward, grad_output)
            tell(_SEEDS[self.seed])
        x, output = forward()
        self._start(output, grad_output, self.seed)
        return x

    def _found_seed(self, forward: Callable[[], tuple[Any, Any]], grad_output: Array) -> str:
        """Return the way by which grad_output reaches a tensor, found by trying.

        A parameter of backward may be something else, so that the best way is one by which another grad_output gives
        another gradient; then one that gives a gradient of the right shape; then one that runs.
        """
        failure: Exception | None = None
        fitting, running = [], []
        for seed in self._seeds(forward()[1]):
            found: list[Any] = []
            try:
                for given in (grad_output, grad_output + 1):
                    x, output = forward()
                    self._start(output, given, seed)
                    gradient = self.gradient(x)
                    # A copy: the memory may be used again.
                    found.append(None if gradient is None else np.array(gradient))
            except Exception as error:
                failure = failure or error
                continue
            running.append(seed)
            if found[0] is not None and found[0].shape == self.array(x).shape:
                if not np.array_equal(found[0], found[1]):
                    return seed
                fitting.append(seed)
        if not running:
            assert failure is not None
            raise failure
        return (fitting or running)[0]

    def _seeds(self, output: Any) -> list[str]:
        backward = getattr(output, "backward", None)
        if not callable(backward):
            raise TargetContractError(
                f"the output is a {type(output).__name__} without a method backward; expected a tensor of the kind "
                "that the mapping's key tensor names"
            )
        try:
            takes_one = bool(inspect.signature(backward).parameters)
        except (TypeError, ValueError):
            takes_one = True
        return ["array", "tensor", "product"] if takes_one else ["product"]

    def _start(self, output: Any, grad_output: Array, seed: str) -> None:
        if seed == "array":
            output.backward(grad_output.copy())
        elif seed == "tensor":
            output.backward(self._tensor(grad_output.copy()))
        else:
            lacking = [word for name, word in (("__mul__", "*"), ("sum", "sum")) if getattr(output, name, None) is None]
            if lacking:
                raise TargetContractError(
                    f"backward of a {type(output).__name__} takes no gradient, and (output * grad_output).sum(), from "
                    f"which it would start, cannot be made: it has no {' and no '.join(lacking)}; expected tensors "
                    "that have both, or a backward that takes grad_output"
                )
            (output * self._tensor(grad_output.copy())).sum().backward()


class TapeForm(Form):
    """A function of tensors."""

    def __init__(self, name: str, function: Any, spec: TargetSpec, tape: Tape) -> None:
        if not callable(function):
            raise TargetError(
                f"target {name}: {type(function).__name__} cannot be called; expected a function or class"
            )
        self._function, self.tape = function, tape
        arrays = ("x", "weight", "bias") if "bias" not in spec.unsupported else ("x", "weight")
        self._binding = bind(name, function, arrays, with_kinds(function, spec).keywords, spec.constants)
        without = lacking(self._binding) | ({"bias"} - self._binding.takes)
        ranks = features.ranks_in(name)
        takes = features.ALL - without - {"asymmetric-padding", "1d", "2d", "3d"} | ranks
        super().__init__(name, spec, takes, self._binding.takes)

    def session(self, layer: Layer, given: Given) -> Session:
        return _TapeSession(self, layer, given)

    def call(self, layer: Layer, tensors: Mapping[str, Any]) -> Any:
        """Run the function."""
        return self._binding.call(
            self._function,
            lambda what, name: (
                tensors[what] if what in tensors else constructor_value(what, name, layer, tuples=self.spec.tuples)
            ),
        )


class _TapeSession(Session):
    def __init__(self, form: TapeForm, layer: Layer, given: Given) -> None:
        self._form, self._layer = form, layer
        self._tensors: dict[str, Any] = {}
        self.renew(given)

    def resize(self, layer: Layer) -> None:
        self._layer = layer

    def renew(self, given: Given) -> None:
        self._given = given
        bias = np.zeros(self._layer.filters, self._layer.dtype) if given.bias is None else given.bias
        self._arrays = {"x": given.x, "weight": given.weight, "bias": bias}

    def _run(self) -> tuple[Any, Any]:
        self._tensors = {name: self._form.tape.tensor(array) for name, array in self._arrays.items()}
        return self._tensors["x"], self._form.call(self._layer, self._tensors)

    def forward(self) -> Any:
        return self._form.tape.array(self._run()[1])

    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        tape = self._form.tape
        tape.pull(self._run, grad_output, self._form.note)
        grad_input, grad_weight, grad_bias = (tape.gradient(tensor) for tensor in self._tensors.values())
        return grad_input, grad_weight, None if self._given.bias is None else grad_bias

    def arguments(self) -> Mapping[str, Any]:
        return {name: self._form.tape.array(tensor) for name, tensor in self._tensors.items()}


class TapeLayerForm(LayerForm):
    """A class whose objects hold their parameters as tensors, and are called with one."""

    def __init__(self, name: str, factory: Any, spec: TargetSpec, tape: Tape) -> None:
        super().__init__(name, factory, spec)
        self.tape = tape
        self.sessions = TapeLayerSession


class TapeLayerSession(LayerSession):
    """One object that is called with a tensor."""

    _form: TapeLayerForm

    def _call(self, role: str, array: Any) -> Any:
        tape = self._form.tape
        if role == "forward":
            return tape.array(super()._call("forward", tape.tensor(array)))
        x = tape.pull(self._anew, array, self._form.note)
        return tape.gradient(x)

    def _anew(self) -> tuple[Any, Any]:
        self._set_back_inside_parameters()
        x = self._form.tape.tensor(self._given.x)
        return x, super()._call("forward", x)


def tape_form(name: str, found: Any, tensor: Any, spec: TargetSpec) -> TapeForm | TapeLayerForm:
    """Return the form of a function of tensors, or of a class that holds them."""
    tape = Tape(name, tensor, spec)
    return TapeLayerForm(name, found, spec, tape) if isinstance(found, type) else TapeForm(name, found, spec, tape)
