"""What the continuous integration runs is what the README and the pre-commit hooks say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest"


@pytest.mark.parametrize("name", ["README.md", ".ci/run"])
def test_the_test_command_is_the_same_everywhere(name):
    assert TEST_COMMAND in (ROOT / name).read_text(encoding="utf-8").splitlines()


def test_the_test_command_closes_the_run():
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1] == TEST_COMMAND


@pytest.mark.parametrize(("tool", "repository"), [("ruff", "ruff-pre-commit"), ("mypy", "mirrors-mypy")])
def test_the_hooks_have_the_versions_of_the_run(tool, repository):
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    version = re.search(rf"/{repository}\n +rev: v(\S+)", hooks)
    assert version is not None
    assert f"{tool}=={version[1]} " in (ROOT / ".ci/run").read_text(encoding="utf-8")
