"""Channels last, padding as a word, the kernel's size as a pair, and parameters that are made at the first call."""

import numpy as np


class Conv2D:
    def __init__(self, filters, kernel_size, strides=(1, 1), padding="valid"):
        if padding not in ("valid", "same"):
            raise ValueError(f"padding must be valid or same, not {padding}")
        self.filters, self.kernel_size, self.strides, self.padding = filters, kernel_size, strides, padding
        self.built = False

    def build(self, channels):
        height, width = self.kernel_size
        self.kernel = np.random.standard_normal((height, width, channels, self.filters))
        self.bias = np.zeros(self.filters)
        self.built = True

    def pads(self):
        if self.padding == "valid":
            return (0, 0), (0, 0)
        return tuple(((k - 1) // 2, k // 2) for k in self.kernel_size)

    def __call__(self, inputs):
        if not self.built:
            self.build(inputs.shape[-1])
        self.inputs = np.pad(inputs, ((0, 0), *self.pads(), (0, 0)))
        (kh, kw), (sh, sw) = self.kernel_size, self.strides
        self.rows, self.columns = (self.inputs.shape[1] - kh) // sh + 1, (self.inputs.shape[2] - kw) // sw + 1
        output = np.zeros((len(inputs), self.rows, self.columns, self.filters))
        for y in range(kh):
            for x in range(kw):
                output += self.inputs[self.tap(y, x)] @ self.kernel[y, x]
        return output + self.bias

    def tap(self, y, x):
        sh, sw = self.strides
        return slice(None), slice(y, y + self.rows * sh, sh), slice(x, x + self.columns * sw, sw)

    def backward(self, grad):
        grad_inputs, self.grad_kernel = np.zeros_like(self.inputs), np.zeros_like(self.kernel)
        self.grad_bias = grad.sum(axis=(0, 1, 2))
        for y in range(self.kernel_size[0]):
            for x in range(self.kernel_size[1]):
                self.grad_kernel[y, x] = np.tensordot(self.inputs[self.tap(y, x)], grad, axes=([0, 1, 2], [0, 1, 2]))
                self.add(grad_inputs, self.tap(y, x), grad @ self.kernel[y, x].T)
        (top, bottom), (left, right) = self.pads()
        return grad_inputs[:, top : grad_inputs.shape[1] - bottom, left : grad_inputs.shape[2] - right]

    def add(self, total, at, part):
        total[at] += part


class Overwrites(Conv2D):
    def add(self, total, at, part):
        total[at] = part
