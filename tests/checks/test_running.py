"""What runs layers in turn and side by side tells, and leaves undone; threads stand in for processes."""

import os
import pickle
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import ClassVar

import pytest
from threadpoolctl import threadpool_info

from convcheck import ConvcheckError, TargetError, UsageError
from convcheck.checks.check_layer import Demand, steps_of
from convcheck.checks.running import Job, Subjects, foreseen_work, run_in_threads, run_in_turn, run_side_by_side
from convcheck.gradients import FORMULATIONS
from convcheck.layer.data import integer_operands
from convcheck.targets.process.limits import Limits
from tests.parts import SUITE
from tests.targets_for_tests import Right


class Recorder:
    """Progress that keeps what it is told."""

    def __init__(self):
        self.started, self.names, self.done = [], [], []

    def start(self, total_work):
        self.started.append(total_work)

    def layer(self, name):
        self.names.append(name)

    def advance(self, work):
        self.done.append(work)


class Sent:
    """A target that is found by its name where it is taken, as by another process."""

    known: ClassVar = {}
    taken: ClassVar = []

    def __init__(self, name, code):
        self.name = name
        self.known[name] = code

    def __call__(self):
        return self.known[self.name]()

    def __reduce__(self):
        return (_taken, (self.name,))


def _taken(name):
    Sent.taken.append(name)
    return Sent.known[name]


def jobs(target=None, formulations=("unfold",), layers=SUITE.layers, checks=("forward", "exact")):
    subjects = Subjects(target, Path.cwd(), formulations=formulations)
    demand = Demand(checks, inf, None)
    return [Job(layer, subjects, subjects.find(), demand, "suite", None, None) for layer in layers]


class TestSubjects:
    def test_without_a_target_are_the_formulations_asked_for_or_all(self):
        assert [code.name for code in Subjects(None, Path.cwd(), formulations=("unfold",)).find()] == ["unfold"]
        assert [code.name for code in Subjects(None, Path.cwd()).find()] == list(FORMULATIONS)

    def test_a_target_is_found_from_its_folder(self, tmp_path):
        (tmp_path / "mine.py").write_text("from tests.targets_for_tests import Right as MyConv\n")
        (code,) = Subjects("mine.py:MyConv", tmp_path).find()
        assert code.name == "mine.py:MyConv"
        assert not code.builtin
        with pytest.raises(TargetError):
            Subjects("mine.py:MyConv", tmp_path / "elsewhere").find()

    def test_a_device_and_a_time_limit_are_passed_on(self):
        with pytest.raises(TargetError, match="device cuda"):
            Subjects(Right, Path.cwd(), device="cuda").find()

        class Slow(Right):
            def forward(self, *at):
                while True:
                    pass

        (code,) = Subjects(Slow, Path.cwd(), limits=Limits(timeout=0.05)).find()
        code.begin()
        at = integer_operands(SUITE.layers[0])
        with pytest.raises(ConvcheckError, match=r"timeout of 0\.05 s"):
            code.run(SUITE.layers[0], at)


class TestPlace:
    @pytest.mark.parametrize(
        ("path", "line", "words"),
        [
            (Path("some/suite.yaml"), 7, "some/suite.yaml:7: layer first"),
            (None, 7, "suite:7: layer first"),
            (Path("some/suite.yaml"), None, "layer first"),
        ],
    )
    def test_is_the_line_of_the_file_and_the_name(self, path, line, words):
        assert replace(jobs()[0], path=path, line=line).place == words.replace("/", os.sep)


class TestInTurn:
    def test_all_work_is_told_as_it_is_done(self):
        work, progress = jobs(), Recorder()
        results = list(run_in_turn(work, progress))
        assert [len(found) for found in results] == [4, 4, 4]
        assert all(each.passed for found in results for each in found)
        assert sum(progress.done) == sum(map(foreseen_work, work)) > 0
        for job, name in zip(work, progress.names, strict=True):
            evaluations = sum(step.evaluations for step in steps_of(job.layer, job.demand, job.targets))
            assert name == f"{job.layer.name} · {evaluations:,} evaluations"

    def test_the_next_layer_begins_when_the_last_was_taken(self):
        progress = Recorder()
        results = run_in_turn(jobs(), progress)
        assert progress.names == []
        next(results)
        assert len(progress.names) == 1


