"""Matrix products of small layers use one thread, in this process and in a worker."""

import os
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from convcheck import Layer, verify
from convcheck.targets.concurrency import one_thread_if_small
from tests.targets_for_tests import Right

SMALL = Layer(2, 3, 3, input=(7, 6))
LARGE = Layer(64, 64, 3, padding=1, input=(56, 56))


def blas_threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def two_threads():
    with threadpool_limits(2):
        if blas_threads() != {2}:
            pytest.skip("a BLAS whose threads cannot be set")
        yield


class Telling(Right):
    """Passes if its matrix products may use one thread only."""

    def forward(self, x, weight, bias, layer):
        output = super().forward(x, weight, bias, layer)
        return output if blas_threads() == {1} else output + 1


def test_small_layers_are_checked_on_one_thread(two_threads):
    with one_thread_if_small(SMALL):
        assert blas_threads() == {1}
    assert blas_threads() == {2}
    assert verify(SMALL, target=Telling, checks=["forward"]).passed


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_small_layers_are_checked_on_one_thread_in_a_worker(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    report = verify(SMALL, target=f"{__name__}:Telling", checks=["forward"], in_process=False)
    assert report.passed, report


def test_large_layers_keep_their_threads(two_threads):
    with one_thread_if_small(LARGE):
        assert blas_threads() == {2}


def test_only_the_main_thread_changes_what_is_the_whole_process(two_threads):
    seen = []

    def beside():
        with one_thread_if_small(SMALL):
            seen.append(blas_threads())

    thread = threading.Thread(target=beside)
    thread.start()
    thread.join()
    assert seen == [{2}]
