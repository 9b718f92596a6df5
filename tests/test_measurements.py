"""The commands that measure something: that they find what they measure, and say when it is not as it should be."""

import math
import sys
from dataclasses import replace

import pytest

import convcheck
from convcheck.gradients import FASTEST
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
    def seconds(*command, **options):
        return (0.25 if "-c" in command else 1.0 if "--in-process" in command else there + 0.25,) * 2

    monkeypatch.setattr(cost_of_worker, "seconds", seconds)
    monkeypatch.setattr(sys, "argv", ["cost_of_worker"])
    with pytest.raises(SystemExit) as ended:
        cost_of_worker.main()
    assert ended.value.code == status
    assert f"{there:.2f} times" in capsys.readouterr().out


def test_a_command_is_timed_with_the_processes_that_came_of_it(tmp_path):
    work = "sum(range(3_000_000))"
    (tmp_path / "more.py").write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', '{work}'])\n")
    alone, _ = cost_of_worker.seconds(sys.executable, "-c", "pass")
    together, passed = cost_of_worker.seconds(sys.executable, str(tmp_path / "more.py"))
    assert together > 1.5 * alone > 0
    assert passed > 0
    with pytest.raises(AssertionError):
        cost_of_worker.seconds(sys.executable, "-c", "raise SystemExit(1)")


def test_both_sides_and_the_start_are_timed(tmp_path):
    (tmp_path / "one.yaml").write_text("version: 1\nlayers: [{name: one, channels: 1, filters: 1, kernel: 1}]\n")
    assert all(taken > 0 for sides in cost_of_worker.compared(str(tmp_path / "one.yaml"), 1) for taken in sides)


def test_checks_are_timed_beside_what_they_are_measured_against():
    equal = [LAYER, replace(LAYER, name="equal")]
    taken, entries = cost_of_checks.complete([LAYER], 1)
    shapes = (LAYER.input_shape, LAYER.weight_shape, LAYER.bias_shape)
    assert entries == sum(math.prod(shape) for shape in shapes)
    assert taken > 0
    assert cost_of_checks.complete(equal, 1)[1] == 2 * entries
    alone, count = cost_of_checks.products([LAYER], 1)
    assert alone > 0
    # One for each evaluation, and none for a layer that is equal to another.
    report = convcheck.verify(LAYER, complete=True, checks=["exact"], formulations=[FASTEST])
    assert count == sum(result.evaluations for result in report.layers[0].results)
    assert 0 < count < entries
    assert cost_of_checks.products(equal, 1)[1] == count
    assert cost_of_checks.own_time([LAYER], ["exact"], 1) > 0
    assert cost_of_checks.Timed.spent > 0


def test_both_complete_checks_of_pytorch_run():
    pytest.importorskip("torch")
    assert all(taken > 0 for taken in cost_of_checks.against_gradcheck(convcheck.Layer(1, 1, 2, input=(3, 3), batch=1)))
