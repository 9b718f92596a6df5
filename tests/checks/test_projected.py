"""Along random directions a right gradient always agrees, and a wrong one shows with the probability that is stated."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from convcheck import Layer
from convcheck.checks import projected
from convcheck.checks.observed import Fault
from convcheck.gradients.numeric.projection import draw_size
from convcheck.reports.results import Worst
from tests.draws import projected_directions
from tests.parts import ENTRIES, LAYER, expected, observed, target
from tests.targets_for_tests import TrueConvolution

SIZE, DRAWS = draw_size(LAYER)
GRADIENTS = pytest.mark.parametrize("gradient", ["input", "weight", "bias"])


def right(gradient):
    return getattr(expected().reference, gradient).copy()


def run(values, gradient, note=None, **options):
    return projected.check(expected(**options), observed({gradient: values}), gradient, note)


def one_off(gradient, amount=1.0):
    wrong = right(gradient)
    wrong.flat[1] += amount
    return wrong


@GRADIENTS
def test_a_right_gradient_passes_with_the_probability_that_it_does_not_deserve_it(gradient):
    found = run(right(gradient), gradient, "the reason")
    assert (found.status, found.check, found.gradient) == ("passed", "projected", gradient)
    assert (found.implementation, found.message) == ("mine.py:Conv", "the reason")
    assert (found.entries, found.entries_checked) == (ENTRIES[gradient], 0)
    assert (found.evaluations, found.false_pass_probability) == (DRAWS, (2 * SIZE + 1.0) ** -DRAWS)
    assert (found.max_abs_error, found.max_rel_error, found.allowed_error, found.mismatches) == (0, 0, 0, 0)
    assert (found.worst, found.on_integers) == (None, True)


@GRADIENTS
def test_one_wrong_entry_is_enough(gradient):
    found = run(one_off(gradient), gradient, "the reason")
    assert (found.status, found.gradient, found.mismatches) == ("failed", gradient, DRAWS)
    assert f"{DRAWS} of {DRAWS} random directions disagree" in found.message
    assert found.worst.index == ()
    error = abs(found.worst.analytic - found.worst.numeric)
    assert found.max_abs_error == error > 0
    assert found.max_rel_error == error / max(abs(found.worst.analytic), abs(found.worst.numeric))
    assert found.allowed_error == 0


@GRADIENTS
def test_the_numbers_are_those_of_the_direction_that_disagrees_most(gradient):
    sums = [
        (float(np.vdot(one_off(gradient), direction)), float(np.vdot(right(gradient), direction)))
        for direction in projected_directions(LAYER, gradient)
    ]
    shares = [abs(analytic - numeric) / max(abs(analytic), abs(numeric)) for analytic, numeric in sums]
    found = run(one_off(gradient), gradient)
    assert (found.worst.analytic, found.worst.numeric) == sums[np.argmax(shares)]
    assert found.max_rel_error == max(shares)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_fails(value):
    wrong = right("weight")
    wrong.flat[0] = value
    found = run(wrong, "weight")
    assert (found.status, found.max_abs_error, found.max_rel_error) == ("failed", np.inf, np.inf)
    assert found.mismatches == DRAWS


def test_an_output_that_is_not_finite_fails_too():
    asked = expected()
    forward = asked.source.forward

    def spoilt(layer, x, weight, bias):
        return forward(layer, x, weight, bias) * np.inf

    asked.start  # noqa: B018 - the starting point is right
    asked.source = SimpleNamespace(forward=spoilt, builtin=False, exact=True)
    with np.errstate(invalid="ignore"):
        found = projected.check(asked, observed({"bias": right("bias")}), "bias", None)
    assert (found.status, found.max_rel_error) == ("failed", np.inf)


def test_fractions_fail():
    assert run(right("bias") + 0.5, "bias").status == "failed"


class TestGate:
    """A gate is about entries, so that those are compared where the directions do not agree outright."""

    @GRADIENTS
    def test_equal_directions_need_no_entries(self, gradient):
        found = run(right(gradient), gradient, "the reason", max_error=0.5)
        assert (found.status, found.evaluations, found.entries_checked) == ("passed", DRAWS, 0)
        assert found.message == "the reason"

    @GRADIENTS
    def test_an_entry_within_it_passes_and_one_beyond_fails(self, gradient):
        wrong, scale = one_off(gradient), max(np.abs(array).max() for array in (right(gradient), one_off(gradient)))
        for gate, status in ((0.99 / scale, "failed"), (1.01 / scale, "passed")):
            found = run(wrong, gradient, max_error=gate)
            assert (found.status, found.check, found.entries_checked) == (status, "projected", ENTRIES[gradient])
            assert found.max_abs_error == 1
            assert found.evaluations == 0
            assert found.gradient == gradient
            assert found.on_integers

    def test_it_decides_about_another_forward_pass_by_the_directions(self):
        code = target(TrueConvolution)
        done = code.run(LAYER, expected().integers)
        weight = done.backward()[1]
        found = run(weight, "weight", source=code, max_error=1e-9)
        assert (found.status, found.false_pass_probability) == ("passed", (2 * SIZE + 1.0) ** -DRAWS)
        near = run(weight * (1 + 2.0**-20), "weight", source=code, max_error=2.0**-10)
        assert near.status == "passed"
        assert near.allowed_error == pytest.approx(near.max_abs_error / near.max_rel_error * 2.0**-10)
        assert run(weight * 2, "weight", source=code, max_error=2.0**-10).status == "inconclusive"


class TestAnotherForwardPass:
    CODE = target(TrueConvolution)

    def gradients(self):
        done = self.CODE.run(LAYER, expected().integers)
        return dict(zip(("input", "weight", "bias"), done.backward(), strict=True))

    @GRADIENTS
    def test_a_gradient_that_agrees_with_it_passes(self, gradient):
        assert run(self.gradients()[gradient], gradient, source=self.CODE).passed

    @GRADIENTS
    def test_one_that_does_not_is_not_judged(self, gradient):
        found = run(self.gradients()[gradient] + 1, gradient, source=self.CODE)
        assert (found.status, found.check, found.gradient) == ("inconclusive", "projected", gradient)
        assert found.implementation == "mine.py:Conv"
        assert found.message.startswith("the forward pass")
        assert found.message.endswith("one entry at a time")


def test_a_gradient_that_is_zero_everywhere_is_right_where_all_of_it_is():
    nothing_read = Layer(2, 3, 2, stride=5, padding=((4, 4), (4, 4)), input=(1, 1), batch=2)
    zeros = expected(nothing_read).reference.weight
    assert not zeros.any()
    found = run(zeros, "weight", layer=nothing_read)
    assert (found.status, found.max_rel_error) == ("passed", 0)
    assert run(zeros + 1, "weight", layer=nothing_read).max_rel_error == 1


def test_an_array_that_was_not_given_is_a_failure():
    found = projected.check(expected(), observed(faults={"weight": Fault("failed", "missing")}), "weight", None)
    assert (found.status, found.check, found.gradient, found.message) == ("failed", "projected", "weight", "missing")


def test_another_seed_draws_other_directions():
    seeds = [run(one_off("weight"), "weight", layer=replace(LAYER, seed=seed)).worst for seed in (1, 2)]
    assert seeds[0] != seeds[1]
    assert all(isinstance(worst, Worst) for worst in seeds)
