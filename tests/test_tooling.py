"""What the continuous integration runs is what the README, CONTRIBUTING and the pre-commit hooks say."""

import re
import subprocess
import tomllib

import pytest
import yaml

import convcheck
from convcheck.version import REQUIREMENT
from tests.shell import ROOT

TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest"

#: The steps of a whole run, in their order, and one that runs only where it is asked for.
STEPS = ("lint", "bare", "long", "extras")
OTHER_STEPS = ("lowest",)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def step(name, script):
    """Return the lines of a step, which is a function of the shell; none if there is no such step."""
    match = re.search(rf"^{name}\(\) {{\n(.*?)^}}$", script, re.MULTILINE | re.DOTALL)
    return [line.strip() for line in match[1].splitlines()] if match else []


def faults(script):
    """Return what is wrong with the script that runs everything."""
    found = []
    order = re.search(r"^    set -- (.+)$", script, re.MULTILINE)
    if order is None or tuple(order[1].split()) != STEPS:
        found.append("not all steps run")
    bare, extras, long = (step(name, script) for name in ("bare", "extras", "long"))
    if bare[:1] != ["fresh"] or bare[-1:] != [TEST_COMMAND]:
        found.append("the README's test command does not run in a fresh environment")
    if any(word in " ".join(bare) for word in ("torch", "jax")):
        found.append("the bare environment is not bare")
    installs = [line for line in extras if "pip install" in line]
    if not installs or installs[0] != ".venv/bin/pip install torch==2.13.0":
        found.append("PyTorch is not pinned, or not first")
    if not any({"jax", "onnx", "browser", "dask"} <= set(re.findall(r"\w+", line)) for line in installs):
        found.append("the extras are not all installed")
    if not extras[-1:] or not extras[-1].startswith(".venv/bin/python -m pytest --cov"):
        found.append("the tests do not run with the extras, or their coverage is not measured")
    if long[-1:] != [".venv/bin/python -m pytest -m long"]:
        found.append("the long searches do not run")
    if "\nset -euo pipefail\n" not in script:
        found.append("a failure does not end the run")
    return found


def test_the_test_command_of_the_readme_is_the_one_that_runs():
    assert TEST_COMMAND in text("README.md").splitlines()
    assert faults(text(".ci/run")) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("set -- lint bare long extras", "set -- lint extras", "not all steps run"),
        (TEST_COMMAND, TEST_COMMAND + " -x", "does not run in a fresh environment"),
        (f"    {TEST_COMMAND}", f"    .venv/bin/pip install torch\n    {TEST_COMMAND}", "not bare"),
        ("pip install torch==2.13.0", "pip install torch", "not pinned, or not first"),
        ("[test,dev,jax,onnx,browser,dask]", "[test,dev,jax,browser,dask]", "not all installed"),
        ("[test,dev,jax,onnx,browser,dask]", "[test,dev,jax,onnx,dask]", "not all installed"),
        ("[test,dev,jax,onnx,browser,dask]", "[test,dev,jax,onnx,browser]", "not all installed"),
        ("-m pytest --cov", "-m pytest", "do not run with the extras"),
        ("-m pytest -m long", "-m pytest", "long searches"),
        ("set -euo pipefail", "set -u", "does not end the run"),
    ],
)
def test_a_run_that_leaves_something_out_would_be_noticed(old, new, fault):
    script = text(".ci/run")
    assert old in script
    assert any(fault in found for found in faults(script.replace(old, new)))


def test_every_step_runs_by_its_name_and_stands_in_contributing():
    script, contributing = text(".ci/run"), text("CONTRIBUTING.md")
    for name in (*STEPS, *OTHER_STEPS):
        assert step(name, script), name
        assert f"`.ci/run {name}`" in contributing
        assert re.search(rf"^#   {name} ", script, re.MULTILINE)


def test_an_unknown_step_is_refused():
    ran = subprocess.run(["bash", ROOT / ".ci/run", "lnit"], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert "no step lnit" in ran.stderr


def test_the_workflow_runs_the_same_steps():
    jobs = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]
    runs = {line["run"] for job in jobs.values() for line in job["steps"] if "run" in line}
    assert {line for line in runs if ".ci/run" in line} == runs
    matrix = [leg["step"] for job in jobs.values() for leg in job["strategy"]["matrix"]["include"]]
    assert set(matrix) == {*STEPS, *OTHER_STEPS}


@pytest.mark.parametrize(("tool", "repository"), [("ruff", "ruff-pre-commit"), ("mypy", "mirrors-mypy")])
def test_the_hooks_have_the_versions_of_the_run(tool, repository):
    version = re.search(rf"/{repository}\n +rev: v(\S+)", text(".pre-commit-config.yaml"))
    assert version is not None
    assert f"{tool}=={version[1]}" in PROJECT["optional-dependencies"]["dev"]


def test_every_dependency_has_a_lowest_version():
    """The step `lowest` installs just these."""
    assert all(re.fullmatch(r"[\w-]+>=[\d.]+", line) for line in PROJECT["dependencies"])


def test_what_projects_install_is_this_version():
    assert convcheck.__version__ in REQUIREMENT or PROJECT["name"] == REQUIREMENT
    assert yaml.safe_load(text("CITATION.cff"))["version"] == convcheck.__version__
