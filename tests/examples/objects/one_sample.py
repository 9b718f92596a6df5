"""A layer for one sample at a time, constructed with the input's shape, that learns while it runs backward."""

import numpy as np


def correlate(image, kernel):
    h, w = kernel.shape
    rows, columns = image.shape[0] - h + 1, image.shape[1] - w + 1
    taps = np.ndindex(h, w)
    return sum(kernel[i, j] * image[i : i + rows, j : j + columns] for i, j in taps)


def full_convolve(image, kernel):
    h, w = kernel.shape
    return correlate(np.pad(image, [(h - 1, h - 1), (w - 1, w - 1)]), kernel[::-1, ::-1])


class Convolutional:
    def __init__(self, input_shape, kernel_size, depth):
        self.input_depth, height, width = input_shape
        self.depth = depth
        self.input_shape = input_shape
        self.output_shape = (depth, height - kernel_size + 1, width - kernel_size + 1)
        self.kernels = np.random.randn(depth, self.input_depth, kernel_size, kernel_size)
        self.biases = np.random.randn(depth, 1, 1)

    def forward(self, input):
        self.input = input
        self.output = np.zeros(self.output_shape) + self.biases
        for i in range(self.depth):
            for j in range(self.input_depth):
                self.output[i] += correlate(input[j], self.kernels[i, j])
        return self.output

    def backward(self, output_gradient, learning_rate):
        input_gradient = self.input_gradient(output_gradient)
        self.learn(output_gradient, learning_rate)
        return input_gradient

    def learn(self, output_gradient, learning_rate):
        for i in range(self.depth):
            for j in range(self.input_depth):
                self.kernels[i, j] -= learning_rate * correlate(self.input[j], output_gradient[i])
        self.biases -= learning_rate * output_gradient.sum(axis=(1, 2), keepdims=True)

    def input_gradient(self, output_gradient):
        gradient = np.zeros(self.input_shape)
        for i in range(self.depth):
            for j in range(self.input_depth):
                gradient[j] += full_convolve(output_gradient[i], self.kernels[i, j])
        return gradient


class KernelNotTurned(Convolutional):
    def input_gradient(self, output_gradient):
        kernels, self.kernels = self.kernels, self.kernels[:, :, ::-1, ::-1]
        gradient = super().input_gradient(output_gradient)
        self.kernels = kernels
        return gradient


class LearnsFirst(Convolutional):
    def backward(self, output_gradient, learning_rate):
        self.learn(output_gradient, learning_rate)
        return self.input_gradient(output_gradient)
