"""The order of a target's axes: round trips, kin for other numbers of axes, mistakes."""

import numpy as np
import pytest

from convcheck import Layer, TargetError, verify
from convcheck import gradients as formulations
from convcheck.suites.fitting import fit
from convcheck.targets.layouts import images, weights

OWN = formulations.formulation("unfold")


@pytest.mark.parametrize(
    ("layout", "letters", "shape", "expected"),
    [
        (images, None, (2, 3, 4, 5), (2, 3, 4, 5)),
        (images, "NHWC", (2, 3, 4, 5), (2, 4, 5, 3)),
        (images, "nhwc", (2, 3, 4, 5), (2, 4, 5, 3)),
        (images, "NHWC", (2, 3, 4), (2, 4, 3)),
        (images, "NHWC", (2, 3, 4, 5, 6), (2, 4, 5, 6, 3)),
        (images, "NWC", (2, 3, 4, 5), (2, 4, 5, 3)),
        (images, "CHWN", (2, 3, 4, 5), (3, 4, 5, 2)),
        (images, "NWHC", (2, 3, 4, 5), (2, 5, 4, 3)),
        (images, "NTC", (2, 3, 4), (2, 4, 3)),
        (weights, None, (2, 3, 4, 5), (2, 3, 4, 5)),
        (weights, "HWIO", (2, 3, 4, 5), (4, 5, 3, 2)),
        (weights, "HWOI", (2, 3, 4, 5), (4, 5, 2, 3)),
        (weights, "HWCF", (2, 3, 4, 5), (4, 5, 3, 2)),
        (weights, "HWIO", (2, 3, 4), (4, 3, 2)),
        (weights, "WIO", (2, 3, 4, 5, 6), (4, 5, 6, 3, 2)),
    ],
)
def test_axes_go_there_and_back(layout, letters, shape, expected):
    array = np.arange(np.prod(shape), dtype=float).reshape(shape)
    theirs = layout(letters).to_target(array)
    assert theirs.shape == expected
    assert theirs.flags.c_contiguous
    assert not np.shares_memory(theirs, array)
    np.testing.assert_array_equal(layout(letters).from_target(theirs), array)


@pytest.mark.parametrize(
    ("layout", "letters", "message"),
    [
        (images, "NHW", 'target.layout: "NHW" is not allowed; expected N, C '),
        (images, "NHHC", 'target.layout: "NHHC" is not allowed'),
        (images, "NC", 'target.layout: "NC" is not allowed'),
        (weights, "HWI", 'target.weight_layout: "HWI" is not allowed; expected O, I '),
    ],
)  # fmt: skip
def test_what_is_no_order_is_refused(layout, letters, message):
    with pytest.raises(TargetError) as caught:
        layout(letters)
    assert str(caught.value).startswith(message)


class ChannelsLast:
    """Right; takes and gives images as NHWC, and weights as HWIO."""

    mistaken = False

    def forward(self, x, weight, bias, layer):
        self.layer, self.x, self.weight = layer, np.moveaxis(x, -1, 1), weight.transpose(-1, -2, *range(x.ndim - 2))
        return np.moveaxis(OWN.forward(layer, self.x, self.weight, bias), 1, -1)

    def backward(self, grad_output):
        dx, dw, db = OWN.backward(self.layer, self.x, self.weight, np.moveaxis(grad_output, -1, 1))
        if self.mistaken:
            dw = dw[..., ::-1]
        return np.moveaxis(dx, 1, -1), dw.transpose(*range(2, dw.ndim), 1, 0), db


class Mistaken(ChannelsLast):
    mistaken = True


@pytest.mark.parametrize(
    "layer", [Layer(2, 3, 3, input=7), Layer(2, 3, (3, 2), stride=2, groups=1), Layer(4, 6, (2, 3, 2), groups=2)]
)
def test_right_passes_and_wrong_is_caught_in_convchecks_own_order(layer):
    mapping = {"layout": "NHWC", "weight_layout": "HWIO"}
    assert verify(layer, target=mapping | {"call": ChannelsLast}).passed
    report = verify(layer, target=mapping | {"call": Mistaken})
    failed = {r.gradient: r for r in report.layers[0].results if r.status == "failed"}
    assert set(failed) == {"weight"}
    assert all(i < n for i, n in zip(failed["weight"].worst.index, layer.weight_shape, strict=True))
    assert not verify(layer, target=ChannelsLast).passed


class OneSample:
    """Right; takes and gives one image at a time, without an axis for the batch."""

    mistaken = False

    def forward(self, x, weight, bias, layer):
        assert (x.ndim, layer.batch) == (weight.ndim - 1, 1)
        self.layer, self.x, self.weight = layer, np.moveaxis(x, -1, 0)[None], weight
        return np.moveaxis(OWN.forward(layer, self.x, weight, bias)[0], 0, -1)

    def backward(self, grad_output):
        dx, dw, db = OWN.backward(self.layer, self.x, self.weight, np.moveaxis(grad_output, -1, 0)[None])
        if self.mistaken:
            dw = dw[..., ::-1]
        return np.moveaxis(dx[0], 0, -1), dw, db


class MistakenOnOne(OneSample):
    mistaken = True


class WritesIntoItsWeight(OneSample):
    def backward(self, grad_output):
        gradients = super().backward(grad_output)
        self.weight *= 2
        return gradients


@pytest.mark.parametrize(
    "layer",
    [Layer(2, 3, 3, input=7, batch=3), Layer(2, 3, (3, 2), stride=2), Layer(4, 6, (2, 3, 2), groups=2, batch=1)],
)
def test_one_sample_at_a_time(layer):
    assert verify(layer, target={"call": OneSample, "layout": "HWC"}).passed
    report = verify(layer, target={"call": MistakenOnOne, "layout": "HWC"})
    assert {r.gradient for r in report.layers[0].results if r.status == "failed"} == {"weight"}
    report = verify(layer, target={"call": WritesIntoItsWeight, "layout": "HWC"})
    assert "inputs-modified" in {d.name for r in report.layers[0].results for d in r.diagnosis}
    assert not verify(layer, target={"call": OneSample, "layout": "CHW"}).passed


def test_one_sample_at_a_time_is_found_by_trying():
    probe = fit(OneSample).probe
    assert probe.usable
    assert "layout HWC, weight_layout OIHW" in probe.found
