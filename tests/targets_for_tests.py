"""Targets by the object protocol, right and wrong, for tests that need one."""

from __future__ import annotations

import os

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


class Ends(Right):
    """Ends its process in the backward pass."""

    def backward(self, grad_output):
        os._exit(0)


class Unflipped(Right):
    """The best-known mistake: grad_input with the kernel as it is."""

    def backward(self, grad_output):
        right = super().backward(grad_output)
        axes = tuple(range(2, self.weight.ndim))
        flipped = UNFOLD.backward(self.layer, self.x, np.flip(self.weight, axes), grad_output)
        return flipped.input, right.weight, right.bias


def rounded(array, bits):
    """Numbers with so many bits behind the leading one, as TF32 (10) and bfloat16 (7) have."""
    drop = 23 - bits
    words = array.astype(np.float32).view(np.uint32).astype(np.uint64)
    words = (words + (1 << (drop - 1))) >> drop << drop
    return words.astype(np.uint32).view(np.float32).astype(array.dtype)


class Backward(Right):
    """Right but for what ``changed`` makes of the operands of its backward pass."""

    def changed(self, x, weight, grad_output):
        return x, weight, grad_output

    def backward(self, grad_output):
        x, weight, grad_output = self.changed(self.x, self.weight, grad_output)
        return UNFOLD.backward(self.layer, x, weight, grad_output)


def with_operands(change):
    return type("Changed", (Backward,), {"changed": lambda self, x, w, g: change(x, w, g)})


class TrueConvolution(Right):
    """A forward pass that flips the kernel, with gradients that are consistent with it."""

    def forward(self, x, weight, bias, layer):
        return super().forward(x, np.flip(weight, tuple(range(2, weight.ndim))), bias, layer)

    def backward(self, grad_output):
        right = super().backward(grad_output)
        return right.input, np.flip(right.weight, tuple(range(2, self.weight.ndim))), right.bias


class Fourier:
    """Right code that rounds by design: it correlates by Fourier transforms."""

    def forward(self, x, weight, bias, layer):
        self.layer, self.axes = layer, tuple(range(3, x.ndim + 1))
        padded = np.pad(x, ((0, 0), (0, 0), *layer.padding))
        self.size = padded.shape[2:]
        # The kernel with zeros between its taps; outputs at every site, of which a stride leaves some out.
        self.taps = [slice(0, d * (k - 1) + 1, d) for d, k in zip(layer.dilation, layer.kernel, strict=True)]
        self.sites = [slice(0, s * (n - 1) + 1, s) for s, n in zip(layer.stride, layer.output, strict=True)]
        self.images = self.transformed(padded.reshape(layer.batch, layer.groups, -1, *self.size))
        # Of complex numbers a gradient has the conjugate; a product of transforms takes the other one for a sum.
        self.kernels = self.spread(
            weight.conj().reshape(layer.groups, layer.filters_per_group, -1, *layer.kernel), self.taps
        )
        output = self.back("ngc...,gfc...->ngf...", self.images, self.kernels.conj())[(..., *self.sites)]
        output = output.reshape(layer.output_shape)
        if bias is not None:
            output = output + bias.reshape(-1, *[1] * len(self.size))
        return output.astype(x.dtype)

    def backward(self, grad_output):
        layer = self.layer
        upstream = grad_output.reshape(layer.batch, layer.groups, -1, *layer.output)
        spread = self.spread(upstream, self.sites)
        grad_input = self.back("ngf...,gfc...->ngc...", spread, self.flipped(self.kernels))
        inside = [slice(b, b + n) for n, (b, _) in zip(layer.input, layer.padding, strict=True)]
        grad_input = grad_input.reshape(layer.batch, layer.channels, *self.size)[(..., *inside)]
        grad_weight = self.back("ngc...,ngf...->gfc...", self.images, spread.conj())[(..., *self.taps)]
        grad_weight = grad_weight.reshape(layer.weight_shape).conj()
        grad_bias = None
        if layer.bias:
            wide = np.result_type(grad_output, np.float32)
            grad_bias = grad_output.sum(axis=(0, *range(2, grad_output.ndim)), dtype=wide).astype(grad_output.dtype)
        return grad_input.astype(grad_output.dtype), grad_weight.astype(grad_output.dtype), grad_bias

    def flipped(self, kernels):
        """What a mistake can be made with: the conjugate is the kernel as it is."""
        return kernels

    def transformed(self, array):
        return np.fft.fftn(array, self.size, self.axes)

    def spread(self, array, places):
        """The transform of an array put at some places among zeros."""
        image = np.zeros((*array.shape[:3], *self.size), array.dtype)
        image[(..., *places)] = array
        return self.transformed(image)

    def back(self, how, left, right):
        found = np.fft.ifftn(np.einsum(how, left, right), axes=self.axes)
        return found if self.layer.is_complex else found.real


class SavedOnTheClass(Right):
    def forward(self, x, weight, bias, layer):
        type(self).saved = x, weight, layer
        return UNFOLD.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        x, weight, layer = self.saved
        return UNFOLD.backward(layer, x, weight, grad_output)
