"""Parameters and gradients in dictionaries, a learning rate, and an update at the end of backward."""

import numpy as np


class Conv:
    def __init__(self, num_channels, num_filters, kernel_size, padding, stride, lr=0.01):
        self.F, self.K, self.P, self.S, self.lr = num_filters, kernel_size, padding, stride, lr
        self.params = {
            "W": np.random.normal(0, 1, (num_filters, num_channels, kernel_size, kernel_size)),
            "b": np.zeros((1, num_filters)),
        }
        self.grads = {}

    def forward(self, X):
        self.X = X
        self.Xp = np.pad(X, ((0, 0), (0, 0), (self.P, self.P), (self.P, self.P)))
        self.H, self.V = ((n - self.K) // self.S + 1 for n in self.Xp.shape[2:])
        out = np.zeros((len(X), self.F, self.H, self.V))
        for n, x in enumerate(self.Xp):
            for f in range(self.F):
                for i in range(self.H):
                    for j in range(self.V):
                        out[n, f, i, j] = (x[self.at(i, j)] * self.params["W"][f]).sum() + self.params["b"][0, f]
        return out

    def at(self, i, j):
        return slice(None), slice(i * self.S, i * self.S + self.K), slice(j * self.S, j * self.S + self.K)

    def backward(self, dout):
        self.find_gradients(dout)
        dX = self.input_gradient(dout)
        self.step()
        return dX

    def find_gradients(self, dout):
        self.grads["W"], self.grads["b"] = np.zeros_like(self.params["W"]), dout.sum(axis=(0, 2, 3))[None]
        for n, x in enumerate(self.Xp):
            for f in range(self.F):
                for i in range(self.H):
                    for j in range(self.V):
                        self.grads["W"][f] += x[self.at(i, j)] * dout[n, f, i, j]

    def input_gradient(self, dout):
        dX = np.zeros_like(self.Xp)
        for n, dx in enumerate(dX):
            for f in range(self.F):
                for i in range(self.H):
                    for j in range(self.V):
                        dx[self.at(i, j)] += self.params["W"][f] * dout[n, f, i, j]
        return dX[:, :, self.P : self.P + self.X.shape[2], self.P : self.P + self.X.shape[3]]

    def step(self):
        for name in self.params:
            self.params[name] -= self.lr * self.grads[name]


class StepsFirst(Conv):
    def backward(self, dout):
        self.find_gradients(dout)
        self.step()
        return self.input_gradient(dout)
