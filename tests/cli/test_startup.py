"""The command line starts quickly: heavy libraries are imported only where they are used."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import convcheck.cli

HEAVY = {"matplotlib", "torch", "jax", "onnx"}


def imported(*words: str, before: str = "") -> set[str]:
    """Modules that are loaded when a command line has run; ``before`` runs in front of it."""
    program = f"""
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
{before}
from convcheck.__main__ import main
sys.argv = ["convcheck", *{words!r}]
main()
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    modules = set(ran.stderr.split())
    assert {"sys", "convcheck.cli", "typer"} <= modules
    return modules


@pytest.mark.parametrize("words", [["--help"], ["verify", "--help"], ["schema", "--help"], ["--version"]])
def test_help_loads_nothing_heavy_and_not_even_numpy(words):
    assert not imported(*words) & (HEAVY | {"numpy", "yaml"})


@pytest.mark.parametrize("words", [["--help"], ["mistakes", "--help"]])
def test_help_does_not_read_the_catalogue(words):
    assert "convcheck.mistakes" not in imported(*words)


def test_verify_loads_nothing_heavy():
    modules = imported("verify", "textbook", "-k", "T3-stride-1")
    assert "numpy" in modules
    assert not modules & HEAVY


@pytest.mark.parametrize("name", ["numpy", "matplotlib.pyplot"])
def test_these_tests_would_notice(name):
    assert name.partition(".")[0] in imported("--help", before=f"import {name}")


def test_importing_the_package_loads_nothing_heavy():
    program = "import convcheck, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert not set(ran.stdout.split()) & (HEAVY | {"numpy", "typer", "rich"})


def test_every_command_is_in_the_list():
    for path in Path(convcheck.cli.__file__).parent.glob("[a-z]*.py"):
        # A file with a function of its own name is a command.
        command = getattr(import_module(f"convcheck.cli.{path.stem}"), path.stem, None)
        assert command is None or command in convcheck.cli.COMMANDS
