"""A convolution over images with the channels last, as JAX code mostly has it."""

from functools import partial

import jax
from jax import lax


def conv(x, w, b, strides, padding, rhs_dilation, feature_group_count):
    numbers = {3: ("NWC", "WIO", "NWC"), 4: ("NHWC", "HWIO", "NHWC"), 5: ("NDHWC", "DHWIO", "NDHWC")}[x.ndim]
    out = lax.conv_general_dilated(
        x, w, strides, padding, rhs_dilation=rhs_dilation, dimension_numbers=numbers,
        feature_group_count=feature_group_count,
    )  # fmt: skip
    return out + b


def where_xla_is_right(x, w, b, strides, padding, rhs_dilation, feature_group_count):
    """Without what XLA gets wrong on CPUs in float32 where padding is as wide as the kernel: openxla/xla 48713."""
    spans = [dilation * (taps - 1) + 1 for dilation, taps in zip(rhs_dilation, w.shape, strict=False)]
    if x.dtype == "float32" and any(pair[0] >= span for pair, span in zip(padding, spans, strict=True)):
        raise NotImplementedError("in float32, the padding in front must be narrower than the kernel")
    return conv(x, w, b, strides, padding, rhs_dilation, feature_group_count)


def per_axis(x, w, stride, dilation):
    return lax.conv_general_dilated(x, w, stride, "VALID", rhs_dilation=dilation)


def simple(x, w):
    return lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


#: Its gradient of the weight is turned by 180 degrees.
wrong = jax.custom_vjp(simple)


def _forward(x, w):
    return simple(x, w), (x, w)


def _backward(saved, g):
    _, pull = jax.vjp(simple, *saved)
    dx, dw = pull(g)
    return dx, dw[::-1, ::-1]


wrong.defvjp(_forward, _backward)


@partial(jax.jit, static_argnames=("strides", "padding"))
def compiled(x, w, strides, padding):
    return lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@partial(jax.jit, static_argnames=("strides", "padding"))
def compiled_wrong(x, w, strides, padding):
    assert strides == (1, 1)
    return wrong(jax.numpy.pad(x, ((0, 0), *padding, (0, 0))), w)
