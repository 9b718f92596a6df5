"""A convolution by its taps, for the layers beside this file."""

import numpy as np


def _taps(weights, outputs, stride):
    for i, j in np.ndindex(*weights.shape[2:]):
        rows, columns = (slice(a, a + stride * (m - 1) + 1, stride) for a, m in zip((i, j), outputs, strict=True))
        yield np.s_[:, :, rows, columns], np.s_[:, :, i, j]


def gathered(padded, weights, stride=1):
    outputs = [(n - k) // stride + 1 for n, k in zip(padded.shape[2:], weights.shape[2:], strict=True)]
    out = np.zeros((len(padded), len(weights), *outputs), padded.dtype)
    for read, tap in _taps(weights, outputs, stride):
        out += np.einsum("nchw,fc->nfhw", padded[read], weights[tap])
    return out


def scattered(padded, weights, grads, stride=1):
    back, of_weights = np.zeros_like(padded), np.zeros_like(weights)
    for read, tap in _taps(weights, grads.shape[2:], stride):
        back[read] += np.einsum("nfhw,fc->nchw", grads, weights[tap])
        of_weights[tap] = np.einsum("nfhw,nchw->fc", grads, padded[read])
    return back, of_weights