class TestSideBySide:
    """Threads stand in for processes, which take long to start."""

    def run(self, work, progress, threads=None):
        with ThreadPoolExecutor(1) as executor:
            return list(run_side_by_side(work, progress, executor, threads))

    def test_gives_the_same_as_in_turn_and_tells_as_much(self):
        work, progress = jobs("tests.targets_for_tests:Unflipped"), Recorder()
        assert self.run(work, progress) == list(run_in_turn(work, Recorder()))
        assert progress.names == ["first", "second", "third"]
        assert progress.done == list(map(foreseen_work, work))

    def test_the_target_is_looked_up_once_for_all_layers(self):
        self.run(jobs(Sent("Once", Right)), Recorder())
        assert Sent.taken.count("Once") == 1

    def test_no_more_threads_are_used_than_are_granted(self):
        seen = []

        class Looks(Right):
            def forward(self, *at):
                seen.append({pool["num_threads"] for pool in threadpool_info()})
                return super().forward(*at)

        for granted in (1, 2):
            self.run(jobs(Sent(f"Looks{granted}", Looks))[:1], Recorder(), granted)
            assert seen.pop() <= {granted}

    def test_what_is_not_wanted_any_more_is_not_begun(self):
        class OnlyTheFirst(Executor):
            def __init__(self):
                self.futures = []

            def submit(self, function, *arguments):
                self.futures.append(Future())
                if len(self.futures) == 1:
                    self.futures[0].set_result(())
                return self.futures[-1]

        executor = OnlyTheFirst()
        results = run_side_by_side(jobs(), Recorder(), executor, None)
        assert next(results) == ()
        results.close()
        assert [future.cancelled() for future in executor.futures] == [False, True, True]

    def test_a_process_that_ended_names_the_layer(self):
        class Broken(Executor):
            def submit(self, function, *arguments):
                future = Future()
                future.set_exception(BrokenExecutor())
                return future

        with pytest.raises(TargetError) as caught:
            list(run_side_by_side(jobs(), Recorder(), Broken(), None))
        assert "ended abruptly" in str(caught.value)
        assert "layer first" in str(caught.value)
        assert str(caught.value).endswith("run with jobs=1 to see which")

    def test_a_target_that_cannot_be_sent_is_refused_with_what_can(self):
        class Local(Right):
            pass

        with pytest.raises(UsageError) as caught:
            self.run(jobs(Local), Recorder())
        assert "Local" in str(caught.value)
        assert "cannot be sent to other processes; give it as module:name" in str(caught.value)
        assert str(caught.value).endswith("or path/to/file.py:name, or leave out jobs")

    def test_what_a_job_gets_is_what_it_asked_for(self):
        sent = []

        class Recording(Executor):
            def submit(self, function, *arguments):
                sent.append(arguments)
                future = Future()
                future.set_result(())
                return future

        work = jobs()
        list(run_side_by_side(work, Recorder(), Recording(), 3))
        assert [(layer, demand, threads) for layer, _, demand, threads in sent] == [
            (job.layer, job.demand, 3) for job in work
        ]
        assert all(pickle.loads(subjects) == work[0].subjects for _, subjects, _, _ in sent)

    def test_what_the_code_prints_does_not_reach_standard_output(self, capfd):
        class Prints(Right):
            def forward(self, *at):
                print("noise")  # noqa: T201
                return super().forward(*at)

        self.run(jobs(Sent("Prints", Prints))[:1], Recorder())
        captured = capfd.readouterr()
        assert captured.out == ""
        assert "noise" in captured.err


class TestInThreads:
    def test_gives_the_same_as_in_turn_in_the_same_order(self):
        work, progress = jobs("tests.targets_for_tests:Unflipped"), Recorder()
        work = [replace(job, subjects=replace(job.subjects, limits=Limits(in_process=False))) for job in work]
        assert list(run_in_threads(work, progress, 2)) == list(run_in_turn(work, Recorder()))
        assert progress.names == ["first", "second", "third"]
        assert progress.done == list(map(foreseen_work, work))

    def test_what_convcheck_itself_raises_is_raised_here(self, monkeypatch):
        def broken(layer, *more):
            raise ZeroDivisionError(layer.name)

        monkeypatch.setattr("convcheck.checks.running.check_layer", broken)
        with pytest.raises(ZeroDivisionError, match="first"):
            list(run_in_threads(jobs(), Recorder(), 2))

    def test_cores_are_shared(self, monkeypatch):
        seen = []
        monkeypatch.setattr("os.cpu_count", lambda: 4)
        monkeypatch.setattr(
            "convcheck.checks.running.check_layer",
            lambda *at: seen.extend(pool["num_threads"] for pool in threadpool_info()),
        )
        list(run_in_threads(jobs(), Recorder(), 2))
        assert seen
        assert max(seen) <= 2
