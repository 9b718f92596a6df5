"""The commands that measure something: that they find what they measure, and say when it is not as it should be."""

import sys

import pytest

from tests import cost_of_conditions, mutation
from tests.parts import LAYER, target


def test_every_module_of_the_core_has_tests_of_its_own():
    assert {"checks.plan", "gradients.numeric.rounding", "mistakes.diagnose"} < set(mutation.MODULES)
    for module in mutation.MODULES:
        assert (mutation.ROOT / f"convcheck/{module.replace('.', '/')}.py").is_file()
        assert (mutation.ROOT / mutation.tests_of(module)).is_file(), module


def test_a_module_that_does_not_exist_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mutation", "checks.plant"])
    with pytest.raises(SystemExit) as ended:
        mutation.main()
    assert ended.value.code == 2
    assert "checks.plant" in capsys.readouterr().err


def test_the_conditions_and_the_other_checks_are_timed_apart():
    checks, conditions = cost_of_conditions.seconds(LAYER, target(), 1)
    assert checks > 0
    assert conditions > -checks


@pytest.mark.parametrize(("conditions", "status"), [(0.5, 0), (2.0, 1)])
def test_conditions_that_take_longer_than_the_other_checks_are_no_success(conditions, status, monkeypatch, capsys):
    monkeypatch.setattr(cost_of_conditions, "seconds", lambda *at: (1.0, conditions))
    monkeypatch.setattr(sys, "argv", ["cost_of_conditions", "textbook"])
    with pytest.raises(SystemExit) as ended:
        cost_of_conditions.main()
    assert ended.value.code == status
    assert f"together: {conditions:.2f}" in capsys.readouterr().out
