"""Axis against brute force: everything is recomputed by walking over the windows one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from convcheck.layer.axis import Axis, same_padding, transposed_same_padding


@st.composite
def axes(draw):
    """Draw axes on which at least one window fits: remainders, gaps, overlaps, padding larger than the kernel."""
    axis = Axis(
        size=draw(st.integers(1, 14)),
        kernel=draw(st.integers(1, 5)),
        stride=draw(st.integers(1, 6)),
        dilation=draw(st.integers(1, 4)),
        before=draw(st.integers(0, 7)),
        after=draw(st.integers(0, 7)),
    )
    assume(axis.size + axis.before + axis.after > axis.dilation * (axis.kernel - 1))
    return axis


def walk(axis):
    """Return the padded positions that each window reads, found by sliding the kernel until it runs over the end."""
    windows, start = [], 0
    while True:
        window = [start + tap * axis.dilation for tap in range(axis.kernel)]
        if window[-1] >= axis.size + axis.before + axis.after:
            return windows
        windows.append(window)
        start += axis.stride


def integers(count, seed):
    """Return nonzero integers of both signs, few of them alike."""
    return np.random.default_rng(seed).permutation(np.array([v for v in range(-99, 100) if v])).astype(int)[:count]


def slow_grad_input(axis, weight, grad_output):
    """Return dL/dX of one axis by the definition: each output hands its gradient to what it read."""
    padded = np.zeros(axis.size + axis.before + axis.after, dtype=int)
    for window, grad in zip(walk(axis), grad_output, strict=True):
        for tap, position in enumerate(window):
            padded[position] += weight[tap] * grad
    return padded[axis.before : axis.before + axis.size]


def dilated_correlation(axis, weight, grad_output, full_padding):
    """Return dL/dX as T3 does: dilate the gradient, pad it (or crop), slide the rotated kernel over it."""
    dilated = np.zeros((len(grad_output) - 1) * axis.stride + 1, dtype=int)
    dilated[:: axis.stride] = grad_output
    front, behind = full_padding
    padded = np.pad(dilated, (max(front, 0), max(behind, 0)))
    padded = padded[max(-front, 0) : len(padded) - max(-behind, 0)]
    kernel = np.zeros((axis.kernel - 1) * axis.dilation + 1, dtype=int)
    kernel[:: axis.dilation] = weight
    return np.correlate(padded, kernel[::-1], "valid") if len(padded) >= len(kernel) else np.zeros(0, dtype=int)


class TestGeometry:
    @given(axes())
    def test_sizes(self, axis):
        windows = walk(axis)
        assert axis.output_size == len(windows)
        assert axis.padded_size == axis.before + axis.size + axis.after
        assert axis.effective_kernel == windows[0][-1] - windows[0][0] + 1
        assert axis.dilated_size == windows[-1][0] - windows[0][0] + 1

    @given(axes())
    def test_remainder_is_what_no_window_reaches(self, axis):
        last_read = walk(axis)[-1][-1]
        assert axis.remainder == axis.padded_size - 1 - last_read
        assert 0 <= axis.remainder < axis.stride

    @given(axes())
    def test_window_and_tap_slice(self, axis):
        windows = walk(axis)
        assert [list(axis.window(output)) for output in range(axis.output_size)] == windows
        positions = np.arange(axis.padded_size)
        for tap in range(axis.kernel):
            assert positions[axis.tap_slice(tap)].tolist() == [window[tap] for window in windows]

    @given(axes())
    def test_tap_slice_stays_within_the_padded_input(self, axis):
        # A slice that ran over the end would be cut silently on some arrays and not on larger ones.
        assert all(axis.tap_slice(tap).stop <= axis.padded_size for tap in range(axis.kernel))

    @given(axes())
    def test_readers(self, axis):
        windows = walk(axis)
        for position in range(-3, axis.padded_size + 3):
            expected = [(i, window.index(position)) for i, window in enumerate(windows) if position in window]
            assert axis.readers(position) == expected

    @given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(0, 3))
    def test_fits_means_that_there_is_a_window(self, size, kernel, stride, dilation, before):
        axis = Axis(size, kernel, stride, dilation, before)
        assert axis.fits == bool(walk(axis))

    @pytest.mark.parametrize(
        ("axis", "output_size", "remainder", "full_padding"),
        [
            # T3's worked examples: X 3 with F 2, and X 5 with f 3 at stride 2.
            (Axis(3, 2), 2, 0, (1, 1)),
            (Axis(5, 3, 2), 2, 0, (2, 2)),
            # One more sample, which no window reads.
            (Axis(6, 3, 2), 2, 1, (2, 3)),
            # T2: k - 1 zeros behind.
            (Axis(6, 3, after=2), 6, 0, (2, 0)),
            # More padding than the kernel reaches: a crop.
            (Axis(4, 2, before=3, after=2), 8, 0, (-2, -1)),
            # ResNet's stem, 224 to 112.
            (Axis(224, 7, 2, before=3, after=3), 112, 1, (3, 4)),
        ],
    )
    def test_known_values(self, axis, output_size, remainder, full_padding):
        assert (axis.output_size, axis.remainder, axis.full_padding) == (output_size, remainder, full_padding)


class TestFullPadding:
    @given(axes(), st.integers(0, 99))
    def test_turns_the_gradient_into_a_correlation(self, axis, seed):
        weight, grad_output = integers(axis.kernel, seed), integers(axis.output_size, seed + 1)
        expected = slow_grad_input(axis, weight, grad_output)
        got = dilated_correlation(axis, weight, grad_output, axis.full_padding)
        np.testing.assert_array_equal(got, expected)

    @given(axes(), st.integers(0, 99))
    def test_without_the_remainder_it_is_wrong(self, axis, seed):
        assume(axis.remainder)
        weight, grad_output = integers(axis.kernel, seed), integers(axis.output_size, seed + 1)
        front, behind = axis.full_padding
        got = dilated_correlation(axis, weight, grad_output, (front, behind - axis.remainder))
        assert len(got) != axis.size

    @pytest.mark.parametrize("axis", [Axis(6, 3, 2), Axis(7, 3, before=2), Axis(5, 2, 2, 3, before=1, after=4)])
    def test_with_its_sides_exchanged_it_is_wrong(self, axis):
        weight, grad_output = integers(axis.kernel, 0), integers(axis.output_size, 1)
        front, behind = axis.full_padding
        assert front != behind
        expected = slow_grad_input(axis, weight, grad_output)
        got = dilated_correlation(axis, weight, grad_output, (behind, front))
        assert got.shape == expected.shape
        assert not np.array_equal(got, expected)


@st.composite
def every_axis(draw):
    """Draw axes of every kind: all padding modes, transposed ones, several strides of output_padding."""
    axis = draw(axes())
    if draw(st.booleans()):
        behind = draw(st.integers(0, max(axis.stride, axis.dilation) - 1))
        axis = replace(axis, transposed=True, output_padding=behind)
        assume(axis.fits)
        return axis
    mode = draw(st.sampled_from(["zeros", "circular", "reflect", "replicate"]))
    most = {"circular": axis.size, "reflect": axis.size - 1}.get(mode, 7)
    axis = replace(axis, mode=mode, before=min(axis.before, most), after=min(axis.after, most))
    assume(axis.fits)
    return axis


NUMPY_MODES = {"zeros": "constant", "circular": "wrap", "reflect": "reflect", "replicate": "edge"}


def table(axis):
    """The table of an axis by brute force: per output the samples that its taps read, None for nothing."""
    if not axis.transposed:
        filler = {"constant_values": -1} if axis.mode == "zeros" else {}
        padded = np.pad(np.arange(axis.size), (axis.before, axis.after), NUMPY_MODES[axis.mode], **filler)
        return [[None if padded[p] < 0 else int(padded[p]) for p in window] for window in walk(axis)]
    reached = [[None] * axis.kernel for _ in range(axis.output_size)]
    for sample in range(axis.size):
        for tap in range(axis.kernel):
            output = sample * axis.stride + tap * axis.dilation - axis.before
            if 0 <= output < axis.output_size:
                reached[output][tap] = sample
    return reached


def clashes(axis, color_of):
    """Return the outputs that see two samples of one colour."""
    seen = [{sample for sample in row if sample is not None} for row in table(axis)]
    return [samples for samples in seen if len({color_of(sample) for sample in samples}) < len(samples)]


class TestTable:
    @given(every_axis())
    def test_is_what_each_output_reads(self, axis):
        expected = [[-1 if sample is None else sample for sample in row] for row in table(axis)]
        assert axis.source.tolist() == expected

    @given(every_axis())
    def test_pairs_are_the_outputs_and_taps_that_read_a_sample(self, axis):
        rows = table(axis)
        for sample in range(axis.size):
            reading = [(i, tap) for i, row in enumerate(rows) for tap, read in enumerate(row) if read == sample]
            assert axis.pairs(sample) == reading

    @given(every_axis())
    def test_positions_hold_the_sample_its_own_first(self, axis):
        assume(not axis.transposed)
        for sample in range(axis.size):
            held = axis.positions(sample)
            assert held[0] == sample + axis.before
            assert sorted(held) == np.flatnonzero(axis.origin == sample).tolist()

    @given(every_axis())
    def test_bounds_of_the_sums(self, axis):
        reads = [[sample for sample in row if sample is not None] for row in table(axis)]
        of_sample = np.bincount([sample for row in reads for sample in row], minlength=axis.size)
        assert max(map(len, reads)) <= axis.taps_per_output
        assert max(of_sample) <= axis.taps_per_sample
        assert max((row.count(sample) for row in reads for sample in row), default=1) <= axis.repeats
        of_tap = [sum(row[tap] is not None for row in table(axis)) for tap in range(axis.kernel)]
        assert max(of_tap) <= axis.windows

    @given(every_axis())
    def test_bounds_of_repeated_samples_are_reached(self, axis):
        assume(axis.mode != "zeros")
        assert axis.taps_per_sample == max(np.bincount(axis.source.ravel()))
        assert axis.repeats == max(row.count(sample) for row in table(axis) for sample in row)

    @given(every_axis())
    def test_the_twin_reads_the_table_the_other_way_round(self, axis):
        assume(axis.transposed)
        twin = axis.twin
        assert (twin.size, twin.output_size) == (axis.output_size, axis.size)
        pairs = {(o, a, p) for o, row in enumerate(axis.source.tolist()) for a, p in enumerate(row) if p >= 0}
        assert pairs == {(p, a, o) for o, row in enumerate(twin.source.tolist()) for a, p in enumerate(row) if p >= 0}

    @pytest.mark.parametrize(
        ("axis", "expected"),
        [
            (Axis(3, 3, before=1, after=1, mode="circular"), [[2, 0, 1], [0, 1, 2], [1, 2, 0]]),
            (Axis(3, 3, before=1, after=1, mode="reflect"), [[1, 0, 1], [0, 1, 2], [1, 2, 1]]),
            (Axis(3, 3, before=1, after=1, mode="replicate"), [[0, 0, 1], [0, 1, 2], [1, 2, 2]]),
            (Axis(2, 2, 2, transposed=True, output_padding=1), [[0, -1], [-1, 0], [1, -1], [-1, 1], [-1, -1]]),
            (Axis(2, 3, 2, before=1, after=1, transposed=True), [[-1, 0, -1], [1, -1, 0], [-1, 1, -1]]),
        ],
    )
    def test_known_tables(self, axis, expected):
        assert axis.source.tolist() == expected


class TestColors:
    @given(every_axis())
    def test_no_output_sees_a_color_twice(self, axis):
        assert clashes(axis, axis.colors.tolist().__getitem__) == []

    @given(axes())
    def test_padding_only_shifts_the_colors(self, axis):
        everywhere = replace(axis, size=axis.padded_size, before=0, after=0).colors
        assert axis.colors.tolist() == everywhere[axis.before : axis.before + axis.size].tolist()

    @given(every_axis())
    def test_their_number(self, axis):
        """As few as the output with most samples needs, in closed form; greedily, less than twice and a few more."""
        most = max(len({sample for sample in row if sample is not None}) for row in table(axis))
        assert axis.color_count == len(set(axis.colors.tolist()))
        if axis.mode == "zeros":
            assert axis.color_count <= axis.taps_per_output
        else:
            assert axis.color_count <= 2 * most

    @given(axes())
    def test_a_transposed_axis_has_as_many_as_its_outputs_read(self, axis):
        axis = replace(axis, before=0, after=0, size=axis.size + 9, transposed=True)
        assert axis.color_count == max(sum(sample is not None for sample in row) for row in table(axis))

    @given(every_axis())
    def test_attribution(self, axis):
        colors = axis.colors.tolist()
        assert sorted(axis.sample_of_color) == sorted(set(colors))
        for color, samples in axis.sample_of_color.items():
            for row, sample in zip(table(axis), samples.tolist(), strict=True):
                seen = {one for one in row if one is not None and colors[one] == color}
                assert seen == ({sample} if sample >= 0 else set())

    @given(every_axis(), st.integers(0, 99))
    def test_perturbing_a_color_at_once_gives_every_entry_of_the_jacobian(self, axis, seed):
        weight, read = integers(axis.kernel, seed), table(axis)

        def forward(x):
            return np.array([sum(w * x[p] for w, p in zip(weight, row, strict=True) if p is not None) for row in read])

        x = integers(axis.size, seed + 1)
        # One column more, for outputs that see no sample of a colour.
        jacobian = np.zeros((axis.output_size, axis.size + 1), dtype=int)
        for color, samples in axis.sample_of_color.items():
            change = forward(x + (axis.colors == color)) - forward(x)
            jacobian[np.arange(axis.output_size), samples] = change
        one_by_one = [forward(x + (np.arange(axis.size) == p)) - forward(x) for p in range(axis.size)]
        np.testing.assert_array_equal(jacobian[:, :-1], np.array(one_by_one).T)
        assert not jacobian[:, -1].any()

    @pytest.mark.parametrize(
        ("axis", "colors"),
        [
            (Axis(12, 3, 1, 3), lambda axis, p: p % axis.kernel),
            (Axis(12, 3, 2, 2), lambda axis, p: p // axis.dilation % (axis.kernel - 1)),
            # The closed form of zeros, where the first sample is seen beside the last.
            (Axis(7, 3, before=1, after=1, mode="circular"), lambda axis, p: (p + axis.before) % axis.kernel),
            (Axis(9, 6, 2, 3, transposed=True), lambda axis, p: p % axis.taps_per_output),
        ],
    )
    def test_other_colors_clash(self, axis, colors):
        assert clashes(axis, lambda position: colors(axis, position))
        assert clashes(axis, axis.colors.tolist().__getitem__) == []

    def test_colors_counted_from_the_unpadded_input_are_those_of_other_outputs(self):
        axis = Axis(7, 3, before=1)
        unpadded = (np.arange(axis.size) // axis.dilation) % axis.kernel
        assert unpadded.tolist() != axis.colors.tolist()


class TestTransposed:
    @given(every_axis())
    def test_the_outputs_are_what_the_windows_reach(self, axis):
        assume(axis.transposed)
        last = (axis.size - 1) * axis.stride + axis.dilation * (axis.kernel - 1)
        assert axis.padded_size == last + 1 + axis.output_padding
        assert axis.output_size == axis.padded_size - axis.before - axis.after
        assert (axis.windows, axis.remainder) == (axis.size, axis.output_padding)

    @given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 5), st.integers(0, 3))
    def test_same_gives_a_stride_of_outputs_for_every_sample(self, size, kernel, stride, behind):
        before, after = transposed_same_padding(kernel, stride, behind)
        assert after - before in (0, 1)
        axis = Axis(size, kernel, stride, 1, before, after, transposed=True, output_padding=behind)
        assert axis.output_size == size * stride


class TestSamePadding:
    @given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 7))
    def test_definition(self, size, effective_kernel, stride):
        before, after = same_padding(size, effective_kernel, stride)
        wanted = -(-size // stride)
        assert Axis(size, effective_kernel, stride, 1, before, after).output_size == wanted
        assert after - before in (0, 1)
        # No less padding would do.
        if before + after:
            assert Axis(size, effective_kernel, stride, 1, before, after - 1).output_size < wanted

    @pytest.mark.parametrize(
        ("size", "effective_kernel", "stride", "expected"),
        [
            # TensorFlow's guide to padding: width 13, filter 6, stride 5.
            (13, 6, 5, (1, 2)),
            # A 7×7 and a 3×3 with stride 2 on 224 pixels, ResNet's and MobileNet's first layers in TensorFlow.
            (224, 7, 2, (2, 3)),
            (224, 3, 2, (0, 1)),
            # The same on an odd size is symmetric.
            (225, 3, 2, (1, 1)),
            # Stride 1: e - 1 in all, an even kernel's extra zero behind.
            (8, 3, 1, (1, 1)),
            (8, 4, 1, (1, 2)),
            (10, 5, 1, (2, 2)),
            # A stride over the kernel needs none.
            (8, 1, 2, (0, 0)),
            (9, 2, 4, (0, 1)),
            (8, 2, 4, (0, 0)),
        ],
    )
    def test_known_values(self, size, effective_kernel, stride, expected):
        assert same_padding(size, effective_kernel, stride) == expected

    def test_extra_zero_in_front_would_be_another_padding(self):
        # ONNX's SAME_LOWER gives (3, 2) here.
        before, after = same_padding(224, 7, 2)
        assert (after, before) != (before, after)
        assert before < after
