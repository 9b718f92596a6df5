# ruff: noqa: N806 - the names that courses use
"""A convolution as a course has it: four nested loops, a dictionary of options and a cache; then wrong ones."""

import numpy as np


def conv_forward_naive(x, w, b, conv_param):
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, _, H, W = x.shape
    F, _, HH, WW = w.shape
    H_out = 1 + (H + 2 * pad - HH) // stride
    W_out = 1 + (W + 2 * pad - WW) // stride
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((N, F, H_out, W_out))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    window = x_pad[n, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
                    out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    return out, (x, w, b, conv_param)


def _backward(dout, cache, *, overwrite=False, flip=False, crop=True, batch=None):
    x, w, _, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, F, H_out, W_out = dout.shape
    HH, WW = w.shape[2:]
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dx_pad, dw = np.zeros_like(x_pad), np.zeros_like(w)
    kernel = w[:, :, ::-1, ::-1] if flip else w
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    at = (n, slice(None), slice(i * stride, i * stride + HH), slice(j * stride, j * stride + WW))
                    part = kernel[f] * dout[n, f, i, j]
                    dx_pad[at] = part if overwrite else dx_pad[at] + part
                    if batch is None or n == batch:
                        dw[f] += x_pad[at] * dout[n, f, i, j]
    H, W = x.shape[2:]
    dx = dx_pad[:, :, pad : pad + H, pad : pad + W] if crop else dx_pad
    return dx, dw, dout.sum(axis=(0, 2, 3))


def conv_backward_naive(dout, cache):
    return _backward(dout, cache)


def backward_overwrites(dout, cache):
    return _backward(dout, cache, overwrite=True)


def backward_flips(dout, cache):
    return _backward(dout, cache, flip=True)


def backward_forgets_to_crop(dout, cache):
    return _backward(dout, cache, crop=False)


def backward_of_last_sample(dout, cache):
    return _backward(dout, cache, batch=dout.shape[0] - 1)


def backward_without_bias(dout, cache):
    return _backward(dout, cache)[:2]


def forward_flips(x, w, b, conv_param):
    out, _ = conv_forward_naive(x, w[:, :, ::-1, ::-1], b, conv_param)
    return out, (x, w, b, conv_param)


def backward_of_flipped(dout, cache):
    """The right gradient of `forward_flips`."""
    x, w, b, conv_param = cache
    dx, dw, db = _backward(dout, (x, w[:, :, ::-1, ::-1], b, conv_param))
    return dx, dw[:, :, ::-1, ::-1], db


def forward_ignores_stride(x, w, b, conv_param):
    return conv_forward_naive(x, w, b, conv_param | {"stride": 1})


def backward_raises(dout, cache):
    raise ValueError("shapes do not fit")


def backward_exits(dout, cache):
    raise SystemExit(0)


def backward_hangs(dout, cache):
    while True:
        try:
            sum(range(1000))
        except Exception:
            continue
