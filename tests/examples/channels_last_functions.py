# ruff: noqa: N803, N806 - the names of a well-known course
"""Loops over images with the channels last, a bias of (1, 1, 1, F), and options in a dictionary; then wrong ones."""

import numpy as np


def zero_pad(X, pad):
    return np.pad(X, ((0, 0), (pad, pad), (pad, pad), (0, 0)))


def conv_forward(A_prev, W, b, hparameters):
    stride, pad = hparameters["stride"], hparameters["pad"]
    m, H_prev, W_prev, _ = A_prev.shape
    f, _, _, n_C = W.shape
    if W.shape[1] != f:
        raise ValueError("the kernel must be square")
    A_prev_pad = zero_pad(A_prev, pad)
    Z = np.zeros((m, (H_prev - f + 2 * pad) // stride + 1, (W_prev - f + 2 * pad) // stride + 1, n_C))
    for i, h, w, c in np.ndindex(Z.shape):
        piece = A_prev_pad[i, h * stride : h * stride + f, w * stride : w * stride + f, :]
        Z[i, h, w, c] = np.sum(piece * W[:, :, :, c]) + b[0, 0, 0, c]
    return Z, (A_prev, W, b, hparameters)


def gradients(dZ, cache):
    A_prev, W, b, hparameters = cache
    stride, pad = hparameters["stride"], hparameters["pad"]
    f = W.shape[0]
    A_prev_pad = zero_pad(A_prev, pad)
    dA_prev_pad, dW, db = np.zeros_like(A_prev_pad), np.zeros_like(W), np.zeros_like(b)
    for i, h, w, c in np.ndindex(dZ.shape):
        at = (i, slice(h * stride, h * stride + f), slice(w * stride, w * stride + f))
        dA_prev_pad[at] += W[:, :, :, c] * dZ[i, h, w, c]
        dW[:, :, :, c] += A_prev_pad[at] * dZ[i, h, w, c]
        db[:, :, :, c] += dZ[i, h, w, c]
    return dA_prev_pad, dW, db


def conv_backward(dZ, cache):
    dA_prev_pad, dW, db = gradients(dZ, cache)
    (_, H_prev, W_prev, _), pad = cache[0].shape, cache[3]["pad"]
    return dA_prev_pad[:, pad : pad + H_prev, pad : pad + W_prev], dW, db


def conv_backward_from_behind(dZ, cache):
    """The crop of a padding of 0 is empty."""
    dA_prev_pad, dW, db = gradients(dZ, cache)
    pad, dA_prev = cache[3]["pad"], np.zeros_like(cache[0])
    dA_prev[...] = dA_prev_pad[:, pad:-pad, pad:-pad]
    return dA_prev, dW, db


def conv_backward_of_one_pixel(dZ, cache):
    dA_prev, dW, _ = conv_backward(dZ, cache)
    return dA_prev, dW, dZ[:, -1:, -1:].sum(axis=0, keepdims=True)
