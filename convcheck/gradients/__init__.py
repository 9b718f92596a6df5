"""The same mathematics, written independently several times; no formulation imports another.

A formulation is a module with ``forward(layer, x, weight, bias)`` and ``backward(layer, x, weight, grad_output)``.
To add one: write its file here and add its name to ``FORMULATIONS``.

Shapes, everywhere: x (N, C, *input), weight (F, C/groups, *kernel), bias (F,), output and grad_output (N, F, *output).
N is read off ``x`` and need not be ``layer.batch``. Results have the dtype of the arrays given; those of half precision
are computed in float32 and rounded once.

Of complex numbers, the gradients are those of a real loss as PyTorch defines them: dL/dRe + i dL/dIm. A convolution is
holomorphic, so grad_input is made with the conjugate of the weight, and grad_weight with that of the input (Wirtinger's
derivatives: Kreutz-Delgado, The Complex Gradient Operator and the CR-Calculus, 2009). That is said here once; the
modules compute the same sums for all numbers.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Protocol, cast

from convcheck.errors import UsageError
from convcheck.layer.arrays import Array, Gradients
from convcheck.layer.fields import WIDE_SUMS
from convcheck.layer.layer import Layer

FORMULATIONS = ("index_sum", "dilate_flip", "unfold")

#: The formulation that states the definition; the forward pass of every other is checked against it.
ORACLE = "index_sum"
FASTEST = "unfold"

#: Bytes of a number of half precision.
_HALF_SIZE = 2


class Formulation(Protocol):
    """What every module of this package provides."""

    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        """Return the output, shape (N, F, *output)."""

    def backward(self, layer: Layer, x: Array, weight: Array, grad_output: Array) -> Gradients:
        """Return the three gradients; grad_bias is None where the layer has no bias."""


class _Rounded:
    """A formulation that takes half precision too, of which neither products nor sums are made in it.

    And that conjugates, where numbers are complex.
    """

    def __init__(self, made: Formulation) -> None:
        self._made = made

    def forward(self, layer: Layer, x: Array, weight: Array, bias: Array | None) -> Array:
        if x.dtype.itemsize > _HALF_SIZE:
            return self._made.forward(layer, x, weight, bias)
        added = None if bias is None else bias.astype(WIDE_SUMS)
        return self._made.forward(layer, x.astype(WIDE_SUMS), weight.astype(WIDE_SUMS), added).astype(x.dtype)

    def backward(self, layer: Layer, x: Array, weight: Array, grad_output: Array) -> Gradients:
        if x.dtype.itemsize > _HALF_SIZE:
            return self._made.backward(layer, x.conj(), weight.conj(), grad_output)
        found = self._made.backward(layer, *(array.astype(WIDE_SUMS) for array in (x, weight, grad_output)))
        grad_bias = None if found.bias is None else found.bias.astype(x.dtype)
        return Gradients(found.input.astype(x.dtype), found.weight.astype(x.dtype), grad_bias)


@cache
def formulation(name: str) -> Formulation:
    """Return the formulation called ``name``.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if name not in FORMULATIONS:
        raise UsageError(f'unknown formulation "{name}"; expected one of {", ".join(FORMULATIONS)}')
    return _Rounded(cast(Formulation, import_module(f"{__name__}.{name}")))
