"""An autograd with a global list of what was done, which only a single number can start backward."""

import numpy as np

DONE = []


class Var:
    def __init__(self, value):
        self.value = np.asarray(value)
        self.gradient = np.zeros_like(self.value)

    def __mul__(self, other):
        out = Var(self.value * other.value)

        def undo():
            self.gradient = self.gradient + out.gradient * other.value
            other.gradient = other.gradient + out.gradient * self.value

        DONE.append(undo)
        return out

    def sum(self):
        out = Var(np.sum(self.value))

        def undo():
            self.gradient = self.gradient + out.gradient

        DONE.append(undo)
        return out

    def backward(self):
        self.gradient = np.ones_like(self.value)
        while DONE:
            DONE.pop()()


def conv1d(x, w, b, stride):
    size, count = w.value.shape[2], (x.value.shape[2] - w.value.shape[2]) // stride + 1
    out = Var(
        np.stack([np.tensordot(part, w.value, ((1, 2), (1, 2))) for part in parts(x.value, size, stride)], axis=2)
    )
    out.value = out.value + b.value.reshape(1, -1, 1)

    def undo():
        b.gradient = b.gradient + out.gradient.sum((0, 2))
        for i in range(count):
            step = out.gradient[:, :, i]
            w.gradient = w.gradient + np.tensordot(step, x.value[:, :, i * stride : i * stride + size], ((0,), (0,)))
            x.gradient[:, :, i * stride : i * stride + size] += np.tensordot(step, w.value, 1)

    DONE.append(undo)
    return out


def parts(signal, size, stride):
    return [signal[:, :, i : i + size] for i in range(0, signal.shape[2] - size + 1, stride)]


def conv1d_of_every_step(x, w, b, stride):
    """The input gradient walks on by one."""
    out = conv1d(x, w, b, stride)
    right = DONE.pop()

    def undo():
        before = x.gradient
        right()
        x.gradient = before.copy()
        for i in range(out.value.shape[2]):
            x.gradient[:, :, i : i + w.value.shape[2]] += np.tensordot(out.gradient[:, :, i], w.value, 1)

    DONE.append(undo)
    return out
