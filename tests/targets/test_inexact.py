"""Algorithms that round even on small integers, by a Fourier transform, are compared within a derived bound."""

import numpy as np
import pytest

from convcheck import Layer, verify


class Fourier:
    """Correlates by a Fourier transform; stride 1, no groups."""

    flipped = True

    def forward(self, x, weight, bias, layer):
        self.x, self.weight, self.layer = x, weight, layer
        self.axes = tuple(range(2, x.ndim))
        padded = np.pad(x, ((0, 0), (0, 0), *layer.padding))
        self.size = padded.shape[2:]
        out = self._correlate(padded, weight, "nchw,fchw->nfhw")[(..., *(slice(n) for n in layer.output))]
        return (out + bias[:, None, None]).astype(x.dtype)

    def backward(self, g):
        crop = tuple(slice(b, b + n) for n, (b, _) in zip(self.layer.input, self.layer.padding, strict=True))
        full = self._fft(g), self._fft(self.weight)
        kernel = full[1] if self.flipped else full[1].conj()
        dx = self._back(np.einsum("nfhw,fchw->nchw", full[0], kernel))[(..., *crop)]
        padded = np.pad(self.x, ((0, 0), (0, 0), *self.layer.padding))
        dw = self._correlate(padded, g, "nchw,nfhw->fchw")[(..., *(slice(k) for k in self.layer.kernel))]
        return dx.astype(g.dtype), dw.astype(g.dtype), g.sum(axis=(0, 2, 3))

    def _fft(self, array):
        return np.fft.fftn(array, self.size, self.axes)

    def _back(self, array):
        return np.fft.ifftn(array, axes=self.axes).real

    def _correlate(self, image, kernel, how):
        return self._back(np.einsum(how, self._fft(image), self._fft(kernel).conj()))


class NotFlipped(Fourier):
    flipped = False


LAYERS = [
    Layer(2, 3, (3, 2), padding=[[1, 0], [2, 1]], input=(6, 9), dtype=dtype, seed=seed)
    for dtype in ("float64", "float32")
    for seed in range(3)
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer.dtype}-{layer.seed}")
def test_a_right_one_passes_and_a_wrong_one_is_caught(layer):
    report = verify(layer, target={"call": Fourier, "exact": False})
    assert report.passed, report
    results = report.layers[0].results
    assert {r.message for r in results if r.check == "exact"} == {
        "the target's mapping says exact: false, so that nothing can be expected to be exact"
    }
    central = [r for r in results if r.check in ("central", "forward")]
    assert all(r.passed and r.allowed_error < 1e6 * np.finfo(layer.dtype).eps for r in central)
    wrong = verify(layer, target={"call": NotFlipped, "exact": False})
    assert [r.gradient for r in wrong.layers[0].results if r.status == "failed"] == ["input"]


def test_without_being_declared_it_is_not_exact():
    assert not verify(LAYERS[0], target=Fourier).passed
