"""All index arithmetic of one spatial axis of a convolution, in one place.

Everything geometric about a convolution is per axis; a layer is the product of its axes. Symbols follow the
documentation: input size n, kernel k, stride s, dilation d, padding (before, after).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a layer.

    Attributes
    ----------
    size : int
        Input size n, in samples, before padding.
    kernel : int
        Number of kernel taps k.
    stride : int
        Step s between neighbouring windows.
    dilation : int
        Step d between neighbouring taps of one window.
    before, after : int
        Zeros added in front of and behind the input.
    """

    size: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0

    @cached_property
    def effective_kernel(self) -> int:
        """Samples that one window spans: e = d(k - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    @cached_property
    def padded_size(self) -> int:
        """Samples after padding: P = n + before + after."""
        return self.size + self.before + self.after

    @property
    def fits(self) -> bool:
        """Whether at least one window fits: P >= e."""
        return self.padded_size >= self.effective_kernel

    @cached_property
    def output_size(self) -> int:
        """Number of windows: m = (P - e) // s + 1."""
        return (self.padded_size - self.effective_kernel) // self.stride + 1

    @cached_property
    def remainder(self) -> int:
        """Trailing padded samples that no window reaches: r = (P - e) % s."""
        return (self.padded_size - self.effective_kernel) % self.stride

    @cached_property
    def dilated_size(self) -> int:
        """Size of dL/dO once s - 1 zeros stand between its samples: (m - 1)s + 1."""
        return (self.output_size - 1) * self.stride + 1

    @property
    def full_padding(self) -> tuple[int, int]:
        """Zeros around the dilated dL/dO so that a stride-1 correlation with the rotated kernel gives dL/dX.

        (e - 1 - before, e - 1 - after + r); a negative number is a crop.
        """
        reach = self.effective_kernel - 1
        return reach - self.before, reach - self.after + self.remainder

    def tap_slice(self, tap: int) -> slice:
        """Padded positions that tap ``tap`` reads, one per output: ``i*s + tap*d`` for i = 0..m-1."""
        start = tap * self.dilation
        return slice(start, start + self.dilated_size, self.stride)

    def window(self, output: int) -> range:
        """Padded positions that output ``output`` reads, one per tap: ``output*s + a*d`` for a = 0..k-1."""
        start = output * self.stride
        return range(start, start + self.effective_kernel, self.dilation)

    def readers(self, position: int) -> list[tuple[int, int]]:
        """Pairs (output, tap) that read padded position ``position``, in order of the output."""
        pairs = []
        first = max(0, -(-(position - self.effective_kernel + 1) // self.stride))
        last = min(self.output_size - 1, position // self.stride)
        for output in range(first, last + 1):
            tap, off_grid = divmod(position - output * self.stride, self.dilation)
            if not off_grid:
                pairs.append((output, tap))
        return pairs

    def colors(self) -> NDArray[np.intp]:
        """Colour of every input sample, shape (n,): (p // d) % k for its padded position p, one of k.

        No window holds two samples of one colour, so all samples of a colour can be perturbed at once and each
        output's change still belongs to one sample (column grouping of Curtis, Powell and Reid, 1974, in closed form).
        """
        padded_position = np.arange(self.size) + self.before
        return (padded_position // self.dilation) % self.kernel

    def tap_of_color(self, color: int) -> NDArray[np.intp]:
        """Tap through which each output sees colour ``color``, shape (m,): (color - (i*s) // d) % k."""
        start = np.arange(self.output_size) * self.stride
        return (color - start // self.dilation) % self.kernel

    def position_of_color(self, color: int) -> NDArray[np.intp]:
        """Padded position of colour ``color`` that each output sees, shape (m,)."""
        return np.arange(self.output_size) * self.stride + self.tap_of_color(color) * self.dilation


def same_padding(size: int, effective_kernel: int, stride: int) -> tuple[int, int]:
    """Padding for which the output size is ceil(n / s).

    As TensorFlow's SAME and ONNX's SAME_UPPER define it: of an odd total, the extra zero goes behind.
    The total is max((ceil(n / s) - 1)s + e - n, 0).
    """
    output_size = -(-size // stride)
    total = max((output_size - 1) * stride + effective_kernel - size, 0)
    return total // 2, total - total // 2
