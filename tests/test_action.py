"""The reusable GitHub Action: its shell steps, run as the runner runs them."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.shell import ROOT, shell

ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))

CONFIG = "layers:\n  - {name: one, channels: 2, filters: 3, kernel: 2}\n"

TARGET = "target: mine.py:Right\n"

WRONG = """\
import convcheck

class Wrong:
    def forward(self, x, weight, bias, layer):
        self.saved = layer, x, weight
        return convcheck.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        grad_input, grad_weight, grad_bias = convcheck.backward(*self.saved, grad_output)
        return grad_input, -grad_weight, grad_bias
"""


def step(name):
    return next(step for step in ACTION["runs"]["steps"] if step.get("name") == name)


@pytest.fixture
def act(tmp_path):
    """Run the step that checks, with inputs; gives status, output, the step's outputs and the summary."""
    folder, runner = tmp_path / "repository", tmp_path / "runner"
    folder.mkdir()
    runner.mkdir()
    (folder / "convcheck.yaml").write_text(TARGET + CONFIG)
    (folder / "bare.yaml").write_text(CONFIG)
    (folder / "mine.py").write_text(WRONG.replace("Wrong", "Right").replace("-grad_weight", "grad_weight"))
    (folder / "wrong.py").write_text(WRONG)

    def act(**inputs):
        given = {name: str(field.get("default", "")) for name, field in ACTION["inputs"].items()} | inputs
        assert given.keys() == ACTION["inputs"].keys()
        check = step("Check the backward pass")
        variables = {
            name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: given[match[1]], value)
            for name, value in check["env"].items()
        }
        files = {"GITHUB_OUTPUT": runner / "output", "GITHUB_STEP_SUMMARY": runner / "summary", "RUNNER_TEMP": runner}
        variables |= {name: str(path) for name, path in files.items()}
        status, out, err = shell(check["run"], folder, tmp_path / "bin", **variables)
        outputs = dict(line.split("=", 1) for line in (runner / "output").read_text().splitlines())
        summary = runner / "summary"
        return status, out + err, outputs, summary.read_text(encoding="utf-8") if summary.exists() else ""

    return act


def test_every_input_is_explained_and_optional():
    for name, field in ACTION["inputs"].items():
        assert field["description"], name
        assert "default" in field, name


def test_no_script_has_an_expression_in_it():
    """Text that is put into a script can break out of it; variables cannot."""
    for each in ACTION["runs"]["steps"]:
        assert "${{" not in each.get("run", "")


def test_green(act):
    status, text, outputs, summary = act()
    assert status == 0, text
    assert "convcheck: PASSED 1 layer of convcheck.yaml" in text
    assert json.loads(Path(outputs["report"]).read_text())["passed"] is True
    assert "convcheck PASSED" in summary


def test_red(act):
    status, text, outputs, summary = act(target="wrong.py:Wrong", args="--check exact -x")
    assert status == 1
    assert "::error file=convcheck.yaml,line=3,title=convcheck%3A one%2C weight dL/dW::" in text
    assert json.loads(Path(outputs["report"]).read_text())["passed"] is False
    assert "convcheck FAILED" in summary


def test_a_baseline(act):
    _, _, outputs, _ = act(target="wrong.py:Wrong")
    baseline = Path(outputs["report"]).with_name("baseline.json")
    Path(outputs["report"]).rename(baseline)
    status, text, _, _ = act(target="wrong.py:Wrong", baseline=str(baseline))
    assert status == 0
    assert "0 worse, 0 better, 2 as before" in text


def test_several_configs(act):
    status, text, _, _ = act(config="convcheck.yaml textbook", target="mine.py:Right", args="-k one")
    assert status == 0, text


@pytest.mark.parametrize(("config", "named"), [("textbook", "textbook"), ("convcheck.yaml bare.yaml", "bare.yaml")])
def test_red_where_no_code_is_checked(act, config, named):
    status, text, _, _ = act(config=config)
    assert status == 2
    assert f"error: {named}: no code of yours" in text
    assert act(config=config, target="mine.py:Right")[0] == 0


def test_a_hostile_input_is_no_command(act, tmp_path):
    status, text, _, _ = act(target="$(touch owned); touch owned")
    assert status == 2
    assert "is not allowed; expected module:name" in text
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.parametrize(("extras", "installed"), [("", "/action"), ("torch", "/action[torch]")])
def test_what_is_installed(tmp_path, extras, installed):
    install = step("Install convcheck")["run"].replace("python -m pip", "echo")
    status, out, _ = shell(install, tmp_path, tmp_path / "bin", ACTION_PATH="/action", EXTRAS=extras)
    assert (status, out) == (0, f"install {installed}\n")
