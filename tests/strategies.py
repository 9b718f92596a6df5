"""Random layers of every kind: 1-D to 3-D, groups, strides, dilations, uneven padding, remainders, one pixel out."""

from __future__ import annotations

from hypothesis import reject
from hypothesis import strategies as st

from convcheck import Layer
from convcheck.errors import LayerError
from convcheck.layer.fields import FIELDS


@st.composite
def layers(draw, dtypes=("float64",), max_axes=3, max_batch=3, family=False):
    """Draw plain layers; with ``family`` also transposed ones, and every padding mode."""
    axes = draw(st.integers(1, max_axes))

    def per_axis(low, high):
        return draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes))

    groups = draw(st.integers(1, 3))
    kernel, stride, dilation = per_axis(1, 4), per_axis(1, 4), per_axis(1, 3)
    padding = [per_axis(0, 4)[:1] + per_axis(0, 4)[:1] for _ in range(axes)]
    size = per_axis(1, 8 if axes < 3 else 5)
    transposed = family and draw(st.booleans())
    mode = draw(st.sampled_from(FIELDS["padding_mode"].choices)) if family and not transposed else "zeros"
    behind = [draw(st.integers(0, max(s, d) - 1)) if transposed else 0 for s, d in zip(stride, dilation, strict=True)]
    fields = {
        "channels": groups * draw(st.integers(1, 3)),
        "filters": groups * draw(st.integers(1, 3)),
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
        "input": size,
        "batch": draw(st.integers(1, max_batch)),
        "dtype": draw(st.sampled_from(dtypes)),
        "padding_mode": mode,
        "transposed": transposed,
        "output_padding": behind,
        "seed": draw(st.integers(0, 2**16)),
    }
    try:
        return Layer(**fields)
    except LayerError:
        # Padding that leaves no window, or no output, or that the mode does not have.
        return reject()
