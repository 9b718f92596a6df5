"""Algorithms that round even on small integers, by a Fourier transform, are compared within a derived bound."""

import numpy as np
import pytest

from convcheck import Layer, verify
from tests.targets_for_tests import Fourier


class NotFlipped(Fourier):
    def flipped(self, kernels):
        return kernels.conj()


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
