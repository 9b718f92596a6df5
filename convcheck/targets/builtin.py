"""A built-in formulation as something to check."""

from __future__ import annotations

from convcheck.gradients import formulation
from convcheck.layer.arrays import Array, Gradients
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.targets.target import Implementation, Pass


class BuiltIn(Implementation):
    """One of convcheck's own formulations."""

    builtin = True

    def __init__(self, name: str) -> None:
        self.name = name
        self._formulation = formulation(name)

    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        """Return the output of one forward pass."""
        return self._formulation.forward(layer, x, weight, bias)

    def run(self, layer: Layer, operands: Operands) -> Pass:
        """Run the forward pass."""
        return _BuiltInPass(self, layer, operands)

    def backward(self, layer: Layer, operands: Operands) -> Gradients:
        """Run the backward pass."""
        return self._formulation.backward(layer, operands.x, operands.weight, operands.grad_output)


class _BuiltInPass(Pass):
    def __init__(self, implementation: BuiltIn, layer: Layer, operands: Operands) -> None:
        self._of, self._layer, self._operands = implementation, layer, operands
        self.output = implementation.forward(layer, operands.x, operands.weight, operands.bias)

    def backward(self) -> Gradients:
        return self._of.backward(self._layer, self._operands)

    def again(self, operands: Operands) -> Pass:
        return _BuiltInPass(self._of, self._layer, operands)
