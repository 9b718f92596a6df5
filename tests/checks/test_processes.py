"""Whole runs side by side, in processes of their own, or in turn: the same results in the same order; what was found
before an interruption is kept."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from convcheck import UsageError, load, verify
from convcheck.checks import processes
from convcheck.checks.check_layer import Demand
from convcheck.checks.parts import Order, Span, carry_out
from convcheck.checks.processes import Carrier
from convcheck.targets import builtin, resolve
from convcheck.verification import Interrupted
from tests.parts import SUITE
from tests.targets_for_tests import Right


def without_time(report):
    return replace(report, elapsed_seconds=0.0)


@pytest.mark.parametrize("target", [None, "tests.targets_for_tests:Right", "tests.targets_for_tests:Unflipped"])
def test_results_and_their_order_do_not_depend_on_the_number_of_jobs(target):
    one, two = (verify(SUITE, target=target, jobs=jobs) for jobs in (1, 2))
    assert without_time(one) == without_time(two)
    assert [layer.layer.name for layer in two.layers] == ["first", "second", "third"]
    assert two.passed is (target != "tests.targets_for_tests:Unflipped")


def test_any_executor_will_do():
    with ThreadPoolExecutor(1) as executor:
        report = verify(SUITE, executor=executor)
    assert without_time(report) == without_time(verify(SUITE))


def test_a_target_of_a_config_is_found_by_other_processes_too(tmp_path):
    (tmp_path / "mine.py").write_text("from tests.targets_for_tests import Unflipped as MyConv\n")
    (tmp_path / "suite.yaml").write_text(
        "target: mine.py:MyConv\ndefaults: {filters: 3, kernel: 2}\nlayers:\n- {channels: 2}\n- {channels: 3}\n"
    )
    report = verify(tmp_path / "suite.yaml", jobs=2)
    assert [layer.passed for layer in report.layers] == [False, False]


def test_stops_at_the_first_failure_and_names_the_rest():
    for jobs in (1, 2):
        report = verify(SUITE, target="tests.targets_for_tests:Unflipped", exit_first=True, jobs=jobs)
        assert len(report.layers) == 1
        assert report.unchecked == ("second", "third")
        assert report.to_dict()["unchecked"] == ["second", "third"]


def test_the_search_for_the_smallest_case_has_the_code_for_itself(tmp_path):
    """After the first failure, other layers are under way on the same targets."""
    (tmp_path / "slow.py").write_text(
        "import time\nfrom tests.targets_for_tests import Unflipped\n"
        "class MyConv(Unflipped):\n    def forward(self, x, w, b, layer):\n"
        "        if layer.name in ('second', 'third'):\n            time.sleep(0.2)\n"
        "        return super().forward(x, w, b, layer)\n"
    )
    one, two = (verify(SUITE, target=f"{tmp_path}/slow.py:MyConv", exit_first=True, jobs=jobs) for jobs in (1, 2))
    assert two.layers[0].smallest is not None
    assert without_time(one) == without_time(two)


def test_a_target_that_cannot_be_sent_is_refused():
    class Local(Right):
        pass

    with pytest.raises(UsageError, match=r"cannot be sent to other processes; .* module:name .* such as jobs$"):
        verify(SUITE, target=Local, jobs=2)
    assert verify(SUITE, target=Local).passed


def test_a_process_that_ends_abruptly_costs_its_layer(tmp_path):
    (tmp_path / "deadly.py").write_text(
        "import os, signal\nfrom tests.targets_for_tests import Right\n"
        "class MyConv(Right):\n    def forward(self, x, w, b, layer):\n"
        "        if layer.name == 'second':\n            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().forward(x, w, b, layer)\n"
    )
    report = verify(SUITE, target=f"{tmp_path}/deadly.py:MyConv", jobs=2)
    assert [layer.passed for layer in report.layers] == [True, False, True]
    assert {result.status for result in report.layers[1].results} <= {"error", "inconclusive"}
    assert "ended by SIGKILL" in report.layers[1].results[0].message


@pytest.mark.parametrize("jobs", [0, -1, 1025])
def test_bad_numbers_of_jobs(jobs):
    with pytest.raises(UsageError) as caught:
        verify(SUITE, jobs=jobs)
    assert str(caught.value) == f"jobs={jobs} is not allowed; expected an integer of at least 1 and at most 1,024"


class InterruptedAtTheSecond:
    """Progress that stands in for a user who presses Ctrl-C when the second layer begins."""

    def start(self, total_work):
        pass

    def layer(self, name):
        if name.startswith("second"):
            raise KeyboardInterrupt

    def advance(self, work):
        pass


def test_an_interruption_carries_what_was_found():
    with pytest.raises(Interrupted) as caught:
        verify(SUITE, progress=InterruptedAtTheSecond())
    report = caught.value.report
    assert [layer.layer.name for layer in report.layers] == ["first"]
    assert report.layers[0].passed
    assert report.unchecked == ("second", "third")
    assert not report.passed
    assert "FAILED  1 layer of several passed; the run was interrupted" in str(report)
    assert "not checked  2 layers: second, third" in str(report)


def test_an_interruption_is_a_keyboard_interrupt():
    with pytest.raises(KeyboardInterrupt):
        verify(SUITE, progress=InterruptedAtTheSecond())


def test_the_work_foreseen_counts_every_layer():
    class Recorder(InterruptedAtTheSecond):
        names = ()
        total = done = 0.0

        def start(self, total_work):
            self.total = total_work

        def layer(self, name):
            self.names += (name,)

        def advance(self, work):
            self.done += work

    for jobs in (1, 2):
        recorder = Recorder()
        verify(SUITE, jobs=jobs, progress=recorder)
        # Parts are added up in the order in which they end.
        assert recorder.done == pytest.approx(recorder.total, rel=1e-12)
        assert recorder.total > 0
        assert [name.split(" · ")[0] for name in recorder.names] == ["first", "second", "third"]


def test_a_shipped_suite_passes_side_by_side():
    assert verify("textbook", jobs=2).passed
    assert len(load("textbook").layers) > 2


BUILT_IN = [builtin("unfold")]
ORDERS = [Order(layer, Demand(("forward", "exact"), inf, None)) for layer in SUITE.layers]


def untold(work):
    pass


@pytest.fixture
def at_once(monkeypatch):
    """A process is started for the first small layer."""
    monkeypatch.setattr(processes, "_START", 0.0)


@pytest.fixture
def carrier(at_once):
    made = Carrier(1)
    yield made
    made.close()


@pytest.fixture
def nothing_here(monkeypatch):
    """Nothing can be carried out in this process."""

    def broken(*order):
        raise ZeroDivisionError

    monkeypatch.setattr(processes, "carry_out", broken)


@pytest.mark.parametrize("max_error", [None, 1e-30])
def test_small_layers_of_the_formulations_are_checked_in_processes(max_error, monkeypatch, at_once, nothing_here):
    two = verify(SUITE, jobs=2, max_error=max_error)
    monkeypatch.undo()
    assert without_time(two) == without_time(verify(SUITE, max_error=max_error))
    assert two.passed is (max_error is None)


def test_what_takes_no_time_starts_no_process(nothing_here):
    with pytest.raises(ZeroDivisionError):
        verify(SUITE, jobs=2)


def test_the_work_of_small_layers_is_told_while_others_are_to_come(monkeypatch, carrier):
    monkeypatch.setattr(processes, "_TOGETHER", 2)
    told, here = [], []
    found = carrier.carry_out(ORDERS, BUILT_IN, told.append)
    assert found == [carry_out(order, BUILT_IN, here.append) for order in ORDERS]
    assert len(told) == 2
    assert sum(told) == pytest.approx(sum(here))


def test_large_layers_spans_and_targets_are_left_to_the_threads(monkeypatch, carrier):
    asked = []
    monkeypatch.setattr(carrier, "_in_process", lambda *given: asked.append(given))
    span = replace(ORDERS[0], span=Span("exact", "weight", 0, 2))
    carrier.carry_out([span], BUILT_IN, untold)
    carrier.carry_out(ORDERS, [resolve(Right, Path.cwd())], untold)
    monkeypatch.setattr(processes, "gains_from_threads", lambda layer: True)
    carrier.carry_out(ORDERS, BUILT_IN, untold)
    assert not asked


def test_what_a_process_leaves_undone_is_done_here(carrier):
    first = carrier.carry_out(ORDERS, BUILT_IN, untold)
    os.kill(carrier._place._worker.pid, signal.SIGKILL)
    assert carrier.carry_out(ORDERS, BUILT_IN, untold) == first


def test_a_stop_from_another_thread_ends_it(monkeypatch, carrier, nothing_here):
    monkeypatch.setattr(processes, "_TOGETHER", 1)

    def stopped_meanwhile(work):
        other = threading.Thread(target=carrier.stop)
        other.start()
        other.join()

    found = carrier.carry_out(ORDERS, BUILT_IN, stopped_meanwhile)
    assert len(found) < len(ORDERS)
    assert carrier.carry_out(ORDERS, BUILT_IN, untold) == []
