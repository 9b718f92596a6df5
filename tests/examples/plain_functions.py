# ruff: noqa: N803, N806 - the names that courses use
"""Convolutions as pairs of functions without a cache, or with one among other things; then wrong ones.

Each pair has conventions of its own: what is handed on, in which order results come, how the bias is shaped.
"""

import numpy as np


def windows(x, size, stride, pad):
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    views = np.lib.stride_tricks.sliding_window_view(padded, size, (2, 3))
    return views[:, :, ::stride, ::stride]


def spread(parts, shape, stride, pad):
    """Add what belongs to each window, (N, C, H_out, W_out, kh, kw), back up."""
    n, c, h, w = shape
    image = np.zeros((n, c, h + 2 * pad, w + 2 * pad), parts.dtype)
    for i in range(parts.shape[4]):
        for j in range(parts.shape[5]):
            rows = slice(i, i + stride * parts.shape[2], stride)
            image[:, :, rows, j : j + stride * parts.shape[3] : stride] += parts[..., i, j]
    return image[:, :, pad : pad + h, pad : pad + w]


# Backward takes the arrays again, and the options.


def conv_forward(x, w, b, stride, pad):
    return np.einsum("nchwij,fcij->nfhw", windows(x, w.shape[2:], stride, pad), w) + b[:, None, None]


def conv_backward(dout, x, w, b, stride, pad):
    dx = spread(np.einsum("nfhw,fcij->nchwij", dout, w), x.shape, stride, pad)
    dw = np.einsum("nfhw,nchwij->fcij", dout, windows(x, w.shape[2:], stride, pad))
    return dx, dw, dout.sum((0, 2, 3))


def conv_backward_flipped(dout, x, w, b, stride, pad):
    dx, _, _ = conv_backward(dout, x, w[:, :, ::-1, ::-1], b, stride, pad)
    return dx, *conv_backward(dout, x, w, b, stride, pad)[1:]


# Another order of results, a dictionary of options, and names of another course.


def layer_forward(A_prev, W, hparameters):
    stride, pad = hparameters["stride"], hparameters["padding"]
    Z = np.einsum("nchwij,fcij->nfhw", windows(A_prev, W.shape[2:], stride, pad), W)
    return (A_prev, W, stride, pad), Z


def layer_backward(dZ, cache):
    dA_prev, dW, _ = conv_backward(dZ, *cache[:2], None, *cache[2:])
    return dW, dA_prev


def layer_backward_of_last_sample(dZ, cache):
    A_prev, W, stride, pad = cache
    _, dA_prev = layer_backward(dZ, cache)
    return np.einsum("fhw,chwij->fcij", dZ[-1], windows(A_prev, W.shape[2:], stride, pad)[-1]), dA_prev


# A bias of one column, the gradients in a dictionary, and further arguments.


def forward_pass(X, weights, bias, training, stride=1, pad=0):
    columns = windows(X, weights.shape[2:], stride, pad).transpose(1, 4, 5, 0, 2, 3)
    out = weights.reshape(len(weights), -1) @ columns.reshape(weights[0].size, -1) + bias
    assert bias.shape == (len(weights), 1)
    assert training is True
    return out.reshape(len(weights), len(X), *columns.shape[4:]).swapaxes(0, 1)


def backward_pass(delta, X, weights, lr, stride=1, pad=0):
    dX, dW, db = conv_backward(delta, X, weights, None, stride, pad)
    assert lr == 0.5
    return {"dW": dW, "db": db[:, None], "dX": dX}


def backward_pass_flipped(delta, X, weights, lr, stride=1, pad=0):
    wrong = backward_pass(delta, X, weights[:, :, ::-1, ::-1], lr, stride, pad)
    return wrong | {"dW": backward_pass(delta, X, weights, lr, stride, pad)["dW"]}


# What the names do not say.


def apply(p, q, r, s):
    return conv_forward(q, p, r, s, 0), s, q


def unapply(t, u, v, q):
    dx, dw, db = conv_backward(u, q, v, None, t, 0)
    return db, dx, dw


def unapply_negative(t, u, v, q):
    db, dx, dw = unapply(t, u, v, q)
    return db, -dx, dw


# One bias per output position.


def local_forward(x, w, b, stride, pad):
    n, out = len(x), conv_forward(x, w, np.zeros(len(w)), stride, pad)
    for f, i, j in np.ndindex(*out.shape[1:]):
        out[:, f, i, j] += b[f, i, j]
    return out, (n, x, w, b, stride, pad)


def local_backward(dout, cache):
    dx, dw, _ = conv_backward(dout, *cache[1:])
    return dx, dw, dout.sum(axis=0)


def local_backward_at_wrong_positions(dout, cache):
    """The sum over all positions is still right."""
    dx, dw, db = local_backward(dout, cache)
    return dx, dw, db[:, ::-1]


def local_backward_averaged(dout, cache):
    dx, dw, db = local_backward(dout, cache)
    return dx, dw, db / len(dout)


# The mean over the batch, made at the end or of every sample.


def mean_backward(dout, x, w, b, stride, pad):
    dx, dw, db = conv_backward(dout, x, w, b, stride, pad)
    return dx, dw / len(x), db / len(x)


def mean_of_samples_backward(dout, x, w, b, stride, pad):
    dx, _, _ = conv_backward(dout, x, w, b, stride, pad)
    mean = conv_backward(dout / len(x), x, w, b, stride, pad)
    return dx, mean[1], mean[2]


def mean_of_all_but_one_backward(dout, x, w, b, stride, pad):
    dx, dw, db = conv_backward(dout, x, w, b, stride, pad)
    return dx, dw / (len(x) - 1), db / len(x)
