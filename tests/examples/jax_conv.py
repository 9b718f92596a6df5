"""A convolution over images with the channels last, as JAX code mostly has it."""

import jax
from jax import lax


def conv(x, w, b, strides, padding, rhs_dilation, feature_group_count):
    numbers = ("NHWC", "HWIO", "NHWC")
    out = lax.conv_general_dilated(
        x, w, strides, padding, rhs_dilation=rhs_dilation, dimension_numbers=numbers,
        feature_group_count=feature_group_count,
    )  # fmt: skip
    return out + b


@jax.custom_vjp
def simple(x, w):
    return lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _simple_forward(x, w):
    return simple(x, w), (x, w)


def _simple_backward(saved, g):
    x, w = saved
    right, pull = jax.vjp(lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")), x, w)
    dx, dw = pull(g)
    return dx, dw[::-1, ::-1]


simple.defvjp(_simple_forward, _simple_backward)


def wrong(x, w):
    return simple(x, w)
