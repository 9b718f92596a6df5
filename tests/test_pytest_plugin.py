"""The pytest plugin, by pytest runs of their own on real project folders."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from convcheck.mistakes.conditions import CONDITIONS

ROOT = Path(__file__).parent.parent

SUITE = """\
version: 1
layers:
  - {name: one, channels: 2, filters: 3, kernel: 2, stride: 2}
  - {name: two, channels: 2, filters: 3, kernel: [2, 3]}
  - {name: three, channels: 2, filters: 3, kernel: 1}
"""

TARGET = """\
import convcheck

class Right:
    def forward(self, x, weight, bias, layer):
        self.saved = layer, x, weight
        return convcheck.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        return tuple(convcheck.backward(*self.saved, grad_output))

class Wrong(Right):
    def backward(self, grad_output):
        grad_input, grad_weight, grad_bias = super().backward(grad_output)
        if self.saved[0].name == "two":
            grad_weight = -grad_weight
        return grad_input, grad_weight, grad_bias
"""


@pytest.fixture
def project(tmp_path):
    """A project folder, in an environment in which convcheck's entry points are installed."""
    entry_points = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    installed = tmp_path / "site" / "convcheck_entry_points-0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: convcheck-entry-points\nVersion: 0\n")
    lines = [f"{name} = {value}" for name, value in entry_points["pytest11"].items()]
    (installed / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    folder = tmp_path / "project"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "suite.yaml").write_text(SUITE)
    (folder / "my.py").write_text(TARGET)
    return folder


def run(project, *words, cwd=".", installed=False):
    """Run pytest with the plugin alone, or as installed: with every plugin that the environment has."""
    paths = [str(ROOT), str(project.parent / "site")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider" if "--lf" not in words else "cacheprovider"]
    if not installed:
        # Starting the other plugins takes longer than all else.
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        command += ["-p", "convcheck.pytest_plugin"]
    ran = subprocess.run(
        [*command, *words], cwd=project / cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert "INTERNALERROR" not in ran.stdout + ran.stderr
    return ran.returncode, ran.stdout, ran.stderr


def test_the_fixture_passes_and_gives_the_report(project):
    (project / "test_it.py").write_text(
        "import convcheck as cc\n"
        "from my import Right\n"
        "def test_suite(convcheck):\n"
        "    assert len(convcheck('configs/suite.yaml', target=Right).layers) == 3\n"
        "def test_layer(convcheck):\n"
        "    convcheck(cc.Layer(channels=2, filters=3, kernel=3), target='my.py:Right', checks=['exact'])\n"
        "def test_shipped(convcheck):\n"
        "    convcheck('textbook', select='T3-stride-1')\n"
    )
    status, out, err = run(project, "-q", installed=True)
    assert status == 0, out + err
    assert "3 passed" in out


def test_the_failure_of_the_fixture_is_the_compact_report(project):
    (project / "test_it.py").write_text(
        "from my import Wrong\ndef test_suite(convcheck):\n    convcheck('configs/suite.yaml', target=Wrong)\n"
    )
    status, out, _ = run(project)
    assert status == 1
    assert ">       convcheck('configs/suite.yaml', target=Wrong)" in out
    assert "1 of 3 layers of" in out
    assert "FAIL  two · weight dL/dW · exact · my:Wrong" in out
    assert "the forward pass implies" in out
    # The user's own line is the only code that is shown: no page of internals.
    shown = out[out.index("= FAILURES =") :]
    assert "pytest_plugin" not in shown
    assert "verification.py" not in shown
    assert "During handling" not in shown
    # In a CI job the summary below has it all once more.
    assert len(shown.partition("short test summary")[0].splitlines()) < 40
    assert "FAILED test_it.py::test_suite - Failed: 1 of 3 layers of" in out


def test_relative_paths_start_at_the_test_file(project):
    tests = project / "tests"
    tests.mkdir()
    (tests / "near.yaml").write_text(SUITE)
    (tests / "mine.py").write_text(TARGET)
    (tests / "test_it.py").write_text(
        "def test_near(convcheck):\n    convcheck('near.yaml', target='mine.py:Right', select='one')\n"
        "def test_current_folder(convcheck):\n    convcheck('configs/suite.yaml', select='one')\n"
    )
    assert run(project)[0] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("convcheck('missing.yaml')", "Failed: missing.yaml: no such file"),
        ("convcheck('textbok')", 'Failed: unknown suite "textbok"; did you mean "textbook"?'),
        ("convcheck('configs/suite.yaml', target='my.py:Rihgt')", 'my.py has no "Rihgt"; did you mean "Right"?'),
    ],
)
def test_wrong_arguments_are_explained_without_internals(project, call, message):
    (project / "test_it.py").write_text(f"def test_it(convcheck):\n    {call}\n")
    status, out, _ = run(project)
    assert status == 1
    assert message in out
    assert "pytest_plugin" not in out
    assert "During handling" not in out


