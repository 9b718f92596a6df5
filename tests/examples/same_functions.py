"""A pair of functions that want their padding as a word, channels last."""

import numpy as np
from objects.windows import gathered, scattered


def _padded(x, size, padding):
    if padding not in ("SAME", "VALID"):
        raise ValueError("unknown padding")
    before = [(k - 1) // 2 * (padding == "SAME") for k in size]
    return np.pad(x, [(0, 0), *((a, a) for a in before), (0, 0)]).transpose(0, 3, 1, 2), before


def conv2d(x, kernel, bias, padding="VALID"):
    padded, _ = _padded(x, kernel.shape[:2], padding)
    return gathered(padded, kernel.transpose(3, 2, 0, 1)).transpose(0, 2, 3, 1) + bias


def conv2d_backward(grad, x, kernel, padding="VALID"):
    padded, before = _padded(x, kernel.shape[:2], padding)
    back, of_kernel = scattered(padded, kernel.transpose(3, 2, 0, 1), grad.transpose(0, 3, 1, 2))
    rows, columns = (slice(a, a + n) for a, n in zip(before, x.shape[1:3], strict=True))
    return back[:, :, rows, columns].transpose(0, 2, 3, 1), of_kernel.transpose(2, 3, 1, 0), grad.sum((0, 1, 2))


def conv2d_backward_averaged(grad, x, kernel, padding="VALID"):
    of_x, of_kernel, of_bias = conv2d_backward(grad, x, kernel, padding)
    return of_x, of_kernel / len(x), of_bias
