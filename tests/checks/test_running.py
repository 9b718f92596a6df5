"""Work is cut, handed out, lost and done again, and the results are the same whatever happens to it."""

import os
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convcheck import Layer, TargetError, verify
from convcheck.checks import again, running
from convcheck.checks.check_layer import steps_of
from convcheck.checks.parts import carry_out
from convcheck.checks.pools import Here, Pool
from convcheck.checks.running import run
from convcheck.checks.work import PACE
from convcheck.gradients import FASTEST, formulation
from tests.jobs import Recorder, jobs
from tests.parts import SUITE

#: One that is cut, between small ones.
LARGE = Layer(8, 4, (3, 2), stride=(2, 1), padding=1, input=(9, 10), name="large")
LAYERS = (SUITE.layers[0], LARGE, *SUITE.layers[1:])


@pytest.fixture(autouse=True)
def _small_spans(monkeypatch):
    monkeypatch.setattr(running, "GRAIN", 4.0 * LARGE.multiply_adds)


def work_of(**options):
    options = {"checks": ("forward", "central", "exact"), "layers": LAYERS} | options
    return jobs(**options)


def in_turn(work):
    return list(run(work, Recorder(), Here(), {}))


class Workers(Pool):
    """A pool that does nothing until it is asked for a result, the last batch first; and that can lose batches."""

    def __init__(self, workers=2, lose=lambda number, batch: None, renewable=True):
        self.workers = self.ahead = workers
        self.handed, self.renewed, self.lose, self.renewable = [], 0, lose, renewable

    def submit(self, batch, advance):
        number = len(self.handed)
        self.handed.append(batch)
        error = self.lose(number, batch)
        future = Future()
        if error is None:
            future.set_result([carry_out(order, batch.targets, lambda work: None) for order in batch.orders])
        else:
            future.set_exception(error)
        return future

    def renew(self, error):
        if not self.renewable:
            super().renew(error)
        self.renewed += 1


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
        results = list(run(work, progress, Here(), {}))
        assert [len(found) for found in results] == [4, 4, 4]
        assert all(each.passed for found in results for each in found)
        assert sum(progress.done) == pytest.approx(sum(job.work for job in work) / PACE)
        assert progress.started == [pytest.approx(sum(progress.done))]
        for job, name in zip(work, progress.names, strict=True):
            evaluations = sum(step.evaluations for step in steps_of(job.layer, job.demand, job.targets))
            assert name == f"{job.layer.name} · {evaluations:,} evaluations"

    def test_the_next_layer_begins_when_the_last_was_taken(self):
        progress = Recorder()
        results = run(jobs(), progress, Here(), {})
        assert progress.names == []
        next(results)
        assert len(progress.names) == 1

    def test_what_convcheck_itself_raises_is_raised_here(self, monkeypatch):
        def broken(layer, *more):
            raise ZeroDivisionError(layer.name)

        monkeypatch.setattr("convcheck.checks.parts.check_layer", broken)
        with pytest.raises(ZeroDivisionError, match="first"):
            list(run(jobs(), Recorder(), Here(), {}))