def test_a_config_is_a_test_file_with_one_test_per_layer(project):
    status, out, err = run(project, "-v", "configs/suite.yaml", "--convcheck-target", "my.py:Right")
    assert status == 0, out + err
    assert [line.split(" ")[0] for line in out.splitlines() if "PASSED" in line] == [
        "configs/suite.yaml::one", "configs/suite.yaml::two", "configs/suite.yaml::three",
    ]  # fmt: skip


def test_the_failure_of_a_layer_is_the_compact_report(project):
    status, out, _ = run(project, "configs/suite.yaml", "--convcheck-target", "my.py:Wrong")
    assert status == 1
    assert "2 passed" in out
    assert "1 of 1 layer of configs/suite.yaml failed" in out
    assert "FAIL  two · weight dL/dW · exact · my.py:Wrong" in out
    assert "config     configs/suite.yaml:4" in out
    assert "reproduce  convcheck verify configs/suite.yaml --target my.py:Wrong --layer '{channels: 1, " in out
    assert "Traceback" not in out
    assert "verification.py" not in out
    assert "FAILED configs/suite.yaml::two" in out


@pytest.mark.parametrize(
    ("words", "passed"),
    [(["-k", "one or three"], 2), (["configs/suite.yaml::three"], 1), (["--deselect", "configs/suite.yaml::two"], 2)],
)
def test_layers_can_be_selected(project, words, passed):
    config = [] if "::" in words[0] else ["configs/suite.yaml"]
    status, out, _ = run(project, *config, *words, "--convcheck-target", "my.py:Wrong")
    assert status == 0
    assert f"{passed} passed" in out


def test_stopping_at_the_first_failure(project):
    _, out, _ = run(project, "configs/suite.yaml", "-x", "--convcheck-target", "my.py:Wrong")
    assert "1 failed, 1 passed" in out


def test_the_last_failures_alone(project):
    words = ["configs/suite.yaml", "--convcheck-target", "my.py:Wrong", "--lf"]
    assert "1 failed, 2 passed" in run(project, *words)[1]
    assert "1 failed, 2 deselected" in run(project, *words)[1]


def test_several_processes(project):
    pytest.importorskip("xdist")
    status, out, err = run(project, "configs/suite.yaml", "-p", "xdist", "-n", "2", "--convcheck-target", "my.py:Wrong")
    assert status == 1
    assert "1 failed, 2 passed" in out, out + err
    assert "FAIL  two · weight dL/dW · exact" in out


def test_errors_of_a_config_are_shown_with_their_lines(project):
    (project / "bad.yaml").write_text("layers:\n  - {channels: 2, filters: 3, kernle: 2}\n")
    status, out, _ = run(project, "bad.yaml")
    assert status == 2
    assert 'unknown key; did you mean "kernel"?' in out
    assert "bad.yaml:2:31: " in out
    assert "Traceback" not in out


def test_a_target_that_is_not_there_is_explained(project):
    status, out, _ = run(project, "configs/suite.yaml", "-x", "--convcheck-target", "mine.py:Right")
    assert status == 1
    assert 'target "mine.py:Right": there is no file' in out
    assert "Traceback" not in out


def test_other_files_are_left_alone(project):
    (project / "other.yaml").write_text("services:\n  web: {image: x}\n")
    (project / "test_it.py").write_text("def test_it(): pass\n")
    assert "1 passed" in run(project)[1]
    # As without the plugin: nothing is collected from it, and pytest says so.
    status, out, _ = run(project, "other.yaml")
    assert status in (4, 5)
    assert "other.yaml:" not in out


def test_a_setting_collects_configs_wherever_they_are(project):
    (project / "pytest.ini").write_text("[pytest]\nconvcheck_configs = configs/*.yaml\n")
    (project / "configs" / "suite.yaml").write_text(f"target: ../my.py:Right\n{SUITE}")
    assert "3 passed" in run(project)[1]


