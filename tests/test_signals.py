"""A run that is ended from outside: it says what it found, writes whole files or none, and leaves no process.

The whole search: ``python -m tests.test_signals --count 100``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from convcheck.__main__ import _signals_as_interrupts
from tests.shell import ROOT

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGINT twice", "SIGHUP", "closed pipe")

#: By name: what is run, and whether it writes a report of what it found when it is interrupted.
COMMANDS = {
    "verify": ("verify textbook --target slow.py:Slow --no-shrink --output report.json", True),
    "verify -j 2": ("verify textbook --target slow.py:Slow --no-shrink --output report.json -j 2", True),
    "verify -j 2, no target": ("verify many.yaml --output report.json -j 2", True),
    "judge": ("judge slow.py:Slow --output report.json", False),
    "hunt": ("hunt slow.py:Slow --seconds 60 --output report.json", False),
    "hunt -j 2": ("hunt slow.py:Slow --seconds 60 --output report.json -j 2", False),
    "probe": ("probe slow.py:Slow", False),
    "bench": ("bench textbook --target slow.py:Slow", False),
    "visualize": ("visualize textbook --target slow.py:Slow", False),
    "verify, a program": ("verify --target '{command: [./slow.sh]}'", False),
}

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


#: Layers that are alike but for their data, so that each is checked by itself; more than are done in the time.
MANY = "defaults: {channels: 4, filters: 6, kernel: 3}\nlayers:\n" + "".join(f"- {{seed: {n}}}\n" for n in range(2000))


def ended(folder: Path, how: str, command: str, after: float) -> list[str]:
    """Run, end it after some seconds, and return what is wrong with what is left."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    (folder / "slow.py").write_text(SLOW)
    (folder / "many.yaml").write_text(MANY)
    (folder / "slow.sh").write_text("#!/bin/sh\nsleep 1000\n")
    (folder / "slow.sh").chmod(0o755)
    words, reports = COMMANDS[command]
    run = subprocess.Popen(
        [sys.executable, "-m", "convcheck", *shlex.split(words)], cwd=folder, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    assert run.stdout is not None
    time.sleep(after)
    family = _family(run.pid)
    if how == "closed pipe":
        run.stdout.close()
        run.stdout = None
        run.send_signal(signal.SIGTERM)
    else:
        name, _, again = how.partition(" ")
        run.send_signal(getattr(signal, name))
        if again:
            time.sleep(0.05)
            run.send_signal(getattr(signal, name))
    problems = []
    try:
        _, said = run.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        run.kill()
        return ["it hangs"]
    if b"Traceback" in said and how != "SIGINT twice":
        # The second one can come anywhere, in what the first one ends too.
        problems.append(f"a traceback: {said.decode(errors='replace')[-300:]}")
    # Interrupted once more, it may end by the signal itself.
    expected = (0, 130, -signal.SIGINT) if how == "SIGINT twice" else (0, 130)
    if how != "SIGKILL" and run.returncode not in expected and after > _STARTED:
        problems.append(f"status {run.returncode}: {said.decode(errors='replace')[-300:]}")
    if report.exists():
        problems += ["half a report"] if "layers" not in json.loads(report.read_text()) else []
    elif reports and how not in ("SIGKILL", "SIGINT twice") and run.returncode == 130 and after > _STARTED:
        problems.append("no report")
    problems += [f"left: {path.name}" for path in folder.iterdir() if path.name.startswith(".convcheck")]
    ends = time.monotonic() + 60
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


@pytest.mark.parametrize(
    ("how", "command", "after"),
    [
        ("SIGKILL", "verify", 1.2), ("SIGTERM", "verify -j 2", 1.5), ("SIGHUP", "verify", 0.3),
        ("SIGTERM", "verify -j 2, no target", 4.5), ("SIGINT", "hunt -j 2", 1.5),
        ("SIGINT twice", "verify, a program", 1.2),
    ],
)  # fmt: skip
def test_a_run_that_is_ended_leaves_nothing_half(how, command, after, tmp_path):
    assert ended(tmp_path, how, command, after) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_where_nothing_can_be_raised_is_not_lost(number):
    """Such as where garbage is collected, when Hypothesis runs code of its own; so came one of thirty in a hunt."""

    def waits():
        held = type("Held", (), {"__del__": lambda self: signal.raise_signal(number)})()
        del held
        time.sleep(20)
        slept.append(20)

    slept = []
    with pytest.raises(KeyboardInterrupt), _signals_as_interrupts():
        waits()
    assert not slept


def test_what_else_cannot_be_raised_is_told_as_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(what.exc_type))
    with _signals_as_interrupts():
        held = type("Held", (), {"__del__": lambda self: 1 / 0})()
        del held
        gc.collect()
    assert told == [ZeroDivisionError]


@pytest.mark.long
@pytest.mark.parametrize("command", ["verify", "verify -j 2", "verify -j 2, no target"])
@pytest.mark.parametrize("how", SIGNALS)
def test_however_and_whenever_it_is_ended(how, command, tmp_path):
    for after in (0.1, 0.6, 1.1, 4.5):
        assert ended(tmp_path, how, command, after) == [], after


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_is_ended(command, tmp_path):
    for how, after in zip(SIGNALS, (1.8, 0.9, 4.5, 1.4, 2.7, 3.6), strict=True):
        assert ended(tmp_path, how, command, after) == [], (how, after)


def main() -> None:
    """End runs at random moments."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    draw, bad = random.Random(0), 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.count):
            how, command, after = draw.choice(SIGNALS), draw.choice(list(COMMANDS)), draw.uniform(0.05, 6)
            problems = ended(Path(folder), how, command, after)
            bad += bool(problems)
            if problems:
                sys.stdout.write(f"{number}: {how}, {command}, after {after:.2f} s: {'; '.join(problems)}\n")
    sys.stdout.write(f"{options.count} runs ended, {bad} badly\n")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()


@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [("KeyboardInterrupt", 130, "interrupted"), ("ValueError", 2, "convcheck itself has failed")],
)
def test_a_signal_that_comes_while_a_class_is_made_by_an_import(raised, status, words, tmp_path):
    program = f"""
import sys
from importlib.abc import MetaPathFinder

class Field:
    def __set_name__(self, owner, name):
        raise {raised}

class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "convcheck.cli":
            type("Key", (), {{"field": Field()}})

sys.meta_path.insert(0, Finder())
from convcheck.__main__ import main
main()
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (status, "")
    assert words in ran.stderr
    assert ("Traceback" in ran.stderr) == (raised == "ValueError")
