"""What is foreseen grows with what is done."""

from dataclasses import replace
from math import inf

import pytest

from convcheck.checks.conditions import RUNS
from convcheck.checks.plan import DEFAULT_CHECKS, WORK_BUDGET
from convcheck.checks.work import beside
from convcheck.gradients import FASTEST, FORMULATIONS, ORACLE
from convcheck.targets import builtin
from tests.parts import LAYER, target

LARGE = replace(LAYER, input=(224, 224), padding=0)


def work(layer, *implementations, checks=DEFAULT_CHECKS, budget=inf):
    return beside(layer, implementations, checks, budget)


def test_the_definition_is_computed_once_and_the_oracle_takes_as_long_again_for_its_own_passes():
    fast, oracle = work(LARGE, builtin(FASTEST), builtin(ORACLE))
    (alone,) = work(LARGE, builtin(ORACLE))
    (definition,) = work(LARGE, builtin(FASTEST))
    assert definition == fast
    assert alone > oracle > 2 * fast
    first, second, third = work(LARGE, *map(builtin, FORMULATIONS))
    assert first > second == third > 0


def test_conditions_are_counted_where_there_are_some_and_within_the_budget():
    assert work(LARGE, target(), checks=("exact",)) == work(LARGE, builtin(FASTEST), checks=("exact",))
    (without,) = work(LARGE, target(), checks=("exact",))
    (whole,) = work(LARGE, target())
    (some,) = work(LARGE, target(), budget=WORK_BUDGET)
    passes = sum(condition.passes for condition in RUNS.values())
    assert some == pytest.approx(without + WORK_BUDGET)
    assert without < some < whole
    assert whole > passes * LARGE.multiply_adds


@pytest.mark.parametrize("changed", [{"batch": 6}, {"input": (300, 300)}, {"filters": 60}])
def test_a_larger_layer_takes_longer_and_none_takes_nothing(changed):
    assert work(replace(LARGE, **changed), builtin(FASTEST)) > work(LARGE, builtin(FASTEST))
    assert work(replace(LAYER, kernel=1, stride=1, padding=0, input=(1, 1), batch=1), builtin(FASTEST))[0] > 1e6
