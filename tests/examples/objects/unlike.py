"""Layers that say little of how they are to be called: it is found by trying, or replaced."""

import numpy as np
from objects.windows import gathered, scattered


class Adam:
    def __init__(self, rate=0.001, first=0.9, second=0.999):
        self.rate, self.first, self.second, self.steps = rate, first, second, 0
        self.mean = self.square = 0.0

    def update(self, weights, gradient):
        self.steps += 1
        self.mean = self.first * self.mean + (1 - self.first) * gradient
        self.square = self.second * self.square + (1 - self.second) * gradient**2
        mean, square = self.mean / (1 - self.first**self.steps), self.square / (1 - self.second**self.steps)
        return weights - self.rate * mean / (np.sqrt(square) + 1e-8)


class SameByItself:
    """Stride 1, channels last, and padded without a word about it; learns in backward, by an optimizer."""

    def __init__(self, in_channels, n_filters, filter_size, optimizer=None):
        if filter_size % 2 == 0:
            raise ValueError("filters of odd size only")
        self.W = np.ones((filter_size, filter_size, in_channels, n_filters))
        self.b = np.zeros((1, 1, 1, n_filters))
        self.margin = filter_size // 2
        self.W_opt, self.b_opt = optimizer or Adam(), optimizer or Adam()

    def forward_pass(self, X, training=True):
        around = [(self.margin, self.margin)] * 2
        self.padded = np.pad(X.transpose(0, 3, 1, 2), [(0, 0), (0, 0), *around])
        self.weights = self.W.transpose(3, 2, 0, 1)
        return gathered(self.padded, self.weights).transpose(0, 2, 3, 1) + self.b

    def backward_pass(self, accum_grad):
        grads = accum_grad.transpose(0, 3, 1, 2)
        back, inner = scattered(self.padded, self.weights, grads), slice(self.margin, -self.margin or None)
        self.W = self.W_opt.update(self.W, back[1].transpose(2, 3, 1, 0))
        self.b = self.b_opt.update(self.b, grads.sum((0, 2, 3)).reshape(self.b.shape))
        return back[0][:, :, inner, inner].transpose(0, 2, 3, 1)


class LearnsBeforeItHandsOn(SameByItself):
    def backward_pass(self, accum_grad):
        grads = accum_grad.transpose(0, 3, 1, 2)
        _, of_weights = scattered(self.padded, self.weights, grads)
        self.W = self.W_opt.update(self.W, of_weights.transpose(2, 3, 1, 0))
        self.b = self.b_opt.update(self.b, grads.sum((0, 2, 3)).reshape(self.b.shape))
        inner = slice(self.margin, -self.margin or None)
        back, _ = scattered(self.padded, self.W.transpose(3, 2, 0, 1), grads)
        return back[:, :, inner, inner].transpose(0, 2, 3, 1)


class SideOfTheImage:
    """Wants the side of a square image as one number."""

    def __init__(self, inputDim, inChans, numFilters, filterDim):
        self.outDim = inputDim - filterDim + 1
        self.filters = np.ones((numFilters, inChans, filterDim, filterDim))
        self.bias = np.zeros((numFilters, 1, 1))

    def feedForward(self, image):
        self.image = image
        out = gathered(image, self.filters)
        assert out.shape[2:] == (self.outDim, self.outDim), "square images only"
        return out + self.bias

    def backProp(self, delta):
        back, self.gradFilters = scattered(self.image, self.filters, delta)
        self.gradBias = delta.sum((0, 2, 3)).reshape(self.bias.shape)
        return back


class ForgetsTheBatch(SideOfTheImage):
    def backProp(self, delta):
        back = super().backProp(delta)
        self.gradBias = delta[-1].sum((1, 2)).reshape(self.bias.shape)
        return back


class ThreeByThree:
    """One image (H, W, C) at a time, no bias, filters (F, 3, 3, C), a learning rate in backward."""

    def __init__(self, num_filters, num_channels):
        self.filters = np.ones((num_filters, 3, 3, num_channels))

    def forward(self, input):
        self.image = input.transpose(2, 0, 1)[None]
        return gathered(self.image, self.filters.transpose(0, 3, 1, 2))[0].transpose(1, 2, 0)

    def backprop(self, d_L_d_out, learn_rate):
        grads = d_L_d_out.transpose(2, 0, 1)[None]
        back, of_filters = scattered(self.image, self.filters.transpose(0, 3, 1, 2), grads)
        self.filters -= learn_rate * of_filters.transpose(0, 2, 3, 1)
        return back[0].transpose(1, 2, 0)


class WithTheWrongSign(ThreeByThree):
    def backprop(self, d_L_d_out, learn_rate):
        return -super().backprop(d_L_d_out, learn_rate)


class Operation:
    """An operation of somebody's framework: options in the constructor, arrays in forward."""

    def __init__(self, stride=1, pad=0):
        self.stride, self.pad = stride, pad

    def forward(self, x, W, b):
        self.padded = np.pad(x, [(0, 0), (0, 0), (self.pad,) * 2, (self.pad,) * 2])
        self.size, self.weights = x.shape[2:], W
        return gathered(self.padded, W, self.stride) + b.reshape(-1, 1, 1)

    def backward(self, gy):
        back, of_weights = scattered(self.padded, self.weights, gy, self.stride)
        rows, columns = (slice(self.pad, self.pad + size) for size in self.size)
        return back[:, :, rows, columns], of_weights, gy.sum((0, 2, 3))


class OperationWithoutACrop(Operation):
    def backward(self, gy):
        back, of_weights, of_bias = super().backward(gy)
        return np.roll(back, 1, 3), of_weights, of_bias
