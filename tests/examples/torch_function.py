"""A convolution as a custom autograd.Function, with its backward pass written by hand."""

import torch
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight


class Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, stride=1, padding=0, dilation=1, groups=1):
        ctx.save_for_backward(x, weight)
        ctx.options = (stride, padding, dilation, groups)
        return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        grad_x = conv2d_input(x.shape, weight, grad_output, *ctx.options)
        grad_weight = conv2d_weight(x, weight.shape, grad_output, *ctx.options)
        return grad_x, grad_weight, grad_output.sum(dim=(0, 2, 3)), None, None, None, None


class NotFlipped(Conv):
    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        _, *rest = Conv.backward(ctx, grad_output)
        return conv2d_input(x.shape, weight.flip(2, 3), grad_output, *ctx.options), *rest


class NoBiasGradient(Conv):
    @staticmethod
    def backward(ctx, grad_output):
        grad_x, grad_weight, *_ = Conv.backward(ctx, grad_output)
        return grad_x, grad_weight, None, None, None, None, None


class ScalesInPlace(Conv):
    @staticmethod
    def backward(ctx, grad_output):
        gradients = Conv.backward(ctx, grad_output)
        grad_output.mul_(2)
        return gradients


class IgnoresUpstream(Conv):
    @staticmethod
    def backward(ctx, grad_output):
        return Conv.backward(ctx, torch.ones_like(grad_output))


class Module(torch.nn.Module):
    """A module around the function."""

    function = Conv

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        super().__init__()
        size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        self.weight = torch.nn.Parameter(torch.randn(out_channels, in_channels, *size))
        self.bias = torch.nn.Parameter(torch.zeros(out_channels))
        self.options = (stride, padding)

    def forward(self, x):
        return self.function.apply(x, self.weight, self.bias, *self.options)


class WrongModule(Module):
    function = NotFlipped


def conv_with_unused_options(x, w, b=None, *, stride=1, pad=0):
    return functional.conv2d(x, w, b, stride, pad)


class ChannelsLast(Module):
    """Takes its memory as it is with the channels last, of whole images and of the weight."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.to(memory_format=torch.channels_last)

    def forward(self, x):
        pixels = x.permute(0, 2, 3, 1).view(-1, x.shape[1])
        kernels = self.weight.permute(0, 2, 3, 1).view(len(self.weight), -1, x.shape[1])
        n, _, h, w = x.shape
        images = pixels.view(n, h, w, -1).permute(0, 3, 1, 2)
        weight = kernels.view(len(kernels), *self.weight.shape[2:], -1).permute(0, 3, 1, 2)
        return InChannelsLast.apply(self.function.apply(images, weight, self.bias, *self.options))


class WrongChannelsLast(ChannelsLast):
    function = NotFlipped


class InChannelsLast(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output.permute(0, 2, 3, 1).view(-1).view(grad_output.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)


def make_module(in_channels, out_channels, kernel_size, stride=1, padding=0):
    return Module(in_channels, out_channels, kernel_size, stride, padding)


def make_wrong_module(in_channels, out_channels, kernel_size, stride=1, padding=0):
    return WrongModule(in_channels, out_channels, kernel_size, stride, padding)


class LacksADerivative(Module):
    """Calls what PyTorch implements in the forward pass only."""

    def forward(self, x):
        return super().forward(x) + 0 * torch.igamma(self.weight.abs().sum(), torch.ones((), dtype=x.dtype))


class NotYet(Conv):
    @staticmethod
    def backward(ctx, grad_output):
        raise NotImplementedError("not yet")


def conv_by_mode(x, w, b, mode, stride=1, padding=0):
    return {"plain": Conv, "flipped": NotFlipped}[mode].apply(x, w, b, stride, padding)
