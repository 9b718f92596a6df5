"""The random directions of a projected check, and gradients that are wrong where one of them does not look."""

from __future__ import annotations

from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.directions import OPERAND_OF
from convcheck.gradients.numeric.projection import project
from convcheck.layer.data import integer_operands

UNFOLD = formulation(FASTEST)


def projected_directions(layer, gradient):
    """The directions of every draw, as the forward pass sees them."""
    at, operand, seen = integer_operands(layer), OPERAND_OF[gradient], []

    def forward(given, x, weight, bias):
        seen.append({"x": x, "weight": weight, "bias": bias}[operand] - getattr(at, operand))
        return UNFOLD.forward(given, x, weight, bias)

    base = UNFOLD.forward(layer, at.x, at.weight, at.bias)
    right = UNFOLD.backward(layer, at.x, at.weight, at.grad_output)
    project(forward, layer, at, base, gradient, getattr(right, gradient))
    return seen


def hidden_from_one_draw(layer, gradient, right, number=0):
    """A gradient wrong at its first and last entry, so that both errors cancel along one direction."""
    direction = projected_directions(layer, gradient)[number]
    wrong = right.copy()
    wrong.flat[0] += direction.flat[-1]
    wrong.flat[-1] -= direction.flat[0]
    return wrong
