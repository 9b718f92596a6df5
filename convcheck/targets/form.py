"""What all forms of the user's own code have in common: copies, layouts, and a session per forward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.targets import features
from convcheck.targets.layouts import images, weights
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import Run, Target, TargetContractError


@dataclass(frozen=True, eq=False)
class Given:
    """The arguments of a forward pass, as the target takes them: its own kind of array, its own order of axes.

    Attributes
    ----------
    bias
        None where the layer has none.
    differentiate : bool
        Whether a backward pass will follow.
    """

    x: Any
    weight: Any
    bias: Any
    differentiate: bool


class Session(ABC):
    """One object of the user's, or one call of the user's functions, at given arguments."""

    @abstractmethod
    def forward(self) -> Any:
        """Run the forward pass and return the output as the target gives it."""

    @abstractmethod
    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        """Run the backward pass and return (grad_input, grad_weight, grad_bias) as the target gives them."""

    @abstractmethod
    def arguments(self) -> Mapping[str, Any]:
        """Return what the target was given, as it is now: "x", "weight" and, where there is one, "bias"."""

    @abstractmethod
    def renew(self, given: Given) -> None:
        """Give the same object other arguments, for another forward pass."""


class Form(Target):
    """Code of the user's.

    Parameters
    ----------
    name : str
        As reports call it.
    takes : frozenset of str
        Features that this form takes as far as one can see.
    """

    def __init__(self, name: str, spec: TargetSpec, takes: frozenset[str]) -> None:
        self.name = name
        self.spec = spec
        self.exact = spec.exact
        self._takes = (takes | features.UNSEEN | set(spec.supports)) - set(spec.unsupported)
        self._images, self._weights = images(spec.layout), weights(spec.weight_layout)
        self.absent = {
            gradient: "the target does not give this gradient"
            for gradient in ("input", "weight", "bias")
            if gradient not in spec.gradients
        }

    def unsupported(self, layer: Layer) -> str | None:
        rank = len(layer.kernel)
        for layout in (self._images, self._weights):
            if not layout.fits(rank):
                return f"the layout {layout.letters} is not defined for {rank} spatial axes"
        return features.missing(layer, self._takes)

    def takes_bias(self) -> bool:
        return "bias" in self._takes

    @abstractmethod
    def session(self, layer: Layer, given: Given) -> Session:
        """Prepare a forward pass."""

    def own(self, array: Array) -> Any:
        """Return a fresh array as the target's own kind of array."""
        return array

    def numpy(self, value: Any) -> Any:
        """Return what the target gave as a NumPy array, if it is any kind of array."""
        return np.asarray(value)

    def world(self, layer: Layer) -> AbstractContextManager[Any]:
        """Return the settings under which the target runs."""
        return nullcontext()

    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        with self.world(layer):
            output: Array = self.image(self.session(layer, self._given(x, weight, bias, differentiate=False)).forward())
        return output

    def run(self, layer: Layer, operands: Operands) -> Run:
        with self.world(layer):
            given = self._given(operands.x, operands.weight, operands.bias, differentiate=True)
            return _FormRun(self, layer, operands, self.session(layer, given), given)

    def refill(self, array: Any, values: Array) -> Any:
        """Put other values into an array of the target's own kind; return it, or a new one where that cannot be."""
        np.copyto(array, values)
        return array

    def renewed(self, given: Given, operands: Operands) -> Given:
        """Return arguments with other values, in the same memory where the target's arrays allow that."""
        pristine = self._pristine(operands)
        return Given(
            self.refill(given.x, pristine["x"]),
            self.refill(given.weight, pristine["weight"]),
            None if given.bias is None else self.refill(given.bias, pristine["bias"]),
            given.differentiate,
        )

    def _given(self, x: Array, weight: Array, bias: Array | None, *, differentiate: bool) -> Given:
        # Copies: a target that writes into its arguments must not change what it is compared with.
        return Given(
            self.own(self._images.to_target(x)),
            self.own(self._weights.to_target(weight)),
            None if bias is None else self.own(bias.copy()),
            differentiate,
        )

    def _pristine(self, operands: Operands) -> dict[str, Array]:
        pristine = {"x": self._images.to_target(operands.x), "weight": self._weights.to_target(operands.weight)}
        return pristine if operands.bias is None else pristine | {"bias": operands.bias}

    def changed(self, now: Mapping[str, Any], operands: Operands) -> set[str]:
        """Return which of a session's arguments no longer hold the operands."""
        return {
            name
            for name, before in self._pristine(operands).items()
            if not np.array_equal(np.asarray(self.numpy(now[name])).reshape(before.shape), before)
        }

    def in_its_order(self, grad_output: Array) -> Array:
        """Return a copy with the axes in the target's order."""
        return self._images.to_target(grad_output)

    def image(self, value: Any) -> Any:
        """Return an image of the target's in convcheck's order of axes."""
        return None if value is None else self._images.from_target(np.asarray(self.numpy(value)))

    def kernel(self, value: Any) -> Any:
        """Return a weight of the target's in convcheck's order of axes."""
        return None if value is None else self._weights.from_target(np.asarray(self.numpy(value)))

    def vector(self, value: Any) -> Any:
        """Return a bias of the target's as an array."""
        return None if value is None else np.asarray(self.numpy(value))


class _FormRun(Run):
    """A forward pass of a session, which knows on which data it ran."""

    def __init__(self, target: Form, layer: Layer, operands: Operands, session: Session, given: Given) -> None:
        self._target, self._layer, self._operands = target, layer, operands
        self._session, self._arguments = session, given
        self._changed: set[str] = set()
        self.output = target.image(session.forward())

    def backward(self) -> tuple[Any, Any, Any]:
        target = self._target
        # A fresh copy each time, so that a target that writes into it can be told from one that keeps state.
        pristine = target.in_its_order(self._operands.grad_output)
        with target.world(self._layer):
            grad_output = target.own(pristine.copy())
            gradients = self._session.backward(grad_output)
            if not np.array_equal(target.numpy(grad_output), pristine):
                self._changed.add("grad_output")
            return target.image(gradients[0]), target.kernel(gradients[1]), target.vector(gradients[2])

    def again(self, operands: Operands) -> Run:
        with self._target.world(self._layer):
            given = self._target.renewed(self._arguments, operands)
            self._session.renew(given)
            return _FormRun(self._target, self._layer, operands, self._session, given)

    def modified(self) -> tuple[str, ...]:
        now = self._session.arguments()
        with self._target.world(self._layer):
            changed = self._changed | self._target.changed(now, self._operands)
        return tuple(name for name in ("x", "weight", "bias", "grad_output") if name in changed)


def triple(gradients: Any, *, bias: bool) -> tuple[Any, Any, Any]:
    """Return (grad_input, grad_weight, grad_bias); without a bias, the third may be left out.

    Raises
    ------
    TargetContractError
        If ``gradients`` is no such triple.
    """
    allowed = (3,) if bias else (2, 3)
    if isinstance(gradients, (tuple, list)) and len(gradients) in allowed:
        grad_input, grad_weight, grad_bias = (*gradients, None)[:3]
        return grad_input, grad_weight, grad_bias
    count = f"{len(gradients)} values" if isinstance(gradients, (tuple, list)) else f"one {type(gradients).__name__}"
    raise TargetContractError(f"backward returned {count}; expected the triple (grad_input, grad_weight, grad_bias)")
