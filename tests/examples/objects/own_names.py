"""Names that nobody else uses: what is found by its shape."""

import numpy as np


class Faltung:
    def __init__(self, channels, filters, size, step=1, zero_padding=0):
        self.maske = np.random.randn(filters, channels, size, size)
        self.schwelle = np.zeros(filters)
        self.size, self.step, self.zeros = size, step, zero_padding

    def propagate(self, x):
        z, k, s = self.zeros, self.size, self.step
        self.x, self.padded = x, np.pad(x, ((0, 0), (0, 0), (z, z), (z, z)))
        out = [
            np.einsum("nckl,fckl->nf", self.padded[:, :, i : i + k, j : j + k], self.maske) + self.schwelle
            for i in range(0, self.padded.shape[2] - k + 1, s)
            for j in range(0, self.padded.shape[3] - k + 1, s)
        ]
        rows = (self.padded.shape[2] - k) // s + 1
        return np.stack(out, axis=-1).reshape(len(x), len(self.maske), rows, -1)

    def backpropagate(self, fehler):
        z, k, s = self.zeros, self.size, self.step
        zurueck, steigung = np.zeros_like(self.padded), np.zeros_like(self.maske)
        for i in range(fehler.shape[2]):
            for j in range(fehler.shape[3]):
                at = ..., slice(i * s, i * s + k), slice(j * s, j * s + k)
                zurueck[at] += np.tensordot(fehler[:, :, i, j], self.maske, 1)
                steigung += np.tensordot(fehler[:, :, i, j].T, self.padded[at], 1)
        self.fuer_maske, self.fuer_schwelle = steigung, fehler.sum((0, 2, 3))
        return zurueck[:, :, z : z + self.x.shape[2], z : z + self.x.shape[3]]


class Shifted(Faltung):
    """The padding is cropped as if there were one more in front."""

    def backpropagate(self, fehler):
        dx = super().backpropagate(fehler)
        return np.roll(dx, 1, axis=2)
