"""All index arithmetic of one spatial axis of a convolution, in one place.

Everything geometric about a convolution is per axis; a layer is the product of its axes. Symbols follow the
documentation: input size n, kernel k, stride s, dilation d, padding (before, after).

What an axis does is a table: which input sample output i reads through tap a. Padding modes put a sample where zeros
leave nothing. A transposed axis is its *twin*, a plain axis, read the other way round: windows of the twin are its
inputs, and what they read is its output.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np
from numpy.typing import NDArray

from convcheck.layer.fields import ZEROS


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
        Samples added in front of and behind the input; of a transposed axis, outputs removed.
    mode : str
        What the added samples are: "zeros", "circular", "reflect" or "replicate".
    transposed : bool
    output_padding : int
        Outputs behind the last window of a transposed axis, before the removal.
    """

    size: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    mode: str = ZEROS
    transposed: bool = False
    output_padding: int = 0
    #: Of a twin: its windows, of which more may fit.
    fixed_windows: int | None = None

    def forget(self) -> None:
        """Give back what has been computed from the fields, here and in the twin."""
        if "twin" in vars(self):
            self.twin.forget()
        for name in vars(self).keys() - self.__dataclass_fields__.keys():
            vars(self).pop(name, None)

    @cached_property
    def twin(self) -> Axis:
        """The plain axis of which this transposed one is the backward pass."""
        return Axis(
            self.output_size, self.kernel, self.stride, self.dilation, self.before, self.after,
            fixed_windows=self.size,
        )  # fmt: skip

    @cached_property
    def effective_kernel(self) -> int:
        """Samples that one window spans: e = d(k - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    @cached_property
    def padded_size(self) -> int:
        """Samples after padding: P = n + before + after. Of a transposed axis, outputs before the removal."""
        if self.transposed:
            return (self.size - 1) * self.stride + self.effective_kernel + self.output_padding
        return self.size + self.before + self.after

    @property
    def fits(self) -> bool:
        """Whether there is an output: whether one window fits, P >= e; or whether the padding leaves one."""
        return self.output_size >= 1 if self.transposed else self.padded_size >= self.effective_kernel

    @cached_property
    def windows(self) -> int:
        """Number of windows: (P - e) // s + 1, or of a transposed axis n."""
        if self.transposed:
            return self.size
        if self.fixed_windows is not None:
            return self.fixed_windows
        return (self.padded_size - self.effective_kernel) // self.stride + 1

    @cached_property
    def output_size(self) -> int:
        """Number of outputs m: the windows, or of a transposed axis (n - 1)s + e + output_padding - before - after."""
        return self.padded_size - self.before - self.after if self.transposed else self.windows

    @cached_property
    def remainder(self) -> int:
        """Trailing padded samples that no window reaches: r = (P - e) % s, or of a transposed axis output_padding."""
        return self.padded_size - self.effective_kernel - (self.windows - 1) * self.stride

    @cached_property
    def dilated_size(self) -> int:
        """Size of what stands at the windows once s - 1 zeros stand between its samples: (windows - 1)s + 1."""
        return (self.windows - 1) * self.stride + 1

    @property
    def full_padding(self) -> tuple[int, int]:
        """Zeros around the dilated dL/dO so that a stride-1 correlation with the rotated kernel gives dL/dX.

        (e - 1 - before, e - 1 - after + r); a negative number is a crop. Where the padding is not zeros, it has a
        gradient too, and nothing is cropped: (e - 1, e - 1 + r).
        """
        reach = self.effective_kernel - 1
        before, after = (self.before, self.after) if self.mode == ZEROS else (0, 0)
        return reach - before, reach - after + self.remainder

    def tap_slice(self, tap: int) -> slice:
        """Padded positions that tap ``tap`` reads, one per window: ``i*s + tap*d`` for i = 0, 1, ..."""
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
        last = min(self.windows - 1, position // self.stride)
        for output in range(first, last + 1):
            tap, off_grid = divmod(position - output * self.stride, self.dilation)
            if not off_grid:
                pairs.append((output, tap))
        return pairs

    def positions(self, sample: int) -> list[int]:
        """Padded positions that hold an input sample: its own first, then its copies. Not of a transposed axis."""
        own = sample + self.before
        if self.mode == ZEROS:
            return [own]
        return [own, *(position for position in np.flatnonzero(self.origin == sample).tolist() if position != own)]

    def pairs(self, sample: int) -> list[tuple[int, int]]:
        """Pairs (output, tap) that read an input sample, in order of the output; as often as they read it."""
        if self.transposed:
            first = sample * self.stride - self.before
            outputs = ((first + tap * self.dilation, tap) for tap in range(self.kernel))
            return [(output, tap) for output, tap in outputs if 0 <= output < self.output_size]
        return sorted(pair for position in self.positions(sample) for pair in self.readers(position))

    @cached_property
    def origin(self) -> NDArray[np.intp]:
        """Input sample that each padded position holds, shape (P,); -1 for a zero. Not of a transposed axis."""
        position = np.arange(self.padded_size) - self.before
        if self.mode == "circular":
            return position % self.size
        if self.mode == "replicate":
            return position.clip(0, self.size - 1)
        if self.mode == "reflect":
            there_and_back = max(2 * (self.size - 1), 1)
            position %= there_and_back
            return np.minimum(position, there_and_back - position) if self.size > 1 else position
        return np.where((position >= 0) & (position < self.size), position, -1)

    @cached_property
    def source(self) -> NDArray[np.intp]:
        """The table: input sample that output i reads through tap a, shape (m, k); -1 where there is none."""
        outputs, taps = np.arange(self.output_size)[:, np.newaxis], np.arange(self.kernel) * self.dilation
        if not self.transposed:
            return self.origin.take(outputs * self.stride + taps)
        window, off_grid = np.divmod(outputs + self.before - taps, self.stride)
        return np.where((off_grid == 0) & (window >= 0) & (window < self.size), window, -1)

    @cached_property
    def colors(self) -> NDArray[np.intp]:
        """Colour of every input sample, shape (n,).

        No output sees two samples of one colour, so all samples of a colour can be perturbed at once and each output's
        change still belongs to one sample (column grouping of Curtis, Powell and Reid, 1974). In closed form:

        - (p // d) % k for the padded position p, of k colours, no more than one output reads;
        - of a transposed axis, where an output reads every (d/g)-th sample, g = gcd(s, d), and at most
          q = ceil(kg / s) of them: (p // (d/g)) % q.

        Where padding repeats samples, greedily along the table.
        """
        samples = np.arange(self.size)
        if self.mode != ZEROS and self.before + self.after:
            return self._greedy_colors()
        if self.transposed:
            step = self.dilation // gcd(self.stride, self.dilation)
            return (samples // step) % self.taps_per_output
        return ((samples + self.before) // self.dilation) % self.kernel

    def _greedy_colors(self) -> NDArray[np.intp]:
        """Give each sample the first colour that no output which reads it has seen."""
        outputs_of: list[list[int]] = [[] for _ in range(self.size)]
        for output, samples in enumerate(self.source.tolist()):
            for sample in set(samples) - {-1}:
                outputs_of[sample].append(output)
        seen = [0] * self.output_size  # colours as bits
        colors = np.zeros(self.size, np.intp)
        for sample, outputs in enumerate(outputs_of):
            taken = 0
            for output in outputs:
                taken |= seen[output]
            free = ~taken & (taken + 1)
            colors[sample] = free.bit_length() - 1
            for output in outputs:
                seen[output] |= free
        return colors

    @cached_property
    def color_count(self) -> int:
        """Number of colours that samples have; one that only padding has needs no evaluation."""
        return int(np.count_nonzero(np.bincount(self.colors)))

    @cached_property
    def sample_of_color(self) -> dict[int, NDArray[np.intp]]:
        """By colour, the input sample of it that each output sees, shape (m,); -1 where it sees none."""
        outputs, taps = np.nonzero(self.source >= 0)
        samples = self.source[outputs, taps]
        table = np.full((int(self.colors.max()) + 1, self.output_size), -1)
        table[self.colors[samples], outputs] = samples
        return {color: table[color] for color in np.flatnonzero(np.bincount(self.colors)).tolist()}

    @cached_property
    def taps_per_output(self) -> int:
        """Most taps through which one output reads something, or a bound of it."""
        return -(-self.kernel * gcd(self.stride, self.dilation) // self.stride) if self.transposed else self.kernel

    @cached_property
    def taps_per_sample(self) -> int:
        """Most pairs (output, tap) that read one sample, or a bound of it."""
        return self.kernel if self.mode == ZEROS else int(np.bincount(self.source.ravel()).max())

    @cached_property
    def repeats(self) -> int:
        """Most taps through which one output reads one and the same sample."""
        if self.mode == ZEROS:
            return 1
        pairs = self.source + np.arange(self.output_size)[:, np.newaxis] * self.size
        return int(np.bincount(pairs.ravel()).max())

    @cached_property
    def copies(self) -> int:
        """Most padded positions that hold one sample."""
        return 1 if self.mode == ZEROS else int(np.bincount(self.origin).max())


def same_padding(size: int, effective_kernel: int, stride: int) -> tuple[int, int]:
    """Padding for which the output size is ceil(n / s).

    As TensorFlow's SAME and ONNX's SAME_UPPER define it: of an odd total, the extra zero goes behind.
    The total is max((ceil(n / s) - 1)s + e - n, 0).
    """
    output_size = -(-size // stride)
    total = max((output_size - 1) * stride + effective_kernel - size, 0)
    return total // 2, total - total // 2


def transposed_same_padding(effective_kernel: int, stride: int, output_padding: int) -> tuple[int, int]:
    """Padding for which a transposed axis has s * n outputs; negative where there are not so many.

    As ONNX's SAME_UPPER defines it: a total of e - s + output_padding, of which the odd one is behind.
    """
    total = effective_kernel - stride + output_padding
    return total // 2, total - total // 2
