"""Code that is reached through something else: factories of layers, and functions with some arguments filled in."""

from functools import partial

from tests.examples import plain_functions
from tests.examples.im2col_layer import Averages, Conv2d


def make_layer(in_channels, out_channels, kernel_size, stride=1, padding=0):
    return Conv2d(in_channels, out_channels, kernel_size, stride, padding)


def make_averaging_layer(in_channels, out_channels, kernel_size, stride=1, padding=0):
    return Averages(in_channels, out_channels, kernel_size, stride, padding)


filled_in_forward = partial(plain_functions.forward_pass, training=True)
filled_in_backward = partial(plain_functions.backward_pass, lr=0.5)
filled_in_backward_flipped = partial(plain_functions.backward_pass_flipped, lr=0.5)
