"""What every kind of target offers to the checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from convcheck.arrays import Array
from convcheck.errors import ConvcheckError
from convcheck.layer import Layer
from convcheck.operands import Operands

__all__ = ["Implementation", "TargetContractError"]


class TargetContractError(ConvcheckError):
    """The target ran and broke its contract: a wrong type, a wrong number of results."""


class Implementation(ABC):
    """A forward and backward pass under test.

    Attributes
    ----------
    name : str
        As reports call it.
    builtin : bool
        Whether it is one of convcheck's own formulations, which accept merged evaluations (a larger batch or more
        filters than the layer says) and share one numeric gradient.
    """

    name: str
    builtin: bool = False

    @abstractmethod
    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        """Return the output of one forward pass."""

    @abstractmethod
    def run(self, layer: Layer, operands: Operands) -> tuple[Any, Callable[[], Any]]:
        """Run the forward pass.

        Returns
        -------
        output
            As the implementation gave it.
        backward : callable
            Runs the matching backward pass and returns (grad_input, grad_weight, grad_bias) as the implementation
            gave them.
        """
