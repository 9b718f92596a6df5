"""A layer is cut into spans that cover its differences, and what comes of them is what was never cut."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings

from convcheck import Layer
from convcheck.checks.check_layer import Demand, check_layer, steps_of
from convcheck.checks.parts import Order, Partial, Span, carry_out, spans_of
from convcheck.gradients.numeric.differences import packing_for
from convcheck.gradients.numeric.directions import direction_count
from convcheck.targets import builtin
from tests.parts import LAYER, target
from tests.strategies import layers
from tests.targets_for_tests import Right, Unflipped

COMPLETE = Demand(("forward", "central", "exact"), inf, None)
BUILT_IN = (builtin("unfold"), builtin("dilate_flip"))


def all_in_parts(layer, targets, grain):
    told = []
    known = {
        span: carry_out(Order(layer, COMPLETE, span), targets, told.append)
        for span in spans_of(layer, targets, COMPLETE, grain)
    }
    return carry_out(Order(layer, COMPLETE, known=known), targets, told.append), known, told


@given(layer=layers(max_axes=2))
@settings(max_examples=25, deadline=None)
def test_spans_cover_every_direction_once_and_their_work_is_that_of_the_differences(layer):
    spans = spans_of(layer, BUILT_IN, COMPLETE, layer.multiply_adds)
    planned = {(step.check, step.gradient): step.evaluations for step in steps_of(layer, COMPLETE, BUILT_IN)}
    for check, gradient in {(span.check, span.gradient) for span in spans}:
        own = sorted((s.first, s.last) for s in spans if (s.check, s.gradient) == (check, gradient))
        assert [first for first, _ in own] == [0, *(last for _, last in own[:-1])]
        assert own[-1][1] == direction_count(gradient, layer)
        work = sum(work for span, work in spans.items() if (span.check, span.gradient) == (check, gradient))
        assert work == pytest.approx(planned[check, gradient] * layer.multiply_adds)
        if check == "exact":
            assert all(first % packing_for(layer, gradient).digits == 0 for first, _ in own)


@pytest.mark.parametrize("code", [None, Right, Unflipped])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_results_are_those_of_a_layer_that_was_not_cut(code, dtype):
    layer = replace(LAYER, dtype=dtype)
    targets = BUILT_IN if code is None else (target(code),)
    found, known, told = all_in_parts(layer, targets, 2.0 * layer.multiply_adds)
    whole = check_layer(layer, targets, COMPLETE)
    assert [r.status for r in found] == [r.status for r in whole]
    if dtype == "float64":
        assert found == whole
    # Products of other sizes may round otherwise; nothing rounds on integers.
    assert [r for r in found if r.check != "central"] == [r for r in whole if r.check != "central"]
    assert all(isinstance(partial, Partial) for partial in known.values())
    assert len(known) > 8
    assert sum(told) > 0
    assert all(result.passed for result in found) is (code is not Unflipped)


def test_small_work_is_not_cut_and_neither_is_what_gives_nothing():
    assert not spans_of(LAYER, BUILT_IN, COMPLETE, inf)
    assert not spans_of(LAYER, BUILT_IN, Demand(("forward", "projected"), inf, None), 1.0)
    refusing = target(Right, unsupported=["groups"])
    assert not spans_of(LAYER, (refusing,), COMPLETE, 1.0)
    inexact = target(Right, exact=False)
    assert {span.check for span in spans_of(LAYER, (inexact,), COMPLETE, LAYER.multiply_adds)} == {"central"}


def test_of_code_that_is_wrong_or_raises_nothing_is_known_and_the_check_of_the_layer_says_why():
    class Doubled(Right):
        def forward(self, x, weight, bias, layer):
            return 2 * super().forward(x, weight, bias, layer)

    class Raises(Right):
        def forward(self, x, weight, bias, layer):
            raise ValueError("not this one")

    for code in (Doubled, Raises):
        targets = (target(code),)
        found, known, _ = all_in_parts(LAYER, targets, 2.0 * LAYER.multiply_adds)
        assert known
        assert set(known.values()) == {None}
        assert [r.status for r in found] == [r.status for r in check_layer(LAYER, targets, COMPLETE)]
        assert not all(r.acceptable for r in found)


def test_a_gradient_of_which_a_portion_is_missing_is_computed_anew():
    targets = (builtin("unfold"),)
    spans = spans_of(LAYER, targets, COMPLETE, 2.0 * LAYER.multiply_adds)
    wrong = Partial(LAYER.input_shape, np.arange(3), np.full(3, 99.0), 1)
    known = {span: (wrong if number % 2 else None) for number, span in enumerate(spans)}
    assert carry_out(Order(LAYER, COMPLETE, known=known), targets, lambda work: None) == check_layer(
        LAYER, targets, COMPLETE
    )
    whole = {Span("exact", "input", 0, direction_count("input", LAYER)): wrong}
    found = carry_out(Order(LAYER, COMPLETE, known=whole), targets, lambda work: None)
    assert {r.gradient for r in found if not r.passed} == {"input"}


def test_a_layer_is_cut_as_the_code_takes_it():
    code, layer = target(Right), Layer(4, 2, 3, input=(8, 8))
    code.takes_bias = lambda: False
    found, known, _ = all_in_parts(layer, (code,), 2.0 * layer.multiply_adds)
    assert known
    assert None not in known.values()
    assert found == check_layer(layer, (code,), COMPLETE)
    assert found[-1].waived
