"""Which checks are made follows from a layer's sizes alone: what fits, what stands in for it, what is left out."""

import re
from dataclasses import replace
from math import inf

import pytest

from convcheck import Layer
from convcheck.checks.plan import Step, gradients_of, plan
from convcheck.gradients.numeric.differences import packing_for
from convcheck.gradients.numeric.directions import direction_count
from convcheck.gradients.numeric.projection import draw_size
from convcheck.layer.fields import Dtype
from tests.parts import LAYER

#: So large that integers keep its sums exact only with zeros among them.
HUGE = Layer(1, 1, 1, input=(5000, 4000), batch=1, dtype="float32")

#: The last layers along whose directions differences are exact, and the first along whose they are not.
LAST, FIRST = (Layer(2**23 - more, 1, 1, input=(1,), batch=1, dtype="float32", bias=False) for more in (1, 0))

COUNT = {"input": 12, "weight": 12, "bias": 1}
DRAWS = draw_size(LAYER)[1]


def packed(gradient, layer=LAYER):
    return packing_for(layer, gradient).evaluations(direction_count(gradient, layer))


def of(steps, gradient):
    return [step for step in steps if step.gradient == gradient]


def test_a_layer_without_a_bias_has_no_gradient_for_it():
    assert gradients_of(LAYER) == ("input", "weight", "bias")
    assert gradients_of(replace(LAYER, bias=False)) == ("input", "weight")
    assert {step.gradient for step in plan(replace(LAYER, bias=False), ["exact"], inf)} == {"input", "weight"}


def test_all_that_is_asked_for_is_planned_with_what_it_costs():
    steps = plan(LAYER, ["forward", "central", "exact", "projected", "conditions"], inf)
    assert steps == tuple(
        Step(gradient, check, evaluations)
        for gradient, count in COUNT.items()
        for check, evaluations in (("central", 2 * count), ("exact", packed(gradient)), ("projected", DRAWS))
    )
    assert 1 <= packed("input") < COUNT["input"]
    assert all(not step.skipped and step.note is None for step in steps)


@pytest.mark.parametrize("check", ["central", "exact", "projected"])
def test_nothing_else_is_planned(check):
    assert [(step.gradient, step.check) for step in plan(LAYER, [check], inf)] == [(g, check) for g in COUNT]


def test_nothing_numeric_asked_for_is_nothing_planned():
    assert plan(LAYER, ["forward", "conditions"], inf) == ()


@pytest.mark.parametrize("gradient", COUNT)
def test_central_differences_that_cost_too_much_are_skipped_and_something_stands_in(gradient):
    cost = 2 * COUNT[gradient]
    assert of(plan(LAYER, ["central"], cost), gradient) == [Step(gradient, "central", cost)]
    left_out, instead = of(plan(LAYER, ["central"], cost - 1), gradient)
    assert (left_out.check, left_out.evaluations, left_out.skipped) == ("central", 0, True)
    assert (instead.check, instead.evaluations, instead.skipped) == ("projected", DRAWS, False)
    assert left_out.note == instead.note
    assert re.search(r"\bcentral\b.* budget.* --complete", left_out.note)


@pytest.mark.parametrize("gradient", COUNT)
def test_exact_differences_stand_in_for_central_ones_where_both_are_asked_for(gradient):
    cost = packed(gradient)
    central, exact = of(plan(LAYER, ["central", "exact"], cost), gradient)
    assert (central.check, central.skipped) == ("central", True)
    assert exact == Step(gradient, "exact", cost)


@pytest.mark.parametrize("gradient", COUNT)
@pytest.mark.parametrize("checks", [["exact"], ["exact", "projected"]])
def test_directions_stand_in_for_exact_differences_that_cost_too_much(gradient, checks):
    (instead,) = of(plan(LAYER, checks, packed(gradient) - 1), gradient)
    assert (instead.check, instead.evaluations, instead.skipped) == ("projected", DRAWS, False)
    assert re.search(r"\bexact\b.* budget.* --complete", instead.note)


@pytest.fixture
def no_integers(monkeypatch):
    """No format holds even ones and zeros, and the step of a difference."""
    monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 2))


@pytest.mark.parametrize("checks", [["exact"], ["central", "exact"]])
def test_without_exact_integers_the_exact_check_is_skipped_and_nothing_stands_in(checks, no_integers):
    for gradient in COUNT:
        *central, exact = of(plan(HUGE, checks, inf), gradient)
        assert (exact.check, exact.evaluations, exact.skipped) == ("exact", 0, True)
        assert "integers" in exact.note
        assert "float32" in exact.note
        assert [step.skipped for step in central] == [False] * (len(checks) - 1)


def test_where_data_have_zeros_differences_are_made_and_a_projection_compares_with_the_built_in_pass():
    for step in plan(FIRST, ["exact", "projected"], inf):
        assert not step.skipped
        assert (step.check == "exact") == (step.evaluations > 0)
        assert step.check == "exact" or "built-in backward pass" in step.note


@pytest.mark.parametrize("layer", [HUGE, FIRST])
def test_a_projection_without_exact_integers_is_skipped_with_its_own_reason(layer, no_integers):
    for step in plan(layer, ["projected"], inf):
        assert (step.check, step.evaluations, step.skipped) == ("projected", 0, True)
        assert "direction" in step.note
        assert "float32" in step.note


def test_what_stands_in_for_a_central_check_needs_integers_too(no_integers):
    for gradient in COUNT:
        left_out, instead = of(plan(HUGE, ["central"], 1), gradient)
        assert left_out.skipped
        assert instead.skipped
        assert "central" in left_out.note
        assert "direction" in instead.note


def test_one_direction_of_the_smallest_integers_is_enough_to_project():
    for step in plan(LAST, ["projected"], inf):
        assert step == Step(step.gradient, "projected", draw_size(LAST)[1])
        assert step.evaluations > 1
