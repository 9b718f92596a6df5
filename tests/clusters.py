"""A Dask cluster on this machine, made of the very commands that the documentation gives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: As Dask's nanny says to a worker of one thread.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Cluster:
    """A scheduler and its workers, each a process that can be ended."""

    def __init__(self, folder, workers=2):
        self.folder, self.address = folder, f"127.0.0.1:{free_port()}"
        self.scheduler = None
        self.workers = []
        self._stack = ExitStack()
        self.start_scheduler()
        for _ in range(workers):
            self.start_worker()

    def start_scheduler(self):
        port = self.address.rpartition(":")[2]
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")

    def start_worker(self):
        self.workers.append(
            self._start("worker", f"tcp://{self.address}", "--nthreads", "1", "--no-nanny", "--no-dashboard")
        )

    def _start(self, *arguments):
        path = self.folder / f"dask-{time.monotonic_ns()}.log"
        log = self._stack.enter_context(path.open("wb"))
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments],
            stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **_ONE_THREAD, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def close(self):
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()
        self._stack.close()


@contextmanager
def cluster(folder, workers=2):
    made = Cluster(folder, workers)
    try:
        yield made
    finally:
        made.close()
