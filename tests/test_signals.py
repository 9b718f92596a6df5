"""A run that is ended from outside: it says what it found, writes whole files or none, and leaves no process.

The whole search: ``python -m tests.test_signals --count 100``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.shell import ROOT

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "closed pipe")

SLOW = """\
import time
from convcheck.gradients import formulation
UNFOLD = formulation("unfold")
class Slow:
    def forward(self, x, weight, bias, layer):
        time.sleep(0.005)
        self.kept = layer, x, weight
        return UNFOLD.forward(layer, x, weight, bias)
    def backward(self, grad_output):
        return UNFOLD.backward(*self.kept, grad_output)
"""


def ended(folder: Path, how: str, jobs: int, after: float) -> list[str]:
    """Run, end it after some seconds, and return what is wrong with what is left."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    (folder / "slow.py").write_text(SLOW)
    command = [sys.executable, "-m", "convcheck", "verify", "textbook", "--target", "slow.py:Slow", "--no-shrink"]
    command += ["-j", str(jobs), "--output", "report.json"]
    run = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )  # fmt: skip
    assert run.stdout is not None
    time.sleep(after)
    family = _family(run.pid)
    if how == "closed pipe":
        run.stdout.close()
        run.stdout = None
        run.send_signal(signal.SIGTERM)
    else:
        run.send_signal(getattr(signal, how))
    problems = []
    try:
        _, said = run.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        run.kill()
        return ["it hangs"]
    problems += ["a traceback"] if b"Traceback" in said else []
    if how != "SIGKILL" and run.returncode not in (0, 130) and after > _STARTED:
        problems.append(f"status {run.returncode}: {said.decode(errors='replace')[-300:]}")
    if report.exists():
        problems += ["half a report"] if "layers" not in json.loads(report.read_text()) else []
    elif how != "SIGKILL" and run.returncode == 130 and after > _STARTED:
        problems.append("no report")
    problems += [f"left: {path.name}" for path in folder.iterdir() if path.name.startswith(".convcheck")]
    ends = time.monotonic() + 5
    while any(map(_runs, family)) and time.monotonic() < ends:
        time.sleep(0.02)
    return problems + [f"left: process {process.pid}" for process in family if _runs(process)]


#: Seconds after which even a loaded machine has begun to check.
_STARTED = 4.0


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.mark.parametrize(("how", "jobs", "after"), [("SIGKILL", 1, 1.2), ("SIGTERM", 2, 1.5), ("SIGHUP", 1, 0.3)])
def test_a_run_that_is_ended_leaves_nothing_half(how, jobs, after, tmp_path):
    assert ended(tmp_path, how, jobs, after) == []


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("how", SIGNALS)
def test_however_and_whenever_it_is_ended(how, jobs, tmp_path):
    for after in (0.1, 0.6, 1.1, 4.5):
        assert ended(tmp_path, how, jobs, after) == [], after


def main() -> None:
    """End runs at random moments."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    draw, bad = random.Random(0), 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.count):
            how, jobs, after = draw.choice(SIGNALS), draw.choice((1, 2)), draw.uniform(0.05, 6)
            problems = ended(Path(folder), how, jobs, after)
            bad += bool(problems)
            if problems:
                sys.stdout.write(f"{number}: {how}, {jobs} jobs, after {after:.2f} s: {'; '.join(problems)}\n")
    sys.stdout.write(f"{options.count} runs ended, {bad} badly\n")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
