"""Running commands as a user would, with this checkout's ``convcheck``: in a shell, or in this process."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
import sys
from pathlib import Path
from unittest import mock

from convcheck.__main__ import main

ROOT = Path(__file__).resolve().parent.parent


def shell(command, folder, bin_folder, **variables):
    """Run a command; gives its status, standard output and standard error.

    ``convcheck``, ``python`` and ``pytest`` are this interpreter's; ``bin_folder`` is where they are put.
    """
    bin_folder.mkdir(parents=True, exist_ok=True)
    for name, words in (
        ("convcheck", "-m convcheck"),
        ("python", ""),
        ("pytest", "-m pytest -p convcheck.pytest_plugin"),
    ):
        script = bin_folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(bin_folder), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        # Only what is named is loaded, so that the plugin is not found a second time where convcheck is installed.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "COLUMNS": "100",
    }
    environment.pop("GITHUB_STEP_SUMMARY", None)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=environment | variables, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    return ran.returncode, ran.stdout, ran.stderr


def convcheck(words, folder, **variables):
    """Run ``convcheck`` in this process, which takes a tenth of the time; gives what `shell` gives.

    Not for what a process has of its own: its encoding, signals, file descriptors, and what is imported when it starts.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    environment = {"COLUMNS": "100", **variables}
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", ["convcheck", *words]),
        mock.patch.object(sys, "path", sys.path.copy()),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        os.environ.pop("GITHUB_STEP_SUMMARY", None)
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
    return status, *(stream.buffer.getvalue().decode() for stream in (out, err))
