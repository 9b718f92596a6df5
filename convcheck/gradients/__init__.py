"""The same mathematics, written independently several times; no formulation imports another.

A formulation is a module with ``forward(layer, x, weight, bias)`` and ``backward(layer, x, weight, grad_output)``.
To add one: write its file here and add its name to ``FORMULATIONS``.

Shapes, everywhere: x (N, C, *input), weight (F, C/groups, *kernel), bias (F,), output and grad_output (N, F, *output).
N is read off ``x`` and need not be ``layer.batch``. Results have the dtype of the arrays given.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from convcheck.errors import UsageError
from convcheck.layer.arrays import Array, Gradients
from convcheck.layer.layer import Layer

FORMULATIONS = ("index_sum", "dilate_flip", "unfold")

#: The formulation that states the definition; the forward pass of every other is checked against it.
ORACLE = "index_sum"
FASTEST = "unfold"


class Formulation(Protocol):
    """What every module of this package provides."""

    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        """Return the output, shape (N, F, *output)."""

    def backward(self, layer: Layer, x: Array, weight: Array, grad_output: Array) -> Gradients:
        """Return the three gradients; grad_bias is None where the layer has no bias."""


def formulation(name: str) -> Formulation:
    """Return the formulation called ``name``.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if name not in FORMULATIONS:
        raise UsageError(f'unknown formulation "{name}"; expected one of {", ".join(FORMULATIONS)}')
    return cast(Formulation, import_module(f"{__name__}.{name}"))