class TestSideBySide:
    @pytest.mark.parametrize("target", [None, "tests.targets_for_tests:Right", "tests.targets_for_tests:Unflipped"])
    def test_a_layer_that_is_cut_has_the_results_of_one_that_is_not(self, target):
        work, pool, progress = work_of(target=target), Workers(), Recorder()
        assert list(run(work, progress, pool, {})) == in_turn(work)
        spans = [order.span for batch in pool.handed for order in batch.orders if order.span is not None]
        assert {(span.check, span.gradient) for span in spans} >= {("central", "input"), ("central", "weight")}
        assert len(spans) == len(set(spans)) > 4
        assert sum(progress.done) == pytest.approx(progress.started[0])
        assert [name.split(" ")[0] for name in progress.names] == ["first", "large", "second", "third"]

    def test_a_layer_on_which_the_code_has_a_time_limit_is_not_cut(self):
        work, pool = work_of(), Workers()
        limited = [
            replace(job, subjects=replace(job.subjects, limits=replace(job.subjects.limits, timeout=9.0)))
            for job in work
        ]
        assert list(run(limited, Recorder(), pool, {})) == in_turn(work)
        assert all(order.span is None for batch in pool.handed for order in batch.orders)

    def test_small_layers_are_sent_several_at_a_time_and_as_often_as_keeps_all_workers_busy(self, monkeypatch):
        layers = [replace(SUITE.layers[0], name=f"layer-{number}", seed=number) for number in range(100)]
        monkeypatch.setattr(running, "GRAIN", PACE)
        pool = Workers(workers=2)
        assert len(list(run(work_of(layers=layers), Recorder(), pool, {}))) == 100
        sizes = [len(batch.orders) for batch in pool.handed]
        assert sum(sizes) == 100
        assert 16 <= len(sizes) <= 20
        monkeypatch.setattr(running, "GRAIN", 1.0)
        pool = Workers(workers=2)
        list(run(work_of(layers=layers, checks=("forward",)), Recorder(), pool, {}))
        assert len(pool.handed) == 100

    def test_no_more_is_handed_out_than_keeps_the_workers_busy(self):
        pool = Workers(workers=1)
        results = run(work_of(layers=[replace(LARGE, name=str(n), seed=n) for n in range(50)]), Recorder(), pool, {})
        next(results)
        assert len(pool.handed) < 100
        results.close()

    def test_what_is_not_wanted_any_more_is_not_begun(self):
        class Waiting(Workers):
            def submit(self, batch, advance):
                self.futures = [*getattr(self, "futures", ()), Future()]
                if len(self.futures) == 1:
                    self.futures[0].set_result([()])
                return self.futures[-1]

        pool = Waiting()
        layers = [replace(LARGE, seed=n) for n in range(3)]
        results = run(work_of(layers=layers, checks=("forward",)), Recorder(), pool, {})
        assert next(results) == ()
        results.close()
        assert [future.cancelled() for future in pool.futures] == [False, True, True]

    def test_what_is_done_before_its_turn_is_there_at_an_interruption(self):
        class Interrupting(Recorder):
            def advance(self, seconds):
                super().advance(seconds)
                if len(self.done) == 2:
                    raise KeyboardInterrupt

        class SecondFirst(Workers):
            def submit(self, batch, advance):
                future = super().submit(batch, advance)
                return Future() if len(self.handed) == 1 else future

        finished = {}
        with pytest.raises(KeyboardInterrupt):
            list(run(work_of(layers=SUITE.layers), Interrupting(), SecondFirst(workers=3), finished))
        assert 0 not in finished
        assert finished.keys() <= {1, 2}
        assert finished


class TestLosses:
    @pytest.mark.parametrize("error", [BrokenProcessPool(), CancelledError()])
    def test_what_a_lost_worker_had_is_done_again_and_nothing_counts_twice(self, error):
        """Every fifth batch is lost once."""
        work, progress = work_of(target="tests.targets_for_tests:Unflipped"), Recorder()
        pool = Workers(lose=lambda number, batch: error if number % 5 == 1 else None)
        assert list(run(work, progress, pool, {})) == in_turn(work)
        assert pool.renewed >= 2
        assert sum(progress.done) == pytest.approx(progress.started[0])

    def test_a_layer_that_always_loses_its_worker_costs_itself_alone(self):
        def lose(number, batch):
            return BrokenProcessPool() if any(order.layer.name == "second" for order in batch.orders) else None

        work, progress, pool = work_of(), Recorder(), Workers(lose=lose)
        found = list(run(work, progress, pool, {}))
        assert [found[number] for number in (0, 1, 3)] == [in_turn(work)[number] for number in (0, 1, 3)]
        assert {result.status for result in found[2]} == {"error"}
        assert {result.gradient for result in found[2]} == {"output", "input", "weight", "bias"}
        assert "lost, 3 times" in found[2][0].message
        assert "BrokenProcessPool" in found[2][0].message
        assert sum(progress.done) == pytest.approx(progress.started[0])
        alone = [batch for batch in pool.handed if batch.orders[0].layer.name == "second"][-1]
        assert len(alone.orders) == 1

    def test_spans_that_always_lose_their_worker_are_left_to_the_layer(self):
        def lose(number, batch):
            return BrokenProcessPool() if any(order.span for order in batch.orders) else None

        work = work_of()
        assert list(run(work, Recorder(), Workers(lose=lose), {})) == in_turn(work)

    def test_an_executor_that_nobody_can_replace_ends_the_run(self):
        pool = Workers(lose=lambda number, batch: BrokenProcessPool() if number == 1 else None, renewable=False)
        with pytest.raises(TargetError, match=r"ended abruptly .*jobs=1 to see which"):
            list(run(work_of(), Recorder(), pool, {}))

    def test_an_executor_that_takes_nothing_any_more_is_replaced(self):
        class Closed(Workers):
            def submit(self, batch, advance):
                if not self.renewed:
                    raise BrokenProcessPool
                return super().submit(batch, advance)

        work, pool = work_of(), Closed()
        assert list(run(work, Recorder(), pool, {})) == in_turn(work)
        assert pool.renewed == 1

    def test_what_a_batch_raises_is_no_loss(self):
        pool = Workers(lose=lambda number, batch: ZeroDivisionError("a bug"))
        with pytest.raises(ZeroDivisionError, match="a bug"):
            list(run(work_of(), Recorder(), pool, {}))


