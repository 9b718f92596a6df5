"""Running documented shell commands as a user would, with this checkout's ``convcheck`` on the path."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

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
