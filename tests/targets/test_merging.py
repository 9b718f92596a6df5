"""Several passes in one: what is taken apart and put together again is what one merged pass gives."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcheck import Layer, verify
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.directions import directions_of
from convcheck.layer.data import integer_operands
from convcheck.targets.merging import Passes, run_each
from convcheck.targets.target import TargetContractError
from tests.strategies import layers

FORWARD = formulation(FASTEST).forward
LAYER = Layer(4, 6, (2, 3), groups=2, input=(5, 6), bias=True)


def in_turn(of, calls=None):
    def forward(layer, x, weight, bias):
        if layer.filters == of.filters and len(x) == of.batch:
            return FORWARD(layer, x, weight, bias)
        passes = Passes.of(of, layer, x, weight, bias)
        if calls is not None:
            calls.append(passes.varies)
        outputs = np.empty((passes.copies, *of.output_shape))
        return passes.together(run_each(FORWARD, of, passes.varies, passes.some(slice(None)), outputs))

    return forward


@given(layer=layers(dtypes=("float64",), family=True), steps=st.lists(st.integers(0, 99), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("gradient", ["input", "weight"])
def test_passes_one_by_one_give_what_a_merged_one_gives(gradient, layer, steps):
    directions = directions_of(gradient, layer, integer_operands(layer))
    evaluations = [[(step % directions.count, 1.0)] for step in steps]
    calls = []
    found = directions.evaluate(in_turn(layer, calls), evaluations)
    np.testing.assert_array_equal(found, directions.evaluate(FORWARD, evaluations), strict=True)
    assert calls == ([] if len(steps) == 1 else ["x" if gradient == "input" else "weight"])


@pytest.mark.parametrize("change", [lambda output: output.astype("float32"), lambda output: output[..., 1:]])
def test_an_output_of_another_kind_among_them_is_told(change):
    x, weight, bias = (np.ones(shape) for shape in (LAYER.input_shape, LAYER.weight_shape, LAYER.filters))
    numbers = iter(range(9))

    def forward(*given):
        output = FORWARD(*given)
        return change(output) if next(numbers) == 1 else output

    with pytest.raises(TargetContractError, match="further forward pass"):
        run_each(forward, LAYER, "x", (np.stack([x, x]), weight, bias), np.empty((2, *LAYER.output_shape)))


class Counted:
    """Notes how many samples and filters its forward passes have."""

    seen = set()  # noqa: RUF012 - shared by all instances

    def forward(self, x, weight, bias, layer):
        self.seen.add((len(x), len(weight)))
        self.saved = layer, x, weight
        return FORWARD(layer, x, weight, bias)

    def backward(self, grad_output):
        return formulation(FASTEST).backward(*self.saved, grad_output)


class Wrong(Counted):
    """With the channels of the weight gradient the wrong way round."""

    def backward(self, grad_output):
        given = super().backward(grad_output)
        return given._replace(weight=given.weight[:, ::-1])


def test_code_in_this_process_sees_the_layer_alone():
    Counted.seen.clear()
    assert verify(LAYER, target=Counted, checks=["central", "exact"]).passed
    assert Counted.seen == {(LAYER.batch, LAYER.filters)}
    assert not verify(LAYER, target=Wrong, checks=["central", "exact"], shrink=False).passed


def test_each_pass_has_fresh_arguments():
    class Overwrites(Counted):
        def forward(self, x, weight, bias, layer):
            output = super().forward(x.copy(), weight.copy(), bias, layer)
            x[...] = weight[...] = 7
            return output

    report = verify(replace(LAYER, name="one"), target=Overwrites, checks=["central", "exact"], shrink=False)
    names = {d.name for r in report.layers[0].results for d in r.diagnosis}
    assert names == {"inputs-modified"}
