"""The pre-commit hook, by pre-commit itself on a repository made by the test."""

import shutil
import subprocess

import pytest
import yaml

from tests.shell import ROOT, shell
from tests.test_action import CONFIG, WRONG

pytest.importorskip("pre_commit")

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

MANIFEST = ROOT / ".pre-commit-hooks.yaml"


def git(folder, *words):
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "core.hooksPath=.git/hooks"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, timeout=60)


def repository(folder, files):
    folder.mkdir()
    git(folder, "init", "-q")
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")


@pytest.fixture
def project(tmp_path):
    """A repository that uses the hook, which comes from another one.

    The hook runs this checkout's convcheck: only the installation, which needs the network, is left out.
    """
    hooks = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    for hook in hooks:
        hook["language"] = "system"
    repository(tmp_path / "hooks", {MANIFEST.name: yaml.safe_dump(hooks)})
    config = {"repos": [{"repo": str(tmp_path / "hooks"), "rev": "HEAD", "hooks": [{"id": "convcheck"}]}]}
    right = WRONG.replace("-grad_weight", "grad_weight")
    files = {"convcheck.yaml": f"target: mine.py:Wrong\n{CONFIG}", "mine.py": right, "notes.txt": ""}
    repository(tmp_path / "project", {".pre-commit-config.yaml": yaml.safe_dump(config), **files})
    return tmp_path / "project"


def hook(project, *words):
    home = project.parent / "home"
    home.mkdir(exist_ok=True)
    command = " ".join(["python -m pre_commit run convcheck", *words])
    return shell(command, project, project.parent / "bin", PRE_COMMIT_HOME=str(home / "pre-commit"))


def test_the_manifest_is_valid(tmp_path):
    status, out, err = shell(f"python -m pre_commit validate-manifest '{MANIFEST}'", ROOT, tmp_path / "bin")
    assert status == 0, out + err


def test_a_right_layer_passes_and_a_wrong_one_stops_the_commit(project):
    status, out, err = hook(project, "--all-files")
    assert status == 0, out + err
    assert "Passed" in out
    (project / "mine.py").write_text(WRONG)
    git(project, "add", "-A")
    status, out, _ = hook(project)
    assert status == 1
    assert "Failed" in out
    assert "FAIL  one · weight dL/dW · exact · mine.py:Wrong" in out


def test_a_config_without_a_target_stops_the_commit(project):
    (project / "convcheck.yaml").write_text(CONFIG)
    git(project, "add", "-A")
    status, out, _ = hook(project)
    assert status == 1
    assert "error: convcheck.yaml: no code of yours" in out


def test_other_changes_do_not_run_it(project):
    (project / "notes.txt").write_text("changed")
    git(project, "add", "-A")
    status, out, _ = hook(project)
    assert status == 0
    assert "Skipped" in out
