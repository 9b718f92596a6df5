"""Terms put into sums: those that are said to meet do, in a sum of every owner, and no others."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from convcheck import Layer
from convcheck.checks import sums
from convcheck.checks.sums import VIEWS, constant, filled
from convcheck.layer.data import Operands
from convcheck.targets import resolve
from convcheck.targets.process.limits import Limits
from tests.parts import LAYER, target
from tests.strategies import layers
from tests.targets_for_tests import Right

UNLIKE = [
    LAYER,
    Layer(2, 2, 3, stride=2, padding=1, dilation=2, input=(6,), batch=1, bias=False),
    Layer(2, 4, (2, 3), stride=(2, 1), padding=1, groups=2, input=(3, 2), batch=2, transposed=True),
    Layer(1, 2, 3, padding=2, input=(4, 5), batch=2, padding_mode="reflect"),
]


def shown_by(layer, views, numbers, code, run_by=None):
    """What a pass gives for terms of every owner, shape (owners, sums) each."""
    rows = views.owners(layer)
    places = np.broadcast_to(numbers, (rows, len(numbers)))
    at = views.operands(layer, constant(layer), filled(rows, views.terms(layer), places, np.array(code, float)))
    arrays = sums.right(layer, at, views) if run_by is None else next(sums.given(layer, run_by, [at], views))
    return {name: views.by_owner[name](layer, found) for name, found in arrays.items()}


@given(layers(max_axes=2, max_batch=2, family=True))
def test_terms_that_are_said_to_meet_are_added_up_for_every_owner(layer):
    for views in VIEWS.values():
        for meeting in views.meeting(layer):
            numbers = meeting.numbers(np.arange(meeting.size))
            assert len(set(numbers)) == meeting.size
            # Padding that repeats a sample adds some of them twice.
            found = shown_by(layer, views, numbers, [1] * meeting.size)
            assert any((array >= meeting.size).any(axis=1).all() for array in found.values())


@pytest.mark.parametrize("layer", UNLIKE, ids=range(len(UNLIKE)))
@pytest.mark.parametrize("name", VIEWS)
def test_two_terms_are_in_one_sum_only_where_that_is_said(layer, name):
    views = VIEWS[name]
    meetings = [frozenset(meeting.numbers(np.arange(meeting.size)).tolist()) for meeting in views.meeting(layer)]
    first = views.terms(layer) // 2
    for pair in (pair for pair in combinations(range(views.terms(layer)), 2) if first in pair):
        shown = shown_by(layer, views, np.array(pair), [2, 1])
        together = any((found == 3).any() for found in shown.values())
        assert together == any(set(pair) <= met for met in meetings), pair


def test_what_the_target_gives_is_what_is_shown():
    views = VIEWS["weight"]
    right, given_by = (shown_by(LAYER, views, np.array([0, 1]), [1, 1], run) for run in (None, target()))
    assert set(right) == set(given_by) == {"weight", "bias"}
    assert all(np.array_equal(right[name], given_by[name]) for name in right)


def several(seed):
    generator = np.random.default_rng(seed)
    arrays = [generator.integers(1, 9, array.shape).astype(float) for array in vars(constant(LAYER)).values()]
    return Operands(*arrays)


class OneBuffer(Right):
    """Gives the output of every pass in the same memory."""

    buffer = np.empty(LAYER.output_shape)

    def forward(self, *at):
        self.buffer[...] = super().forward(*at)
        return self.buffer


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("in_process", [True, False])
def test_what_is_given_for_many_data_comes_in_their_order(name, in_process):
    """More of them than are asked for at a time of another process."""
    views, data = VIEWS[name], [several(seed) for seed in range(20)]
    code = resolve(OneBuffer, Path.cwd(), limits=Limits(in_process=in_process))
    found = list(sums.given(LAYER, code, iter(data), views))
    code.close()
    for arrays, at in zip(found, data, strict=True):
        right = sums.right(LAYER, at, views)
        assert set(arrays) == set(right) == set(views.shows)
        assert all(np.array_equal(arrays[each], right[each]) for each in right)
    if name == "forward":
        assert not np.array_equal(found[0]["output"], found[1]["output"])
