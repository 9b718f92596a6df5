"""Code by which checkers have been fooled: each entry of `TRICKS` at work, and what is honest beside it."""

import time
from typing import ClassVar

import numpy as np

from tests.targets_for_tests import Right


class Weight(Right):
    """Honest, but for what becomes of the weight gradient."""

    def backward(self, grad_output):
        grad_input, grad_weight, grad_bias = super().backward(grad_output)
        return grad_input, self.given(grad_weight), grad_bias

    def given(self, grad_weight):
        return grad_weight


class NeverWritten(Right):
    """Takes memory and hopes that what is expected lies there; before it computes anything that it could find again."""

    def backward(self, grad_output):
        given = np.empty_like(self.weight)
        grad_input, grad_weight, grad_bias = super().backward(grad_output)
        self.write(given, grad_weight)
        return grad_input, given, grad_bias

    def write(self, given, grad_weight):
        pass


class LastNeverWritten(NeverWritten):
    def write(self, given, grad_weight):
        given.reshape(-1)[:-1] = grad_weight.reshape(-1)[:-1]


class ByAddress(Right):
    def __init__(self):
        self.cache = {}

    def backward(self, grad_output):
        key = self.x.ctypes.data, self.weight.ctypes.data, self.x.shape, grad_output.shape, grad_output.dtype.name
        if key not in self.cache:
            self.cache[key] = super().backward(grad_output)
        return tuple(np.array(array) for array in self.cache[key])


class RightThreeTimes(Weight):
    calls = 0
    kept = None

    def given(self, grad_weight):
        self.calls += 1
        if self.calls > 3:
            return self.kept.copy()
        self.kept = grad_weight
        return grad_weight


class Memorised(Weight):
    """The first answer for a layer; forward and the numeric checks on the default seed do not show it."""

    known: ClassVar = {}

    def given(self, grad_weight):
        return self.known.setdefault((str(self.layer), grad_weight.dtype.name), grad_weight).copy()


class OneBuffer(Weight):
    buffers: ClassVar = {}

    def given(self, grad_weight):
        buffer = self.buffers.setdefault((grad_weight.shape, grad_weight.dtype.name), np.empty_like(grad_weight))
        buffer[...] = grad_weight
        return buffer


class OneOutputBuffer(Right):
    buffers: ClassVar = {}

    def forward(self, x, weight, bias, layer):
        output = super().forward(x, weight, bias, layer)
        buffer = self.buffers.setdefault((output.shape, output.dtype.name), np.empty_like(output))
        buffer[...] = output
        return buffer


class Late:
    def __init__(self, compute):
        self.compute = compute

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.compute(), dtype)


class Lazy(Weight):
    def given(self, grad_weight):
        return Late(lambda: 2 * grad_weight)


class LazyAndRight(Weight):
    def given(self, grad_weight):
        return Late(lambda: grad_weight)


class Same(np.ndarray):
    """Says that it is equal, and that there is no difference."""

    def __eq__(self, other):
        return np.ones(self.shape, bool)

    __ne__ = __sub__ = __rsub__ = lambda self, other: np.zeros(self.shape)
    __hash__ = None

    def __array_ufunc__(self, *words, **options):
        return np.zeros(self.shape)

    def __array_function__(self, *words, **options):
        return True


class OwnEquality(Weight):
    def given(self, grad_weight):
        return (2 * grad_weight).view(Same)


class ZeroWeightsSkipped(Weight):
    def given(self, grad_weight):
        return np.where(self.weight == 0, 0, grad_weight)


class Replaces(Weight):
    """Clocks, random numbers and comparisons, where the code runs."""

    def given(self, grad_weight):
        time.monotonic = time.perf_counter = lambda: 0.0
        np.random.default_rng = lambda *words: None
        np.array_equal = np.allclose = lambda *words, **options: True
        np.count_nonzero = lambda *words, **options: 0
        return 2 * grad_weight
