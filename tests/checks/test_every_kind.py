"""Padding modes and transposed layers: right code passes every check, and each wrong term is caught by each."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings

from convcheck import Layer, verify
from convcheck.checks.check_layer import Demand, check_layer
from convcheck.gradients import FASTEST, FORMULATIONS, formulation
from convcheck.targets import builtin
from convcheck.targets.features import KINDS
from tests.strategies import layers
from tests.targets_for_tests import Right

CHECKS = ("forward", "central", "exact", "projected")
UNFOLD = formulation(FASTEST)

#: One layer of each kind, of sizes that differ everywhere.
LAYERS = {
    "circular": Layer(4, 6, (2, 3), (2, 1), ((1, 2), (3, 1)), groups=2, input=(5, 4), batch=3, padding_mode="circular"),
    "reflect": Layer(4, 6, (2, 3), (1, 2), ((4, 2), (1, 3)), groups=2, input=(5, 4), batch=3, padding_mode="reflect"),
    "replicate": Layer(4, 6, (2, 3), 1, ((1, 2), (3, 4)), (2, 1), input=(5, 4), batch=3, padding_mode="replicate"),
    "transposed": Layer(
        4, 6, (2, 3), (2, 3), ((1, 0), (0, 2)), (3, 2), groups=2, input=(5, 4), batch=3, transposed=True,
        output_padding=(2, 1),
    ),
    "transposed 1d": Layer(3, 2, (4,), 3, ((1, 2),), input=(5,), transposed=True, dtype="float32"),
    "reflect 3d": Layer(2, 3, (2, 3, 2), 2, 1, input=(4, 3, 5), padding_mode="reflect", dtype="float32"),
}  # fmt: skip


@given(layer=layers(dtypes=("float64", "float32"), family=True))
@settings(max_examples=40, deadline=None)
def test_the_formulations_pass_every_check(layer):
    results = check_layer(layer, [builtin(name) for name in FORMULATIONS], Demand(CHECKS, inf, None))
    assert {result.check for result in results} == set(CHECKS)
    assert [result for result in results if result.status != "passed"] == []


def at_wrong_entry(gradient, place):
    """Code of which one entry of one gradient is off by one."""

    class Wrong(Right):
        def backward(self, grad_output):
            right = super().backward(grad_output)._asdict()
            right[gradient].flat[place] += 1
            return tuple(right.values())

    return Wrong


def without(dropped):
    """Code whose output is right, and whose gradients are those of a layer with other options."""

    class Without(Right):
        def backward(self, grad_output):
            other = Layer(**{**self.layer.spec(), **dropped(self.layer)})
            given = UNFOLD.backward(other, self.x, self.weight, grad_output)
            return given.input, given.weight, given.bias

    return Without


def verified(layer, target, *checks):
    return verify(layer, target={"call": target, "supports": sorted(KINDS)}, checks=checks or CHECKS, shrink=False)


@pytest.mark.parametrize("name", LAYERS)
def test_right_code_passes_with_everything_on(name):
    report = verify(LAYERS[name], target={"call": Right, "supports": sorted(KINDS)})
    assert report.passed, report
    assert {result.check for result in report.layers[0].results} == {"forward", "central", "exact", "conditions"}


@pytest.mark.parametrize("check", CHECKS[1:])
@pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
@pytest.mark.parametrize("name", LAYERS)
def test_one_wrong_entry_is_caught_by_every_check(name, gradient, check):
    report = verified(LAYERS[name], at_wrong_entry(gradient, -1 if check == "exact" else 0), check)
    failed = {result.gradient for result in report.layers[0].results if result.status == "failed"}
    assert failed == {gradient}


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        # The border's gradient is left out, not folded back; or folded back as another mode does.
        ("circular", lambda layer: {"padding_mode": "zeros"}),
        ("reflect", lambda layer: {"padding_mode": "zeros"}),
        ("replicate", lambda layer: {"padding_mode": "zeros"}),
        ("circular", lambda layer: {"padding_mode": "replicate"}),
        ("reflect", lambda layer: {"padding_mode": "replicate"}),
    ],
)
def test_a_border_that_is_not_folded_back_is_caught(name, dropped):
    for check in CHECKS[1:]:
        assert not verified(LAYERS[name], without(dropped), check).passed


@pytest.mark.parametrize("name", ["transposed", "transposed 1d"])
def test_wrong_terms_of_a_transposed_layer_are_caught(name):
    def flipped(weight):
        return np.flip(weight, tuple(range(2, weight.ndim)))

    class WrongKernel(Right):
        def backward(self, grad_output):
            right = super().backward(grad_output)
            return (
                UNFOLD.backward(self.layer, self.x, flipped(self.weight), grad_output).input,
                right.weight,
                right.bias,
            )

    class WrongWeight(Right):
        def backward(self, grad_output):
            right = super().backward(grad_output)
            return right.input, flipped(right.weight), right.bias

    for code, gradient in ((WrongKernel, "input"), (WrongWeight, "weight")):
        for check in CHECKS[1:]:
            report = verified(LAYERS[name], code, check)
            assert {r.gradient for r in report.layers[0].results if r.status == "failed"} == {gradient}


@pytest.mark.parametrize("name", LAYERS)
def test_a_wrong_forward_pass_is_caught(name):
    class Plain(Right):
        def forward(self, x, weight, bias, layer):
            output = super().forward(x, weight, bias, layer)
            output[..., -1] *= 2
            return output

    report = verified(LAYERS[name], Plain)
    assert not report.passed
    assert report.layers[0].results[0].gradient == "output"
    assert report.layers[0].results[0].status == "failed"


@pytest.mark.parametrize("name", ["circular", "transposed"])
def test_code_that_does_not_say_it_takes_a_kind_is_not_asked(name):
    report = verify(LAYERS[name], target=Right)
    assert not report.passed
    assert {result.status for result in report.layers[0].results} == {"skipped"}
    assert name in report.layers[0].results[0].message
