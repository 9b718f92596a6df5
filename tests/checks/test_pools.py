"""Where batches are carried out: here, in threads, and by anybody's executor."""

import pickle
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

from convcheck import ConvcheckError, Layer, TargetError, UsageError
from convcheck.checks.parts import Order
from convcheck.checks.pools import (
    Batch,
    Elsewhere,
    Here,
    Opened,
    Subjects,
    Threads,
    carry_out_elsewhere,
    is_loss,
    opened,
    sendable,
)
from convcheck.gradients import FORMULATIONS
from convcheck.layer.data import integer_operands
from convcheck.targets.process.limits import Limits
from convcheck.version import __version__
from tests.jobs import Sent, jobs
from tests.parts import SUITE
from tests.targets_for_tests import Right


def batches(work):
    return [Batch(job.subjects, job.targets, (Order(job.layer, job.demand),)) for job in work]


def outcomes(pool, work):
    try:
        return [future.result() for future in [pool.submit(batch, lambda work: None) for batch in batches(work)]]
    finally:
        pool.close()


def elsewhere(executor, **options):
    return Elsewhere(lambda: Opened(executor, 1, executor.shutdown), **options)


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


class TestThreads:
    def test_give_the_same_as_no_threads_and_have_targets_of_their_own(self):
        work = jobs("tests.targets_for_tests:Unflipped")
        work = [replace(job, subjects=replace(job.subjects, limits=Limits(in_process=False))) for job in work]
        assert outcomes(Threads(2), work) == outcomes(Here(), work)

    def test_what_convcheck_itself_raises_is_raised_where_the_result_is_asked_for(self, monkeypatch):
        def broken(*order):
            raise ZeroDivisionError

        monkeypatch.setattr("convcheck.checks.processes.carry_out", broken)
        with pytest.raises(ZeroDivisionError):
            outcomes(Threads(2), jobs())

    def test_share_the_cores(self, monkeypatch):
        seen = []
        monkeypatch.setattr("os.cpu_count", lambda: 4)
        monkeypatch.setattr(
            "convcheck.checks.processes.carry_out",
            lambda *order: seen.extend(pool["num_threads"] for pool in threadpool_info()),
        )
        outcomes(Threads(2), jobs())
        assert seen
        assert max(seen) <= 2

    def test_do_not_begin_what_was_cancelled(self):
        pool = Threads(1)
        first, *others = [pool.submit(batch, lambda work: None) for batch in batches(jobs() * 20)]
        cancelled = [future.cancel() for future in others]
        first.result()
        pool.close()
        assert any(cancelled)
        assert [future.cancelled() for future in others] == cancelled


class TestElsewhere:
    """Threads stand in for processes, which take long to start."""

    def test_gives_the_same_as_here(self):
        work = jobs("tests.targets_for_tests:Unflipped")
        assert outcomes(elsewhere(ThreadPoolExecutor(2)), work) == outcomes(Here(), work)

    def test_the_target_is_looked_up_once_for_all_layers(self):
        outcomes(elsewhere(ThreadPoolExecutor(1)), jobs(Sent("Once", Right)))
        assert Sent.taken.count("Once") == 1

    def test_no_more_threads_are_used_than_are_granted(self):
        seen = []

        class Looks(Right):
            def forward(self, *at):
                seen.append({pool["num_threads"] for pool in threadpool_info()})
                return super().forward(*at)

        # So large that its products gain from threads.
        layer = Layer(16, 32, 3, input=(40, 40))
        for granted in (1, 2):
            (batch, *_) = batches(jobs(Sent(f"Looks{granted}", Looks), layers=[layer], checks=("forward",)))
            # As in the main thread of a process: what a limit in another thread does is the library's affair.
            carry_out_elsewhere(__version__, sendable(batch.subjects), batch.orders, granted)
            assert seen.pop() <= {granted}

    def test_a_target_that_cannot_be_sent_is_refused_with_what_can(self):
        class Local(Right):
            pass

        with pytest.raises(UsageError) as caught:
            outcomes(elsewhere(ThreadPoolExecutor(1)), jobs(Local))
        assert "Local" in str(caught.value)
        assert "cannot be sent to other processes; give it as module:name" in str(caught.value)
        assert str(caught.value).endswith("or path/to/file.py:name, or leave out jobs or executor")

    def test_what_is_sent_says_what_is_asked_for_and_nothing_of_this_process(self):
        sent = []

        class Recording(Executor):
            def submit(self, function, *arguments):
                sent.append(arguments)
                future = Future()
                future.set_result([()])
                return future

        work = jobs()
        outcomes(elsewhere(Recording(), threads=3), work)
        for job, (version, subjects, (order,), threads) in zip(work, sent, strict=True):
            assert (version, pickle.loads(subjects), threads) == (__version__, job.subjects, 3)
            assert order == pickle.loads(pickle.dumps(order)) == Order(job.layer, job.demand)

    def test_another_convcheck_there_is_told(self):
        with pytest.raises(TargetError, match=r"a worker has convcheck .*expected 0\.0"):
            carry_out_elsewhere("0.0", sendable(jobs()[0].subjects), (), None)

    def test_what_the_code_prints_does_not_reach_standard_output(self, capfd):
        class Prints(Right):
            def forward(self, *at):
                print("noise")  # noqa: T201
                return super().forward(*at)

        outcomes(elsewhere(ThreadPoolExecutor(1)), jobs(Sent("Prints", Prints))[:1])
        captured = capfd.readouterr()
        assert captured.out == ""
        assert "noise" in captured.err

    def test_workers_that_are_lost_are_replaced_where_that_is_possible(self):
        executors = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]
        left = iter(executors)
        pool = Elsewhere(lambda: Opened(executor := next(left), 1, executor.shutdown))
        pool.renew(BrokenProcessPool())
        with pytest.raises(RuntimeError, match="after shutdown"):
            executors[0].submit(print)
        assert len(outcomes(pool, jobs())) == 3
        with pytest.raises(TargetError, match="ended abruptly"):
            elsewhere(ThreadPoolExecutor(1), again=False).renew(BrokenProcessPool())


class TestOpened:
    @pytest.mark.parametrize(
        "where",
        [
            "",
            "dask",
            "dask://",
            "dask://host",
            "dask://host:0",
            "dask://host:65536",
            "dask://:8786",
            "dask://a b:1",
            f"dask://h:{'9' * 5000}",
            "loky://",
            "loky://0",
            "loky://-1",
            "loky://two",
            "loky://1025",
            f"loky://{'9' * 5000}",
            "mpi://4",
            "spark://host:7077",
        ],
    )
    def test_what_is_none_is_refused_with_what_there_is(self, where):
        with pytest.raises(UsageError, match=r"not allowed; expected dask://HOST:PORT, loky://N"):
            opened(where)

    @pytest.mark.parametrize(
        ("where", "module", "word"),
        [("dask://h:1", "distributed", "extra dask"), ("loky://2", "loky", "loky"), ("mpi://", "mpi4py", "mpi4py")],
    )
    def test_what_is_not_installed_is_named(self, where, module, word, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        with pytest.raises(UsageError, match=f"needs .*{word}, which is not installed"):
            opened(where)

    def test_a_broken_pool_is_a_loss_and_a_bug_is_none(self):
        assert is_loss(BrokenProcessPool())
        assert not is_loss(ZeroDivisionError())
        assert not is_loss(TargetError("not found"))
