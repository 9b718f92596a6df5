"""The kernel's height and width apart, names without underscores, gradients called dLdW and dLdb."""

import numpy as np


class ConvLayer:
    def __init__(self, inChans, nFilters, FH, FW, strideSize, padSize):
        self.FH, self.FW, self.S, self.P = FH, FW, strideSize, padSize
        self.W = np.random.randn(nFilters, inChans, FH, FW) / np.sqrt(FH * FW * inChans)
        self.b = np.zeros((nFilters, 1))

    def forward_pass(self, A_prev, training):
        self.A_prev = A_prev
        self.padded = np.pad(A_prev, ((0, 0), (0, 0), (self.P, self.P), (self.P, self.P)))
        self.OH = (self.padded.shape[2] - self.FH) // self.S + 1
        self.OW = (self.padded.shape[3] - self.FW) // self.S + 1
        Z = np.empty((len(A_prev), len(self.W), self.OH, self.OW))
        for i, j, window in self.windows(self.padded):
            Z[:, :, i, j] = np.tensordot(window, self.W, axes=([1, 2, 3], [1, 2, 3])) + self.b.T
        return Z

    def windows(self, image):
        for i in range(self.OH):
            for j in range(self.OW):
                top, left = i * self.S, j * self.S
                yield i, j, image[:, :, top : top + self.FH, left : left + self.FW]

    def backward_pass(self, dZ):
        dpadded = np.zeros_like(self.padded)
        self.dLdW = np.zeros_like(self.W)
        self.dLdb = dZ.sum(axis=(0, 2, 3)).reshape(self.b.shape)
        for i, j, window in self.windows(dpadded):
            window += np.tensordot(dZ[:, :, i, j], self.W, axes=1)
        for i, j, window in self.windows(self.padded):
            self.dLdW += np.tensordot(dZ[:, :, i, j].T, window, axes=1)
        H, W = self.A_prev.shape[2:]
        return dpadded[:, :, self.P : self.P + H, self.P : self.P + W]


class OnlyTheLastSample(ConvLayer):
    def backward_pass(self, dZ):
        dX = super().backward_pass(dZ)
        self.dLdb = dZ[-1].sum(axis=(1, 2)).reshape(self.b.shape)
        return dX
