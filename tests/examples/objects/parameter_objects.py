"""Parameters that are objects, gradients that add up by design, and a zero_grad that drops what forward saved."""

import numpy as np


class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, np.zeros_like(data)


class Conv2d:
    def __init__(self, c_in, c_out, kernel_size, stride=1, padding=0):
        self.kernels = Parameter(np.random.uniform(-1, 1, (c_out, c_in, kernel_size, kernel_size)))
        self.bias = Parameter(np.zeros(c_out))
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.saved = None

    def zero_grad(self):
        for parameter in (self.kernels, self.bias):
            parameter.grad[...] = 0
        self.saved = None

    def forward(self, x):
        padded = np.pad(x, [(0, 0)] * 2 + [(self.padding, self.padding)] * 2)
        k, s = self.kernel_size, self.stride
        windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))[:, :, ::s, ::s]
        self.saved = x.shape, padded.shape, windows
        return np.einsum("ncijkl,fckl->nfij", windows, self.kernels.data) + self.bias.data.reshape(-1, 1, 1)

    def backward(self, grad):
        shape, padded_shape, windows = self.saved
        self.kernels.grad += np.einsum("nfij,ncijkl->fckl", grad, windows)
        self.bias.grad += grad.sum((0, 2, 3))
        full, k, s, p = np.zeros(padded_shape, grad.dtype), self.kernel_size, self.stride, self.padding
        for i in range(grad.shape[2]):
            for j in range(grad.shape[3]):
                full[:, :, i * s : i * s + k, j * s : j * s + k] += np.tensordot(grad[:, :, i, j], self.weights(), 1)
        return full[:, :, p : p + shape[2], p : p + shape[3]]

    def weights(self):
        return self.kernels.data


class TurnsTheKernel(Conv2d):
    def weights(self):
        return self.kernels.data[:, :, ::-1, ::-1]
