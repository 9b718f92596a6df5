"""One layer with its arrays, as a mistake sees it, and the right answer on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from convcheck.gradients import unfold
from convcheck.layer.arrays import Array, Gradients
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer


@dataclass(frozen=True, eq=False)
class Scene:
    """A layer and the arrays of one forward and backward pass.

    Attributes
    ----------
    layer : Layer
    operands : Operands
    """

    layer: Layer
    operands: Operands

    @property
    def x(self) -> Array:
        """The input, shape (N, C, *input)."""
        return self.operands.x

    @property
    def weight(self) -> Array:
        """The kernel, shape (F, C/groups, *kernel)."""
        return self.operands.weight

    @property
    def grad_output(self) -> Array:
        """The upstream gradient, shape (N, F, *output)."""
        return self.operands.grad_output

    @property
    def sites(self) -> tuple[int, ...]:
        """The spatial axes of every array but the bias."""
        return tuple(range(2, 2 + len(self.layer.input)))

    @cached_property
    def right(self) -> Gradients:
        """The right gradients."""
        return unfold.backward(self.layer, self.x, self.weight, self.grad_output)

    @cached_property
    def output(self) -> Array:
        """The right output."""
        return unfold.forward(self.layer, self.x, self.weight, self.operands.bias)

    def answer(self, gradient: str) -> Array:
        """Return what is right: a gradient, or for "output" the output of the forward pass."""
        answer: Array = self.output if gradient == "output" else getattr(self.right, gradient)
        return answer

    def with_arrays(self, **arrays: Array) -> Scene:
        """Return the same scene with other arrays: ``x``, ``weight``, ``grad_output``."""
        return Scene(self.layer, replace(self.operands, **arrays))