def test_a_config_without_a_target_is_an_error(project):
    (project / "pytest.ini").write_text("[pytest]\nconvcheck_configs = configs/*.yaml\n")
    status, out, _ = run(project)
    assert status == 2
    assert "configs/suite.yaml: no code of yours" in out
    assert "--convcheck-target my_conv.py:MyConv" in out
    assert "passed" not in out
    assert "Traceback" not in out


def test_nothing_heavy_is_imported_at_start(project):
    (project / "test_it.py").write_text(
        "import sys\n"
        "def test_it(request):\n"
        "    assert request.config.pluginmanager.has_plugin('convcheck.pytest_plugin')\n"
        "    heavy = {'numpy', 'yaml', 'typer', 'rich', 'matplotlib', 'torch', 'onnx', 'convcheck.verification'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    assert run(project)[0] == 0


EVERY_CHECK = """\
import convcheck
from my import Right, Wrong

class Dirty(Right):
    def backward(self, grad_output):
        grads = super().backward(grad_output)
        return tuple(grad if grad_output.any() else grad + 7 for grad in grads)

@convcheck.check_layer(Right, "configs/suite.yaml")
def test_right(check):
    check()

@convcheck.check_layer(Dirty, "configs/suite.yaml", expected_failures={"zero-grad-output": "left dirty"})
def test_dirty(check):
    check()

@convcheck.check_layer("my.py:Wrong", "configs/suite.yaml", expected_failures={"sparse": "not so"}, shrink=False)
def test_wrong(check):
    check()
"""


def test_one_test_per_check_and_condition(project):
    (project / "test_it.py").write_text(EVERY_CHECK)
    status, out, err = run(project, "-v", "-rxX")
    assert status == 1, err
    outcomes = dict(re.findall(r"test_it.py::(\S+) (\w+)", out))
    names = ("forward", "central", "exact", "double", *CONDITIONS)
    assert {name for name in outcomes if name.startswith("test_right")} == {f"test_right[{name}]" for name in names}
    assert {outcomes[f"test_right[{name}]"] for name in names} <= {"PASSED", "SKIPPED"}
    assert outcomes["test_dirty[zero-grad-output]"] == "XFAIL"
    assert "left dirty" in out
    # Code that is wrong for all of it fails the checks; expected failures that pass are failures.
    assert outcomes["test_wrong[forward]"] == "PASSED"
    assert outcomes["test_wrong[exact]"] == "FAILED"
    assert outcomes["test_wrong[sparse]"] == "FAILED"
    assert "XPASS(strict)" in out
    assert "two · weight dL/dW · exact" in out
    assert "one · " not in out[out.index("= FAILURES =") :]


def test_the_tests_of_checks_can_be_selected(project):
    (project / "test_it.py").write_text(EVERY_CHECK)
    status, out, _ = run(project, "-q", "-k", "right and real")
    assert status == 0
    assert "1 passed" in out


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("convcheck.check_layer(Right, expected_failures={'sprase': 'x'})", 'did you mean "sparse"?'),
        ("convcheck.check_layer('nosuch.py:Right')", "nosuch.py"),
    ],
)
def test_what_check_layer_cannot_do(project, call, said):
    (project / "test_it.py").write_text(
        f"import convcheck\nfrom my import Right\n@{call}\ndef test_it(check):\n    check()\n"
    )
    status, out, _ = run(project, "-q", "-x")
    assert status in (1, 2)
    assert said in out
    assert "verification.py" not in out


def test_the_fixture_hunts(project):
    (project / "test_it.py").write_text(
        "from my import Right\n"
        "class Groups(Right):\n"
        "    def backward(self, grad_output):\n"
        "        grads = super().backward(grad_output)\n"
        "        return (grads[0] * (self.saved[0].groups == 1), *grads[1:])\n"
        "def test_right(convcheck):\n"
        "    assert convcheck.hunt('my.py:Right', 'configs/suite.yaml', cases=20).hunt.cases == 20\n"
        "def test_groups(convcheck):\n"
        "    convcheck.hunt(Groups, seconds=60)\n"
    )
    status, out, _ = run(project, "-q")
    assert status == 1
    assert "1 failed, 1 passed" in out
    assert "{channels: 2, filters: 2, kernel: 1, groups: 2, input: [1], batch: 1}" in out
    assert "verification.py" not in out
