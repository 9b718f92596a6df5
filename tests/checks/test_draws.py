"""Further data for layers whose sums are longer than a format holds."""

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.checks import draws
from convcheck.layer.data import integer_operands
from tests.checks.test_half import LONG
from tests.targets_for_tests import Right

LAYER = Layer(**LONG, dtype="bfloat16", accumulate="bfloat16", seed=3)


def results(target, **options):
    found = verify(LAYER, target=target, checks=["forward", "exact"], **options).layers[0].results
    return {r.gradient: r for r in found if r.check == "exact"}


def test_there_are_as_many_as_it_takes_and_it_is_said():
    found = results(Right).values()
    assert all(r.draws > 1 and r.exercised == 1.0 and r.message is None for r in found)


def test_a_layer_without_zeros_has_none():
    report = verify(Layer(2, 2, 2, dtype="bfloat16"), target=Right, checks=["exact"])
    assert {r.draws for r in report.layers[0].results} == {None}


def test_what_is_left_out_for_want_of_budget_is_said(monkeypatch):
    monkeypatch.setattr(draws, "TARGET_CALLS", 1)
    for result in results(Right).values():
        assert result.draws == 1
        assert 0 < result.exercised < 1
        assert "of grad_output was nonzero" in result.message
        assert "--complete" in result.message


@pytest.mark.parametrize("gradient", ["input", "weight"])
def test_code_that_is_wrong_where_the_first_data_are_zero_fails(gradient):
    at = integer_operands(LAYER)
    place = np.argwhere(np.asarray(at.grad_output) == 0)[0]

    class Forgetting(Right):
        def backward(self, grad_output):
            grad_output = grad_output.copy()
            grad_output[tuple(place)] = 0
            return super().backward(grad_output)

    found = results(Forgetting)
    assert found[gradient].status == "failed"
    assert "draw" in found[gradient].message
