"""On integers every entry counts; a forward pass other than the definition's is differenced as it is, or not at all."""

from types import SimpleNamespace

import numpy as np
import pytest

from convcheck.checks import exact
from convcheck.checks.observed import Fault
from tests.parts import ENTRIES, LAYER, gradients, numeric, observed, said, target
from tests.parts import expected as real_expected
from tests.targets_for_tests import TrueConvolution

RIGHT = np.full(LAYER.weight_shape, 2.0)
WRONG = RIGHT + np.eye(6)[:, :2, None, None]


def run(given, *, packed=RIGHT, alone=RIGHT, builtin=False, linear=True, follows=True, affordable=1000, rounding=0.0):
    """Check the weight of a layer, with numeric gradients of the test's own: packed, and by unit steps."""
    asked = said(
        follows_definition=follows,
        source=SimpleNamespace(builtin=builtin),
        linear_in=lambda operand: linear if operand == "weight" else None,
        operands=SimpleNamespace(weight=RIGHT),
        exact=lambda gradient, packed: {"weight": numeric(packed_or_alone(packed), 3 if packed else 12)}[gradient],
        own_rounding=lambda gradient: rounding if gradient == "weight" else None,
        reference=gradients(weight=2),
    )

    def packed_or_alone(shared):
        return packed if shared else alone

    return exact.check(asked, observed({"weight": given}), "weight", affordable)


def test_a_right_gradient_passes_after_packed_evaluations():
    found = run(RIGHT)
    assert (found.status, found.check, found.gradient, found.evaluations) == ("passed", "exact", "weight", 3)
    assert (found.entries_checked, found.on_integers) == (ENTRIES["weight"], True)


def test_a_wrong_one_fails_by_unit_steps():
    found = run(WRONG)
    assert (found.status, found.check, found.gradient, found.evaluations) == ("failed", "exact", "weight", 12)
    assert found.on_integers
    assert found.max_abs_error == 1


def test_code_that_is_exact_at_unit_steps_alone_is_not_accused():
    assert run(RIGHT, packed=WRONG).passed
    assert run(RIGHT, packed=WRONG).evaluations == 12


def test_the_built_in_passes_have_no_such_excuse():
    found = run(RIGHT, packed=WRONG, builtin=True)
    assert (found.status, found.evaluations) == ("failed", 3)


@pytest.mark.parametrize(("rounding", "status"), [(1.9, "passed"), (2.0, "inconclusive"), (1e200, "inconclusive")])
def test_a_bound_as_large_as_the_gradient_says_nothing(rounding, status):
    found = run(RIGHT, follows=False, rounding=rounding)
    assert found.status == status
    assert ("as much as the gradient itself" in found.message) == (status == "inconclusive")
    # What is farther off than even that is wrong.
    assert run(RIGHT + 3 * rounding, follows=False, rounding=rounding).status == "failed"


def test_an_array_that_was_not_given_is_a_failure():
    found = exact.check(said(), observed(faults={"weight": Fault("failed", "missing")}), "weight", 9)
    assert (found.status, found.check, found.gradient, found.message) == ("failed", "exact", "weight", "missing")


class TestOtherForwardPasses:
    def test_the_gradient_of_its_own_forward_pass_passes_and_says_so(self):
        found = run(WRONG, alone=WRONG, packed=None, follows=False)
        assert (found.status, found.evaluations, found.check, found.gradient) == ("passed", 12, "exact", "weight")
        assert "own forward pass" in found.message
        assert found.message.endswith("not the definition's")

    def test_up_to_rounding_where_it_rounds(self):
        for error, status in ((0.5, "passed"), (0.75, "failed")):
            found = run(WRONG + error, alone=WRONG, follows=False, rounding=0.5)
            assert (found.status, found.max_abs_error) == (status, error)
            assert not found.on_integers
        message = run(WRONG + 0.5, alone=WRONG, follows=False, rounding=0.5).message
        assert message.endswith("not the definition's, up to rounding")

    def test_the_gradient_of_the_definition_is_told_as_such(self):
        found = run(RIGHT, alone=WRONG, follows=False)
        assert found.status == "failed"
        assert found.message.startswith("it is the gradient of the definition's forward pass")
        assert "filter" in found.message
        other = run(RIGHT + 5, alone=WRONG, follows=False)
        assert other.status == "failed"
        assert "definition" not in other.message

    def test_one_that_is_not_linear_is_not_judged(self):
        found = run(WRONG, alone=WRONG, follows=False, linear=False)
        assert (found.status, found.check, found.gradient) == ("inconclusive", "exact", "weight")
        assert found.implementation == "mine.py:Conv"
        assert "not linear in the weight" in found.message
        assert found.message.endswith("without the nonlinearity around it")

    def test_one_evaluation_for_every_entry_may_be_just_affordable(self):
        assert run(WRONG, alone=WRONG, follows=False, affordable=RIGHT.size).check == "exact"

    @pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
    def test_and_along_random_directions_where_it_is_not(self, gradient):
        code = target(TrueConvolution)
        asked = real_expected(LAYER, code)
        done = code.run(LAYER, asked.integers)
        given = dict(zip(("input", "weight", "bias"), done.backward(), strict=True))
        operand = {"input": "x", "weight": "weight", "bias": "bias"}[gradient]
        entries = getattr(asked.integers, operand).size
        for affordable, check in ((entries, "exact"), (entries - 1, "projected")):
            found = exact.check(asked, observed({gradient: given[gradient]}), gradient, affordable)
            assert (found.status, found.check, found.gradient) == ("passed", check, gradient)
        assert found.message is None
        # An inconclusive verdict, since the premise of the directions does not hold either.
        found = exact.check(asked, observed({gradient: given[gradient] + 1}), gradient, 0)
        assert found.status == "inconclusive"
