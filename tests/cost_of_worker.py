"""What a process of its own for the code under test costs: ``python -m tests.cost_of_worker``.

A suite is verified on right code of NumPy's in this process and in a worker, both in turn in one run, several times, of
which the fastest counts: in seconds, and in seconds of processors, which are less a matter of what else runs. The start
of a worker is told apart. Exit status 1 if the worker takes more than 15 % longer by both.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from unittest import mock

import psutil

from convcheck import verify
from convcheck.targets.process.host import Worker
from convcheck.targets.process.limits import Limits
from tests.parts import SUITE

#: How much longer a run may take, beyond the start of one interpreter.
ALLOWED = 1.15


def seconds(subject, *, in_process):
    """Seconds of a verification, and of processors; a process from which workers are forked is there already."""
    spent, close = [0.0], Worker.close

    def closed(worker, *words):
        if worker.ended is None:
            times = psutil.Process(worker.pid).cpu_times()
            spent[0] += times.user + times.system
        close(worker, *words)

    with mock.patch.object(Worker, "close", closed):
        began, busy = time.perf_counter(), time.process_time()
        assert verify(subject, target="tests.targets_for_tests:Right", in_process=in_process, shrink=False).passed
        gc.collect()
        return time.perf_counter() - began, time.process_time() - busy + spent[0]


def compared(subject, repeats):
    """The fastest of several runs in this process, and in a worker: seconds, and seconds of processors."""
    for in_process in (True, False):
        seconds(SUITE, in_process=in_process)
    runs = [[seconds(subject, in_process=in_process) for in_process in (True, False)] for _ in range(repeats)]
    return [[min(run[side][kind] for run in runs) for side in (0, 1)] for kind in (0, 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="?", default="hostile", metavar="SUITE")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    began = time.perf_counter()
    Worker(Limits()).close()
    sys.stdout.write(f"start of a worker: {time.perf_counter() - began:.2f} s\n")
    ratios = []
    for kind, (here, there) in zip(("", " of processors"), compared(options.suite, options.repeats), strict=True):
        ratios.append(there / here)
        words = f"{here:.2f} s{kind} here, {there:.2f} s in a worker, {ratios[-1]:.2f} times"
        sys.stdout.write(f"{options.suite}: {words}\n")
    sys.exit(1 if min(ratios) > ALLOWED else 0)


if __name__ == "__main__":
    main()
