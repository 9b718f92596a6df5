"""Random layers of every kind: 1-D to 3-D, groups, strides, dilations, uneven padding, remainders, one pixel out."""

from __future__ import annotations

from hypothesis import assume
from hypothesis import strategies as st

from convcheck import Layer


@st.composite
def layers(draw, dtypes=("float64",), max_axes=3, max_batch=3):
    axes = draw(st.integers(1, max_axes))

    def per_axis(low, high):
        return draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes))

    groups = draw(st.integers(1, 3))
    kernel, stride, dilation = per_axis(1, 4), per_axis(1, 4), per_axis(1, 3)
    padding = [per_axis(0, 4)[:1] + per_axis(0, 4)[:1] for _ in range(axes)]
    size = per_axis(1, 8 if axes < 3 else 5)
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    assume(all(n + sum(pads) >= e for n, pads, e in zip(size, padding, spans, strict=True)))
    return Layer(
        channels=groups * draw(st.integers(1, 3)),
        filters=groups * draw(st.integers(1, 3)),
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
        input=size,
        batch=draw(st.integers(1, max_batch)),
        dtype=draw(st.sampled_from(dtypes)),
        seed=draw(st.integers(0, 2**16)),
    )
