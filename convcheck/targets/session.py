"""A forward pass of the user's own code and its backward pass: what a form has to do, on arguments of its own kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convcheck.layer.layer import Layer
from convcheck.targets.target import TargetContractError

#: What a backward pass gives, in convcheck's order.
GRADIENTS = ("grad_input", "grad_weight", "grad_bias")


@dataclass(frozen=True, eq=False)
class Given:
    """The arguments of a forward pass, as the target takes them: its own kind of array, its own order of axes.

    Attributes
    ----------
    bias
        None where the layer has none.
    gradients : tuple of str
        Which of "input", "weight" and "bias" a backward pass will be asked for; none if none will follow.
    """

    x: Any
    weight: Any
    bias: Any
    gradients: tuple[str, ...]


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

    def resize(self, layer: Layer) -> None:
        """Prepare the same object for another batch or input size; the arguments are renewed then."""
        raise NotImplementedError("an object of this form serves one layer")

    def evaluate(self) -> None:
        """Put the object into evaluation mode, if it has one."""
        raise NotImplementedError("an object of this form has no evaluation mode")

    def without_gradients(self, x: Any) -> None:
        """Run a further forward pass on another input, without gradients and in evaluation mode."""
        raise NotImplementedError("an object of this form makes no forward pass without gradients")

    def second(self, grad_output: Any, along: Given) -> tuple[Any, Any, Any]:
        """Differentiate the backward pass, as `Target.second` does, and return what the target gives."""
        raise NotImplementedError("an object of this form gives no derivatives of its gradients")

    def tangent(self, along: Given) -> Any:
        """Run the forward pass in forward mode, as `Target.tangent` does, and return what the target gives."""
        raise NotImplementedError("an object of this form has no forward mode")


class StatelessSession(Session):
    """Calls of code that keeps nothing: they are told of the layer and given the arguments anew."""

    def __init__(self, layer: Layer, given: Given) -> None:
        self._layer, self._given = layer, given

    def arguments(self) -> Mapping[str, Any]:
        return vars(self._given)

    def renew(self, given: Given) -> None:
        self._given = given

    def resize(self, layer: Layer) -> None:
        self._layer = layer


class SampleBySample(Session):
    """Code that takes one sample without an axis for the batch: one session each, whose gradients add up.

    Parameters
    ----------
    session : callable
        Makes that of one sample.
    numpy : callable
        Brings what the code gives into an array.
    """

    def __init__(
        self, session: Callable[[Layer, Given], Session], numpy: Callable[[Any], Any], layer: Layer, given: Given
    ) -> None:
        self._numpy = numpy
        one = layer.alike(batch=1)
        self._sessions = [session(one, sample) for sample in self._samples(given)]

    @staticmethod
    def _samples(given: Given) -> list[Given]:
        return [replace(given, x=sample) for sample in given.x]

    def forward(self) -> Any:
        return self._stacked(session.forward() for session in self._sessions)

    def backward(self, grad_output: Any) -> tuple[Any, Any, Any]:
        pairs = zip(self._sessions, grad_output, strict=True)
        inputs, weights, biases = zip(*(session.backward(one) for session, one in pairs), strict=True)
        return self._stacked(inputs), self._summed(weights), self._summed(biases)

    def arguments(self) -> Mapping[str, Any]:
        each = [session.arguments() for session in self._sessions]
        now = {"x": self._stacked(one["x"] for one in each)}
        for name in (name for name in ("weight", "bias") if each[0].get(name) is not None):
            arrays = [self._numpy(one[name]) for one in each]
            now[name] = next((array for array in arrays if not np.array_equal(array, arrays[0])), arrays[0])
        return now

    def renew(self, given: Given) -> None:
        for session, sample in zip(self._sessions, self._samples(given), strict=True):
            session.renew(sample)

    def evaluate(self) -> None:
        for session in self._sessions:
            session.evaluate()

    def without_gradients(self, x: Any) -> None:
        for session, sample in zip(self._sessions, x, strict=True):
            session.without_gradients(sample)

    def _stacked(self, arrays: Iterable[Any]) -> Any:
        every = [None if array is None else np.asarray(self._numpy(array)) for array in arrays]
        if any(array is None for array in every):
            return None
        shapes = {array.shape for array in every if array is not None}
        if len(shapes) > 1:
            raise TargetContractError(f"samples of one shape give arrays of several: {', '.join(map(str, shapes))}")
        return np.stack([array for array in every if array is not None])

    def _summed(self, arrays: Iterable[Any]) -> Any:
        stacked = self._stacked(arrays)
        return None if stacked is None else stacked.sum(axis=0)


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
