"""A layer object that unfolds its input into columns, keeps its parameters and leaves their gradients behind."""

import numpy as np


class Conv2d:
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        self.kernel, self.stride, self.padding = map(_pair, (kernel_size, stride, padding))
        self.W = np.random.default_rng(0).standard_normal((out_channels, in_channels, *self.kernel))
        self.b = np.zeros(out_channels) if bias else None
        self.dW = self.db = None

    def forward(self, x):
        self.x_shape = x.shape
        self.columns = self._unfold(x)
        out = np.einsum("fk,nkl->nfl", self.W.reshape(len(self.W), -1), self.columns)
        if self.b is not None:
            out = out + self.b[:, None]
        return out.reshape(len(x), len(self.W), *self._output_size())

    def backward(self, dout):
        flat = dout.reshape(*dout.shape[:2], -1)
        self.dW = np.einsum("nfl,nkl->fk", flat, self.columns).reshape(self.W.shape)
        if self.b is not None:
            self.db = flat.sum(axis=(0, 2))
        return self._fold(np.einsum("fk,nfl->nkl", self.W.reshape(len(self.W), -1), flat))

    def _output_size(self):
        sizes = zip(self.x_shape[2:], self.kernel, self.stride, self.padding, strict=True)
        return [(n + 2 * p - k) // s + 1 for n, k, s, p in sizes]

    def _taps(self):
        (h, w), (sh, sw) = self._output_size(), self.stride
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                yield i, j, (..., slice(i, i + sh * h, sh), slice(j, j + sw * w, sw))

    def _unfold(self, x):
        ph, pw = self.padding
        padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        taps = [padded[at] for _, _, at in self._taps()]
        return np.stack(taps, axis=2).reshape(x.shape[0], -1, np.prod(self._output_size()))

    def _fold(self, columns):
        n, c, h, w = self.x_shape
        ph, pw = self.padding
        dx = np.zeros((n, c, h + 2 * ph, w + 2 * pw), columns.dtype)
        split = columns.reshape(n, c, *self.kernel, *self._output_size())
        for i, j, at in self._taps():
            dx[at] += split[:, :, i, j]
        return dx[:, :, ph : ph + h, pw : pw + w]


class AddsUp(Conv2d):
    """Never starts from zero."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.total = 0

    def backward(self, dout):
        dx = super().backward(dout)
        self.total = self.total + self.dW
        self.dW = self.total
        return dx


class AddsUpByDesign(AddsUp):
    """As PyTorch does, with a method that starts anew."""

    def zero_grad(self):
        self.total = 0


class Averages(Conv2d):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dW = self.dW / len(dout)
        return dx


class PadsInPlace(Conv2d):
    """Doubles the input and halves the weight: the result is right."""

    def forward(self, x):
        x *= 2
        return super().forward(x / 2)


class Forgets(Conv2d):
    """Has no gradient of the bias."""

    def backward(self, dout):
        dx = super().backward(dout)
        self.db = None
        return dx


class Random(Conv2d):
    """Drops entries of the gradient at random."""

    def backward(self, dout):
        dx = super().backward(dout)
        return dx * np.random.default_rng().integers(0, 2, dx.shape)


class Unready(Conv2d):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.stride != (1, 1):
            raise NotImplementedError("no strides yet")


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)
