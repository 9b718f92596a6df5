"""A block around a layer whose parameters are dictionaries of value and gradient, with forward and backprop."""

import numpy as np


class _Convolution:
    def __init__(self, in_depth, n_filters, filter_dim, stride, pad):
        self.W = {"val": np.random.randn(n_filters, in_depth, filter_dim, filter_dim), "grad": 0}
        self.b = {"val": np.random.randn(n_filters), "grad": 0}
        self.K, self.s, self.p = filter_dim, stride, pad

    def view(self, padded):
        shape = (padded.shape[2] - self.K) // self.s + 1, (padded.shape[3] - self.K) // self.s + 1
        return np.array([
            [padded[:, :, i * self.s : i * self.s + self.K, j * self.s : j * self.s + self.K] for j in range(shape[1])]
            for i in range(shape[0])
        ])  # fmt: skip

    def forward(self, X):
        self.shape = X.shape
        self.cols = self.view(np.pad(X, ((0, 0), (0, 0), (self.p,) * 2, (self.p,) * 2)))
        return np.einsum("ijnckl,fckl->nfij", self.cols, self.W["val"]) + self.b["val"][:, None, None]

    def backprop(self, dY):
        self.W["grad"] = np.einsum("ijnckl,nfij->fckl", self.cols, dY)
        self.b["grad"] = np.einsum("nfij->f", dY)
        parts = np.einsum("nfij,fckl->ijnckl", dY, self.W["val"])
        N, C, H, W = self.shape
        dX = np.zeros((N, C, H + 2 * self.p, W + 2 * self.p), dY.dtype)
        for i, row in enumerate(parts):
            for j, part in enumerate(row):
                dX[:, :, i * self.s : i * self.s + self.K, j * self.s : j * self.s + self.K] += part
        return dX[:, :, self.p : self.p + H, self.p : self.p + W]


class Block:
    def __init__(self, in_depth, n_filters, filter_dim, stride=1, pad=0):
        self.conv2d_1 = _Convolution(in_depth, n_filters, filter_dim, stride, pad)

    def forward(self, X):
        return self.conv2d_1.forward(X)

    def backprop(self, dY):
        return self.conv2d_1.backprop(dY)


class Descends(Block):
    """The gradients have the sign of the step that they are for."""

    def backprop(self, dY):
        dX = super().backprop(dY)
        self.conv2d_1.W["grad"] = -self.conv2d_1.W["grad"]
        return dX
