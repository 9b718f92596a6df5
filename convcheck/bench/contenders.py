"""Who is timed: each takes a layer and its arrays and gives work that runs forward and backward once."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from convcheck.layer import Layer
from convcheck.operands import Operands
from convcheck.targets import Implementation

__all__ = ["TORCH", "implementation_pass", "matrix_product", "torch_gradcheck", "torch_is_installed", "torch_pass"]

TORCH = "torch"

#: Rows and columns of the matrices whose product gives the machine's rate: large enough for full speed.
_MATRIX_SIZE = 1024


def implementation_pass(implementation: Implementation, layer: Layer, at: Operands) -> Callable[[], object]:
    """Forward and backward of a formulation or a target."""
    return lambda: implementation.run(layer, at).backward()


def torch_is_installed() -> bool:
    """Whether PyTorch can be imported; does not import it."""
    return importlib.util.find_spec("torch") is not None


def torch_pass(layer: Layer, at: Operands) -> Callable[[], object]:
    """PyTorch's convolution and its gradients by autograd, on the CPU, on the same arrays."""
    import torch

    operands = _torch_operands(at)
    grad_output = torch.from_numpy(at.grad_output)
    function = _torch_function(layer)

    def run() -> object:
        return torch.autograd.grad(function(*operands), operands, grad_output)

    return run


def torch_gradcheck(layer: Layer, at: Operands) -> Callable[[], object]:
    """``torch.autograd.gradcheck`` in its complete mode, on the same layer and arrays."""
    import torch

    operands = _torch_operands(at)
    return lambda: torch.autograd.gradcheck(_torch_function(layer), tuple(operands), fast_mode=False)


def matrix_product(dtype: str) -> tuple[Callable[[], object], int]:
    """NumPy's product of two square matrices, and its multiply-adds: the rate that is the limit of all the others."""
    left, right = (np.random.default_rng(seed).random((_MATRIX_SIZE, _MATRIX_SIZE)).astype(dtype) for seed in (0, 1))
    return lambda: left @ right, _MATRIX_SIZE**3


def _torch_operands(at: Operands) -> list[Any]:
    import torch

    arrays = [array for array in (at.x, at.weight, at.bias) if array is not None]
    return [torch.from_numpy(array).requires_grad_() for array in arrays]


def _torch_function(layer: Layer) -> Callable[..., Any]:
    import torch

    convolve = getattr(torch.nn.functional, f"conv{len(layer.input)}d")
    uneven = any(before != after for before, after in layer.padding)
    amounts = [amount for pair in reversed(layer.padding) for amount in pair]
    padding = 0 if uneven else tuple(before for before, _ in layer.padding)

    def function(x: Any, weight: Any, bias: Any = None) -> Any:
        if uneven:
            x = torch.nn.functional.pad(x, amounts)
        return convolve(x, weight, bias, layer.stride, padding, layer.dilation, layer.groups)

    return function
