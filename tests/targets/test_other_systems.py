"""Systems without worker processes, as Windows is: code runs in convcheck's own, and what needs another is refused."""

import os
import select
import socket
import subprocess
import sys

import pytest

from convcheck.targets.process.keepers import supported
from tests.shell import ROOT

#: Takes away what Windows has not, before anything of convcheck's is imported.
WITHOUT = """
import os, select, signal, socket, sys
import psutil, subprocess  # which have other ways there
for module, names in (
    (os, ("fork", "memfd_create", "pwritev", "preadv", "register_at_fork")), (select, ("poll",)),
    (socket, ("send_fds", "recv_fds")), (signal, ("SIGRTMIN", "SIGUSR2", "SIGALRM", "SIGHUP", "setitimer")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.modules["resource"] = sys.modules["fcntl"] = None
from convcheck.__main__ import main
sys.argv[0] = "convcheck"
main()
"""

LAYER = "{channels: 1, filters: 2, kernel: 2, input: 3, batch: 1}"


def run(*words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize(("module", "name"), [(os, "fork"), (os, "pwritev"), (socket, "send_fds"), (select, "poll")])
def test_each_of_what_workers_need_is_looked_for(module, name, monkeypatch):
    assert supported() is (sys.platform != "win32")
    monkeypatch.delattr(module, name)
    assert not supported()


@pytest.mark.parametrize(
    ("code", "status", "verdict"), [("Right", 0, "PASSED"), ("Unflipped", 1, "kernel-not-flipped")]
)
def test_code_runs_in_convchecks_own_process(code, status, verdict):
    target = f"tests.targets_for_tests:{code}"
    found, out, err = run("verify", "--layer", LAYER, "--target", target, "--no-shrink")
    assert (found, verdict in out) == (status, True), err


@pytest.mark.parametrize(("words", "what"), [
    (["judge", "tests.targets_for_tests:Right"], "judge needs a process of its own"),
    (
        ["verify", "--layer", LAYER, "--target", "tests.targets_for_tests:Right", "--memory", "2GiB"],
        "--memory needs a process of its own",
    ),
])  # fmt: skip
def test_what_needs_another_process_is_refused(words, what):
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert what in err
    assert "Linux" in err
