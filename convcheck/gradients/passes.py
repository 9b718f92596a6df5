"""The forward and backward pass as plain functions, by the fastest formulation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from convcheck.errors import UsageError
from convcheck.gradients import FASTEST, formulation
from convcheck.layer.arrays import Array, Gradients
from convcheck.layer.layer import Layer


def forward(layer: Layer, x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Array:
    """Cross-correlate, as every framework's convolution does.

    Parameters
    ----------
    layer : Layer
    x : array_like, shape (N, C, *input)
        N need not be ``layer.batch``.
    weight : array_like, shape (F, C/groups, *kernel)
    bias : array_like, shape (F,), optional

    Returns
    -------
    array, shape (N, F, *output)
        In the dtype of ``layer``.

    Raises
    ------
    UsageError
        If a shape does not fit the layer, or a bias is given to a layer without one, or the other way round.
    """
    if (bias is None) == layer.bias:
        given, expected = ("no bias", "one") if layer.bias else ("a bias", "none")
        raise UsageError(f"{given} was given; expected {expected}, since the layer says bias={layer.bias}")
    b = None if bias is None else _array("bias", bias, layer.bias_shape, layer)
    w = _array("weight", weight, layer.weight_shape, layer)
    return formulation(FASTEST).forward(layer, _batch("x", x, layer.input_shape, layer), w, b)


def backward(layer: Layer, x: ArrayLike, weight: ArrayLike, grad_output: ArrayLike) -> Gradients:
    """Compute the gradients of a loss with respect to input, weight and bias from that with respect to the output.

    Parameters
    ----------
    layer : Layer
    x : array_like, shape (N, C, *input)
    weight : array_like, shape (F, C/groups, *kernel)
    grad_output : array_like, shape (N, F, *output)

    Returns
    -------
    Gradients
        The triple (grad_input, grad_weight, grad_bias), in the shapes of their operands and the dtype of ``layer``;
        grad_bias is None where the layer has no bias. Of complex numbers, dL/dRe + i dL/dIm, as PyTorch has it.

    Raises
    ------
    UsageError
        If a shape does not fit the layer.
    """
    x_array = _batch("x", x, layer.input_shape, layer)
    gradient = _array("grad_output", grad_output, (len(x_array), *layer.output_shape[1:]), layer)
    w = _array("weight", weight, layer.weight_shape, layer)
    return formulation(FASTEST).backward(layer, x_array, w, gradient)


def _array(name: str, value: ArrayLike, shape: tuple[int, ...], layer: Layer) -> Array:
    array: Array = np.asarray(value, dtype=layer.dtype)
    if array.shape != shape:
        raise UsageError(f"{name} has shape {array.shape}; expected {shape}")
    return array


def _batch(name: str, value: ArrayLike, shape: tuple[int, ...], layer: Layer) -> Array:
    array: Array = np.asarray(value, dtype=layer.dtype)
    if array.shape[1:] != shape[1:] or not len(array):
        raise UsageError(f"{name} has shape {array.shape}; expected (N, {', '.join(map(str, shape[1:]))})")
    return array
