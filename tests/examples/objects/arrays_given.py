"""A layer that is constructed with its parameters, and unfolds the input."""

import numpy as np


def im2col(images, size_h, size_w, stride, pad):
    n, c, h, w = images.shape
    out_h, out_w = (h + 2 * pad - size_h) // stride + 1, (w + 2 * pad - size_w) // stride + 1
    padded = np.pad(images, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    col = np.zeros((n, c, size_h, size_w, out_h, out_w), images.dtype)
    for y in range(size_h):
        for x in range(size_w):
            col[:, :, y, x] = padded[:, :, y : y + stride * out_h : stride, x : x + stride * out_w : stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(n * out_h * out_w, -1), out_h, out_w


def col2im(col, shape, size_h, size_w, stride, pad, out_h, out_w):
    n, c, h, w = shape
    col = col.reshape(n, out_h, out_w, c, size_h, size_w).transpose(0, 3, 4, 5, 1, 2)
    images = np.zeros((n, c, h + 2 * pad, w + 2 * pad), col.dtype)
    for y in range(size_h):
        for x in range(size_w):
            images[:, :, y : y + stride * out_h : stride, x : x + stride * out_w : stride] += col[:, :, y, x]
    return images[:, :, pad : pad + h, pad : pad + w]


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W, self.b, self.stride, self.pad = W, b, stride, pad
        self.dW = self.db = None

    def forward(self, x):
        filters, _, size_h, size_w = self.W.shape
        self.x = x
        self.col, self.out_h, self.out_w = im2col(x, size_h, size_w, self.stride, self.pad)
        out = self.col @ self.W.reshape(filters, -1).T + self.b
        return out.reshape(len(x), self.out_h, self.out_w, filters).transpose(0, 3, 1, 2)

    def backward(self, dout):
        filters, _, size_h, size_w = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, filters)
        self.db = dout.sum(axis=0)
        self.dW = self.weight_gradient(dout)
        dcol = dout @ self.W.reshape(filters, -1)
        return col2im(dcol, self.x.shape, size_h, size_w, self.stride, self.pad, self.out_h, self.out_w)

    def weight_gradient(self, dout):
        return (self.col.T @ dout).T.reshape(self.W.shape)


class FlippedWeights(Convolution):
    def weight_gradient(self, dout):
        return super().weight_gradient(dout)[:, :, ::-1, ::-1]