class Later:
    """Right on the layer named first, and on no other."""

    def forward(self, x, weight, bias, layer):
        self.saved = layer, x, weight
        return formulation(FASTEST).forward(layer, x, weight, bias)

    def backward(self, grad_output):
        gradients = formulation(FASTEST).backward(*self.saved, grad_output)
        return gradients if self.saved[0].name == "first" else gradients._replace(input=-gradients.input)


class TestEqualLayers:
    LAYERS = tuple(Layer(2, 3, 2, input=(4, 5), name=name) for name in ("first", "second", "third"))
    OTHER = Layer(2, 3, 2, input=(4, 5), seed=1, name="other")

    def test_are_checked_once_by_the_built_in_formulations_and_all_have_results(self):
        first, second, third = self.LAYERS
        work, progress, pool = work_of(layers=(first, self.OTHER, second, third)), Recorder(), Workers()
        results = list(run(work, progress, pool, {}))
        handed = [order.layer.name for batch in pool.handed for order in batch.orders if order.span is None]
        assert sorted(handed) == ["first", "other"]
        assert results[0] == results[2] == results[3] == in_turn(work_of(layers=(second,)))[0]
        assert sum(progress.done) == pytest.approx(progress.started[0])

    def test_are_checked_each_for_code_that_may_tell_them_apart(self):
        report = verify(list(self.LAYERS), target=Later, checks=["exact"], shrink=False)
        assert [layer.passed for layer in report.layers] == [True, False, False]

    @pytest.mark.parametrize("target", ["tests.targets_for_tests:Right", "tests.targets_for_tests:Unflipped"])
    def test_of_code_wait_for_the_first_and_are_not_cut_where_it_was_right(self, target, monkeypatch):
        """Nothing depends on where they are checked, or on losses."""
        monkeypatch.setattr(again, "_COSTLY", 1.0)
        names = ("first", "other", "second", "third")
        work = work_of(target=target, layers=[replace(LARGE, name=name, seed=int(name == "other")) for name in names])
        pool = Workers(lose=lambda number, batch: BrokenProcessPool() if number % 5 == 1 else None)
        progress = Recorder()
        assert list(run(work, progress, pool, {})) == in_turn(work)
        orders = [order for batch in pool.handed for order in batch.orders]
        cut = {"first", "other"} if target.endswith("Right") else {"first", "other", "second", "third"}
        assert {order.layer.name for order in orders if order.span} == cut
        assert {order.earlier.name for order in orders if order.earlier} == {"first"}
        assert {order.layer.name for order in orders if order.earlier} == {"second", "third"}
        assert sum(progress.done) == pytest.approx(progress.started[0])

    def test_of_code_whose_first_always_loses_its_worker_are_checked_all_the_same(self, monkeypatch):
        monkeypatch.setattr(again, "_COSTLY", 1.0)
        work = work_of(
            target="tests.targets_for_tests:Right",
            layers=[replace(LARGE, name=name, batch=1) for name in ("first", "second")],
        )

        def lose(number, batch):
            return BrokenProcessPool() if any(order.layer.name == "first" for order in batch.orders) else None

        lost, found = run(work, Recorder(), Workers(lose=lose), {})
        assert {result.status for result in lost} == {"error"}
        assert found == in_turn(work)[0]

    def test_with_other_data_are_not_equal(self):
        first, _, _ = self.LAYERS
        pool = Workers()
        assert len(list(run(work_of(layers=(first, self.OTHER)), Recorder(), pool, {}))) == 2
        assert len({order.layer for batch in pool.handed for order in batch.orders}) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_of_a_layer_s_size_is_kept_of_those_that_are_done(jobs):
    """A table of 40,000 places is 313 KiB; of each layer's result, where it was found and on what."""
    layers = [Layer(1, 1, 1, input=(40_000 + n,), batch=1, name=f"layer-{n}") for n in range(12)]
    size = layers[0].axes[0].colors.nbytes
    done, kept = [], []

    def each(report):
        # While another is being checked, all that were told of before this one have been given back.
        kept.extend(table for layer in done for table in tables(layer))
        done.append(report.layer)

    def tables(layer):
        axes = [value for values in vars(layer).values() if isinstance(values, tuple) for value in values]
        return [
            array for axis in axes for array in getattr(axis, "__dict__", {}).values() if isinstance(array, np.ndarray)
        ]

    assert [table.nbytes for table in tables(layers[0])] == [size]
    verify(layers, checks=["forward", "exact"], formulations=["unfold"], each=each, jobs=jobs)
    assert len(done) == len(layers)
    assert kept == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_is_told_while_a_layer_is_checked(jobs):
    told = Recorder()
    layer = Layer(4, 6, 3, input=(9, 8))
    verify(layer, target="tests.targets_for_tests:Right", jobs=jobs, in_process=False, progress=told)
    assert len(told.done) > 5
    assert sum(told.done) == pytest.approx(told.started[0])
