"""Crashes that are common get a word besides their traceback, and others do not."""

import numpy as np
import pytest

from convcheck import Layer, verify
from tests.targets_for_tests import UNFOLD, Right

BARE = Layer(2, 3, (3, 2), input=(5, 6))
PADDED = Layer(2, 3, (3, 2), padding=1, input=(5, 6))


class CropsFromBehind(Right):
    """Takes the padding off with ``pad:-pad``."""

    def backward(self, grad_output):
        pad = self.layer.padding[0][0]
        right = super().backward(grad_output)
        padded = np.pad(right.input, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        return self.cropped(padded, pad), right.weight, right.bias

    def cropped(self, padded, pad):
        return padded[:, :, pad:-pad, pad:-pad]


class AndAdds(CropsFromBehind):
    def cropped(self, padded, pad):
        return super().cropped(padded, pad) + np.zeros(self.x.shape)


class ExchangesAxes(Right):
    """Walks over the rows as often as there are columns."""

    def backward(self, grad_output):
        for i in range(grad_output.shape[3]):
            grad_output[0, 0, i]
        return super().backward(grad_output)


class Raises(Right):
    def backward(self, grad_output):
        raise IndexError("always")


class ForgetsToCrop(Right):
    def backward(self, grad_output):
        right = UNFOLD.backward(self.layer, self.x, self.weight, grad_output)
        return np.pad(right.input, 1), right.weight, right.bias


def message(target, layer=BARE):
    report = verify(layer, target=target)
    assert not report.passed
    return next(r.message for r in report.layers[0].results if r.gradient == "input" and r.check == "exact")


@pytest.mark.parametrize(
    ("target", "layer", "words"),
    [
        (CropsFromBehind, BARE, ["grad_input has shape (2, 2, 0, 0)", "pad:-pad", "empty", "pad : pad + H"]),
        (AndAdds, BARE, ["ValueError", "pad:-pad", "empty", "pad : pad + H"]),
        (ExchangesAxes, BARE, ["IndexError", "two axes may be exchanged"]),
    ],
)
def test_a_common_crash_is_explained(target, layer, words):
    said = message(target, layer)
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("target", "layer"), [(Raises, BARE), (Raises, PADDED), (ForgetsToCrop, BARE), (ForgetsToCrop, PADDED)]
)
def test_another_one_is_not(target, layer):
    said = message(target, layer)
    assert "pad:-pad" not in said
    assert "exchanged" not in said


@pytest.mark.parametrize("target", [CropsFromBehind, AndAdds])
def test_the_same_code_passes_with_padding(target):
    assert verify(PADDED, target=target).passed
