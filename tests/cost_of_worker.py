"""What a process of its own for the code under test costs: ``python -m tests.cost_of_worker``.

The command ``convcheck verify SUITE`` checks right code of NumPy's in its own process and in a worker, and a process
that starts workers is started and ended by itself, all in turn, several times, of which the fastest counts: in seconds
of processors, of all processes together, which are less a matter of what else runs, and in seconds. Exit status 1 if,
without that start, the worker takes more than 15 % longer by both.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from convcheck.targets.process.keepers import START

ROOT = Path(__file__).parents[1]

#: How much longer a run may take, beyond the start of one interpreter.
ALLOWED = 1.15

#: Installed code has been compiled.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

VERIFY = [sys.executable, "-m", "convcheck", "verify", "--target", "tests.targets_for_tests:Right", "--quiet"]


def seconds(*command, **options):
    """Seconds of processors that a command takes with all processes that came of it, and seconds; it must succeed."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, **options)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return used.ru_utime + used.ru_stime, time.perf_counter() - began


def start():
    """The same of the interpreter from which workers are forked, which ends when it has nobody to listen to."""
    mine, its = socket.socketpair()
    with its:
        mine.close()
        number = str(its.fileno())
        return seconds(sys.executable, "-c", START, number, json.dumps(sys.path), pass_fds=[its.fileno()])


def compared(suite, repeats):
    """The fastest of several runs: of the start alone, in the command's own process, and in a worker."""
    # The first one compiles.
    runs = [(start(), seconds(*VERIFY, suite, "--in-process"), seconds(*VERIFY, suite)) for _ in range(repeats + 1)][1:]
    return [[min(run[side][kind] for run in runs) for side in range(3)] for kind in (0, 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="?", default="hostile", metavar="SUITE")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    ratios = []
    for kind, (began, here, there) in zip(
        (" of processors", ""), compared(options.suite, options.repeats), strict=True
    ):
        ratios.append((there - began) / here)
        sys.stdout.write(
            f"{options.suite}: {here:.2f} s{kind} here, {there:.2f} s in a worker, of which {began:.2f} s for the "
            f"start of an interpreter; without it {ratios[-1]:.2f} times\n"
        )
    sys.exit(1 if min(ratios) > ALLOWED else 0)


if __name__ == "__main__":
    main()
