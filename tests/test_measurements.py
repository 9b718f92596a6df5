"""The commands that measure something: that they find what they measure, and say when it is not as it should be."""

import math
import sys

import pytest

import convcheck
from tests import cost_of_checks, cost_of_conditions, cost_of_worker, mutation
from tests.parts import LAYER, target


def test_every_module_of_the_core_has_tests_of_its_own():
    assert {"checks.plan", "gradients.numeric.rounding", "mistakes.diagnose"} < set(mutation.MODULES)
    for module in mutation.MODULES:
        assert (mutation.ROOT / f"convcheck/{module.replace('.', '/')}.py").is_file()
        assert (mutation.ROOT / mutation.tests_of(module)).is_file(), module


@pytest.mark.parametrize(("measurement", "unknown"), [(mutation, "checks.plant"), (cost_of_checks, "resnet51")])
def test_what_cannot_be_measured_is_refused(measurement, unknown, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["measurement", unknown])
    with pytest.raises(SystemExit) as ended:
        measurement.main()
    assert ended.value.code == 2
    assert unknown in capsys.readouterr().err


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


@pytest.mark.parametrize(("there", "status"), [(1.1, 0), (1.2, 1)])
def test_a_worker_that_costs_too_much_is_no_success(there, status, monkeypatch, capsys):
    monkeypatch.setattr(cost_of_worker, "seconds", lambda subject, in_process: (1.0 if in_process else there,) * 2)
    monkeypatch.setattr(sys, "argv", ["cost_of_worker"])
    with pytest.raises(SystemExit) as ended:
        cost_of_worker.main()
    assert ended.value.code == status
    assert f"{there:.2f} times" in capsys.readouterr().out


def test_both_sides_are_timed():
    assert all(taken > 0 for sides in cost_of_worker.compared(LAYER, 1) for taken in sides)


def test_checks_are_timed_beside_what_they_are_measured_against():
    taken, evaluations, entries = cost_of_checks.complete([LAYER], 1)
    shapes = (LAYER.input_shape, LAYER.weight_shape, LAYER.bias_shape)
    assert entries == sum(math.prod(shape) for shape in shapes)
    assert 0 < evaluations < entries
    assert taken > 0
    assert cost_of_checks.products([LAYER], 1) > 0
    assert cost_of_checks.own_time([LAYER], ["exact"], 1) > 0
    assert cost_of_checks.Timed.spent > 0


def test_both_complete_checks_of_pytorch_run():
    pytest.importorskip("torch")
    assert all(taken > 0 for taken in cost_of_checks.against_gradcheck(convcheck.Layer(1, 1, 2, input=(3, 3), batch=1)))
