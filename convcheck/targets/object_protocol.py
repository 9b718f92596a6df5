"""The object protocol: a class or factory called with no argument.

``forward(x, weight, bias, layer) -> output``, then ``backward(grad_output) -> (grad_input, grad_weight, grad_bias)``.
Without a bias, ``bias`` is None and grad_bias is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convcheck.arrays import Array
from convcheck.errors import TargetError
from convcheck.layer import Layer
from convcheck.operands import Operands
from convcheck.targets.implementation import Implementation, TargetContractError

__all__ = ["ObjectTarget"]


class ObjectTarget(Implementation):
    """A user's object with ``forward`` and ``backward``."""

    def __init__(self, name: str, factory: Any) -> None:
        self.name = name
        self._factory = factory
        if not callable(factory):
            raise TargetError(
                f"target {name}: {type(factory).__name__} cannot be called; expected a class or factory that takes no "
                "argument and gives an object with forward(x, weight, bias, layer) and backward(grad_output)"
            )

    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        """Return the output of one forward pass of a new object."""
        output: Array = self._new().forward(x.copy(), weight.copy(), _copy(bias), layer)
        return output

    def run(self, layer: Layer, operands: Operands) -> tuple[Any, Callable[[], tuple[Any, Any, Any]]]:
        """Run the forward pass of a new object; return its output and its backward pass."""
        # Copies: a target that writes into its arguments must not change what it is compared with.
        given = operands.map(lambda array: array.copy())
        instance = self._new()
        output = instance.forward(given.x, given.weight, given.bias, layer)
        return output, lambda: _triple(instance.backward(given.grad_output), layer)

    def _new(self) -> Any:
        instance = self._factory()
        for method in ("forward", "backward"):
            if not callable(getattr(instance, method, None)):
                raise TargetContractError(
                    f"{type(instance).__name__} has no method {method}; expected forward(x, weight, bias, layer) and "
                    "backward(grad_output)"
                )
        return instance


def _copy(array: Array | None) -> Array | None:
    return None if array is None else array.copy()


def _triple(gradients: Any, layer: Layer) -> tuple[Any, Any, Any]:
    """Return (grad_input, grad_weight, grad_bias); without a bias, the third may be left out."""
    allowed = (3,) if layer.bias else (2, 3)
    if isinstance(gradients, (tuple, list)) and len(gradients) in allowed:
        grad_input, grad_weight, grad_bias = (*gradients, None)[:3]
        return grad_input, grad_weight, grad_bias
    count = f"{len(gradients)} values" if isinstance(gradients, (tuple, list)) else f"one {type(gradients).__name__}"
    raise TargetContractError(f"backward returned {count}; expected the triple (grad_input, grad_weight, grad_bias)")
