"""Targets by the object protocol, right and wrong, for tests that need one."""

from __future__ import annotations

import numpy as np

from convcheck.gradients import FASTEST, formulation

UNFOLD = formulation(FASTEST)


class Right:
    """The built-in passes behind the object protocol."""

    def forward(self, x, weight, bias, layer):
        self.x, self.weight, self.layer = x, weight, layer
        return UNFOLD.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        return UNFOLD.backward(self.layer, self.x, self.weight, grad_output)


def wrong(gradient, spoil):
    """A class whose gradient ``gradient`` goes through ``spoil``."""

    class Wrong(Right):
        def backward(self, grad_output):
            right = super().backward(grad_output)._asdict()
            if right[gradient] is not None:
                right[gradient] = spoil(right[gradient].copy())
            return tuple(right.values())

    return Wrong


def one_entry_off(array):
    array.flat[-1] += 1
    return array


def one_entry_nan(array):
    array.flat[0] = np.nan
    return array


class Unflipped(Right):
    """The best-known mistake: grad_input with the kernel as it is."""

    def backward(self, grad_output):
        right = super().backward(grad_output)
        axes = tuple(range(2, self.weight.ndim))
        flipped = UNFOLD.backward(self.layer, self.x, np.flip(self.weight, axes), grad_output)
        return flipped.input, right.weight, right.bias


class TrueConvolution(Right):
    """A forward pass that flips the kernel, with gradients that are consistent with it."""

    def forward(self, x, weight, bias, layer):
        return super().forward(x, np.flip(weight, tuple(range(2, weight.ndim))), bias, layer)

    def backward(self, grad_output):
        right = super().backward(grad_output)
        return right.input, np.flip(right.weight, tuple(range(2, self.weight.ndim))), right.bias
