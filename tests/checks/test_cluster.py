"""A real Dask cluster on this machine: the same results, also where workers and the scheduler are killed in mid-run.

``python -m tests.checks.test_cluster`` measures it: 500 layers and a large one, on one worker and on two.
"""

import logging
import resource
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest

from convcheck import Layer, UsageError, verify
from convcheck.checks import pools, running

pytest.importorskip("distributed")

from tests.clusters import Cluster, cluster

#: What workers and their connections leave behind when they are killed is the cluster's.
pytestmark = pytest.mark.filterwarnings("ignore")

LARGE = Layer(4, 8, 3, padding=1, input=(12, 12), name="large")
SMALL = [Layer(2, 3, 2, input=(5, 6 + number % 3), name=f"small-{number}") for number in range(6)]
LAYERS = [SMALL[0], LARGE, *SMALL[1:]]
OPTIONS = {"target": "tests.targets_for_tests:Unflipped", "shrink": False, "complete": True}


@pytest.fixture(autouse=True)
def _small_spans(monkeypatch):
    monkeypatch.setattr(running, "GRAIN", 10.0 * LARGE.multiply_adds)


def verified(**options):
    report = verify(LAYERS, **{**OPTIONS, **options})
    # Sums may be rounded otherwise with other numbers of threads; nothing else may differ.
    results = [[replace(result, allowed_error=0.0) for result in layer.results] for layer in report.layers]
    return [layer.name for layer in report.layers], results


class Meanwhile(threading.Thread):
    """Does something to a cluster when some of the work is done; stands in for progress."""

    def __init__(self, share, act):
        super().__init__()
        self.share, self.act, self.total, self.done, self.begun = share, act, 0.0, 0.0, False
        self.run = act

    def layer(self, name):
        pass

    def advance(self, work):
        self.done += work
        if not self.begun and self.total and self.done > self.share * self.total:
            self.begun = True
            self.start()

    def start(self, total=None):
        if total is None:
            super().start()
        else:
            self.total = total


def test_an_address_at_which_nobody_answers_is_named(monkeypatch):
    monkeypatch.setattr(pools, "_ANSWER", 0.2)
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at 127\.0\.0\.1:1\b.*dask scheduler"):
        verify(SMALL[0], executor="dask://127.0.0.1:1")


def test_a_worker_that_is_killed_in_mid_run_costs_nothing(tmp_path):
    """The short twin of the tests below."""
    with cluster(tmp_path) as there:
        killing = Meanwhile(0.2, lambda: there.workers[0].kill())
        found = verified(executor=f"dask://{there.address}", progress=killing)
    assert killing.begun
    assert found == verified()


@pytest.mark.long
def test_a_scheduler_that_is_restarted_is_found_again(tmp_path):
    with cluster(tmp_path) as there:

        def restart():
            for process in (there.scheduler, *there.workers):
                process.kill()
                process.wait()
            there.start_scheduler()
            there.start_worker()

        restarting = Meanwhile(0.2, restart)
        found = verified(executor=f"dask://{there.address}", progress=restarting)
        restarting.join()
    assert restarting.begun
    assert found == verified()


@pytest.mark.long
def test_after_a_scheduler_that_is_gone_for_good_the_same_command_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "_ANSWER", 5.0)
    state = tmp_path / "run.state"
    with cluster(tmp_path) as there:
        killing = Meanwhile(0.4, there.scheduler.kill)
        with pytest.raises(UsageError, match="no Dask scheduler answers"):
            verified(executor=f"dask://{there.address}", progress=killing, state=state)
    kept = state.read_bytes().count(b"\n")
    assert kept > 3
    with cluster(tmp_path) as there:
        assert verified(executor=f"dask://{there.address}", state=state) == verified()
    assert state.read_bytes().count(b"\n") > kept


@pytest.mark.long
def test_a_cluster_without_workers_says_how_to_start_some(tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "_ANSWER", 3.0)
    with cluster(tmp_path, workers=0) as there:
        time.sleep(2)
        with pytest.raises(UsageError, match="has no workers; start some with: dask worker"):
            verify(SMALL[0], executor=f"dask://{there.address}")


@pytest.mark.long
def test_the_log_of_dask_is_silent_while_it_is_used(tmp_path):
    """It has a traceback for every connection that is lost."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    with cluster(tmp_path, workers=1) as there:
        import distributed  # noqa: F401 - sets the levels

        levels = [logger.level for logger in loggers]
        with closing(pools.opened(f"dask://{there.address}")):
            assert not any(logger.isEnabledFor(logging.ERROR) for logger in loggers)
    assert [logger.level for logger in loggers] == levels
    assert all(logger.isEnabledFor(logging.ERROR) for logger in loggers)


@pytest.mark.long
def test_a_command_on_a_cluster(tmp_path):
    (tmp_path / "mine.py").write_text("from tests.targets_for_tests import Unflipped as MyConv\n")
    (tmp_path / "suite.yaml").write_text(
        "target: mine.py:MyConv\nlayers:\n- {channels: 2, filters: 3, kernel: 3, input: [9, 9], name: a}\n"
    )
    with cluster(tmp_path) as there:
        command = [sys.executable, "-m", "convcheck", "verify", "suite.yaml", "--executor", f"dask://{there.address}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "kernel-not-flipped" in done.stdout


def measure(folder):
    """Print how long a suite takes on one worker and on two, and what it costs their processors, start included."""
    large = Layer(32, 64, 3, padding=1, input=(112, 112), batch=2, name="large")
    suites = {
        "one large layer, complete": [large],
        "500 layers": [Layer(8, 12, 3, input=(16, 12 + n % 9), name=f"small-{n}", seed=n) for n in range(500)],
    }
    for name, layers in suites.items():
        for workers in (1, 2):
            there = Cluster(folder, workers)
            try:
                verify(SMALL[0], executor=f"dask://{there.address}")
                began = time.perf_counter()
                report = verify(layers, complete=True, executor=f"dask://{there.address}")
                seconds = time.perf_counter() - began
            finally:
                used = -_processor_seconds()
                there.close()
                used += _processor_seconds()
            print(  # noqa: T201
                f"{name}, {workers} worker(s): {seconds:.1f} s, {used:.1f} s of processors, passed: {report.passed}"
            )


def _processor_seconds():
    """Of processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder))
