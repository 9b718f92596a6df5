"""Every form through a ``functools.partial`` and through a factory: right code passes, wrong code is caught."""

from functools import partial

import numpy as np
import pytest

import convcheck
from convcheck import Layer, verify
from tests.targets.test_tape import Tensor

LAYER = Layer(2, 3, (3, 2), stride=2, padding=1, input=(6, 7), dtype="float32")


class Object:
    def __init__(self, sign):
        self.sign = sign

    def forward(self, x, weight, bias, layer):
        self.saved = layer, x, weight
        return convcheck.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        grad_input, grad_weight, grad_bias = convcheck.backward(*self.saved, grad_output)
        return grad_input, self.sign * grad_weight, grad_bias


def an_object(sign):
    return partial(Object, sign)


def an_object_factory(sign):
    return lambda: Object(sign)


class Conv:
    def __init__(self, sign, in_channels, out_channels, kernel_size, stride=1, padding=0):
        self.sizes = {"kernel": kernel_size, "stride": stride, "padding": padding}
        self.weight = np.zeros((out_channels, in_channels, *kernel_size), np.float32)
        self.bias, self.sign = np.zeros(out_channels, np.float32), sign

    def forward(self, x):
        filters, channels = self.weight.shape[:2]
        layer = Layer(channels, filters, **self.sizes, input=x.shape[2:], batch=len(x), dtype=x.dtype)
        self.saved = layer, x, self.weight
        return convcheck.forward(layer, x, self.weight, self.bias)

    def backward(self, grad_output):
        grad_input, grad_weight, self.grad_bias = convcheck.backward(*self.saved, grad_output)
        self.grad_weight = self.sign * grad_weight
        return grad_input


def a_layer(sign):
    return partial(Conv, sign)


def a_layer_factory(sign):
    def make_layer(in_channels, out_channels, kernel_size, stride=1, padding=0):
        return Conv(sign, in_channels, out_channels, kernel_size, stride, padding)

    return make_layer


def forward(x, w, b, conv_param, further):
    sizes = {"stride": conv_param["stride"], "padding": conv_param["pad"]}
    layer = Layer(w.shape[1], len(w), w.shape[2:], **sizes, input=x.shape[2:], batch=len(x), dtype=x.dtype)
    return convcheck.forward(layer, x, w, b), (layer, x, w)


def backward(sign, dout, cache):
    dx, dw, db = convcheck.backward(*cache, dout)
    return dx, sign * dw, db


def a_pair(sign):
    return {"forward": partial(forward, further=3), "backward": partial(backward, sign)}


def _torch(sign):
    import torch

    class Signed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, weight):
            return weight.clone()

        @staticmethod
        def backward(ctx, grad):
            return sign * grad

    return torch, Signed.apply


def a_torch_function(sign):
    torch, signed = _torch(sign)

    def conv(mode, x, weight, bias, stride, padding):
        return torch.nn.functional.conv2d(x, signed(weight), bias, stride=stride, padding=padding)

    return {"style": "torch", "call": partial(conv, "plain")}


def a_torch_module(sign):
    torch, signed = _torch(sign)

    class Module(torch.nn.Conv2d):
        def forward(self, x):
            return self._conv_forward(x, signed(self.weight), self.bias)

    return partial(Module, padding_mode="zeros")


def a_torch_factory(sign):
    module = a_torch_module(sign)

    def make(in_channels, out_channels, kernel_size, stride=1, padding=0):
        return module(in_channels, out_channels, kernel_size, stride=stride, padding=padding)

    return {"style": "torch", "call": make}


def a_jax_function(sign):
    import jax

    @jax.custom_vjp
    def signed(weight):
        return weight

    signed.defvjp(lambda weight: (weight, None), lambda _, grad: (sign * grad,))

    def conv(x, weight, bias, stride, padding, mode):
        return jax.lax.conv_general_dilated(x, signed(weight), stride, padding) + bias[:, None, None]

    return {"style": "jax", "call": partial(conv, mode="plain"), "tuples": True}


def an_operation_of_tensors(sign):
    def conv2d(mode, x, weight, bias, stride, padding):
        sizes = {"stride": stride, "padding": padding}
        arrays = x.data, weight.data, bias.data
        layer = Layer(
            weight.data.shape[1], len(weight.data), weight.data.shape[2:], **sizes, input=x.data.shape[2:],
            dtype=x.data.dtype,
        )  # fmt: skip

        def arrive(grad):
            x.grad, weight.grad, bias.grad = convcheck.backward(layer, *arrays[:2], grad)
            weight.grad = sign * weight.grad

        return Tensor(convcheck.forward(layer, *arrays), arrive)

    return {"tensor": Tensor, "call": partial(conv2d, "plain")}


FORMS = [
    an_object, an_object_factory, a_layer, a_layer_factory, a_pair, a_torch_function, a_torch_module, a_torch_factory,
    a_jax_function, an_operation_of_tensors,
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_right_passes_and_wrong_is_named(form):
    for framework in ("torch", "jax"):
        if framework in form.__name__:
            pytest.importorskip(framework)
    options = {"checks": ["forward", "exact"], "shrink": False}
    right = verify(LAYER, target=form(1), **options)
    assert right.passed, right
    wrong = verify(LAYER, target=form(-1), **options)
    assert {r.gradient for r in wrong.layers[0].results if r.status != "passed"} == {"weight"}
    assert "sign-flipped" in str(wrong)
