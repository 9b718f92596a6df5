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

        def backward() -> Gradients:
            return self._formulation.backward(layer, operands.x, operands.weight, operands.grad_output)

        return Pass(self.forward(layer, operands.x, operands.weight, operands.bias), backward, repeat=backward)
