"""Layers of every kind: plain, with every padding mode, transposed; of one to three axes."""

from __future__ import annotations

from hypothesis import strategies as st

from convcheck import Layer

#: One of each, small, with all that can differ: groups, strides, dilations, uneven padding.
KINDS = (
    Layer(2, 4, [3, 2], [2, 1], [[1, 0], 0], dilation=[1, 2], groups=2, input=[4, 3], transposed=True,
          output_padding=[1, 0], name="transposed"),
    Layer(1, 2, [4], [3], [[1, 2]], input=[5], transposed=True, output_padding=2, name="transposed-1d"),
    Layer(2, 1, [2, 2, 3], [2, 1, 1], 0, bias=False, input=[2, 3, 2], batch=1, transposed=True, name="transposed-3d"),
    Layer(1, 2, 3, 2, [[2, 1], [0, 1]], input=[4, 5], padding_mode="reflect", name="reflect"),
    Layer(2, 2, [3, 2], 1, [[1, 2], [1, 1]], dilation=[1, 2], groups=2, input=[4, 5], batch=1,
          padding_mode="circular", name="circular"),
    Layer(1, 1, [2, 2, 2], 1, [[1, 0], [1, 2], 0], input=[2, 2, 3], batch=1, padding_mode="replicate",
          name="replicate-3d"),
    Layer(1, 2, [3], 2, [[2, 1]], bias=False, input=[6], batch=1, padding_mode="circular", name="circular-1d"),
)  # fmt: skip


@st.composite
def layers(draw):
    rank = draw(st.integers(1, 3))

    def per_axis(low, high):
        return [draw(st.integers(low, high)) for _ in range(rank)]

    groups = draw(st.integers(1, 2))
    kernel, dilation, stride = per_axis(1, 3), per_axis(1, 3), per_axis(1, 4)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size, mode = per_axis(1, 6), draw(st.sampled_from(["transposed", "zeros", "circular", "reflect", "replicate"]))
    behind = [0] * rank
    if mode == "transposed":
        size = [n + 6 // s for n, s in zip(size, stride, strict=True)]
        padding = [[draw(st.integers(0, 2)), draw(st.integers(0, 2))] for _ in range(rank)]
        behind = [draw(st.integers(0, max(pair) - 1)) for pair in zip(stride, dilation, strict=True)]
    elif mode == "zeros":
        padding = [[draw(st.integers(0, 3)) + e - 1, draw(st.integers(0, 3))] for e in spans]
    else:
        size = [n + e for n, e in zip(size, spans, strict=True)]
        padding = [[draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1))] for n in size]
    return Layer(
        channels=groups * draw(st.integers(1, 2)), filters=groups * draw(st.integers(1, 3)), kernel=kernel,
        stride=stride, dilation=dilation, padding=padding, groups=groups, bias=draw(st.booleans()), input=size,
        batch=draw(st.integers(1, 2)), seed=draw(st.integers(0, 99)), transposed=mode == "transposed",
        padding_mode="zeros" if mode == "transposed" else mode, output_padding=behind,
    )  # fmt: skip
