"""``convcheck hunt``: what it takes, prints and exits with; and a layer on the command line."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from tests.cli.test_verify_command import WRONG, run
from tests.parts import HUNTED

__all__ = ["run"]


@pytest.fixture(autouse=True)
def code(tmp_path):
    (tmp_path / "code.py").write_text(HUNTED)
    (tmp_path / "wrong.py").write_text(WRONG)


def test_nothing_is_found_in_right_code(run):
    status, out, err = run("hunt", "code.py:Right", "--cases", "30", "--seconds", "600")
    assert status == 0
    assert "PASSED  30 cases in" in out
    assert "seed 0" in out
    assert "noise" not in out
    assert "noise" in err


def test_what_is_found_is_reported_with_commands_that_show_it_again(run):
    status, out, _ = run("hunt", "code.py:Groups", "--cases", "2000", "--seed", "7", "--seconds", "600")
    assert status == 1
    assert "{channels: 3, filters: 3, kernel: 1, groups: 3, input: [1], batch: 1}" in " ".join(out.split())
    commands = {line.split()[0]: shlex.split(line)[2:] for line in out.splitlines() if " convcheck " in line}
    assert {"reproduce", "explain", "picture"} <= commands.keys()
    status, again, _ = run(*commands["reproduce"], "--output-format", "json")
    assert status == 1
    assert json.loads(again)["layers"][0]["spec"]["groups"] == 3
    status, again, _ = run(*commands["explain"])
    assert status == 0
    assert "The backward pass of code.py:Groups gives 0" in " ".join(again.split())
    status, again, _ = run(*commands["picture"], "--terminal")
    assert status == 0
    assert "is wrong" in again


def test_a_found_order_of_axes_is_in_the_commands(run, tmp_path):
    channels_last = """
import numpy as np

class Last:
    def forward(self, x, weight, bias, layer):
        self.right = Right()
        return np.moveaxis(self.right.forward(np.moveaxis(x, -1, 1), weight, bias, layer), 1, -1)

    def backward(self, grad_output):
        grads = self.right.backward(np.moveaxis(grad_output, -1, 1))
        return -np.moveaxis(grads[0], 1, -1), *grads[1:]
"""
    (tmp_path / "last.py").write_text(HUNTED + channels_last)
    status, out, _ = run("hunt", "last.py:Last", "--cases", "5", "--no-shrink")
    assert status == 1
    command = next(line for line in out.splitlines() if "reproduce" in line)
    status, again, _ = run(*shlex.split(command)[2:])
    assert status == 1
    assert "sign-flipped" in again


def test_the_report_as_json_and_as_a_file(run, tmp_path):
    words = ("hunt", "code.py:Right", "--cases", "5", "--output-format", "json", "--output", "report.md")
    status, out, _ = run(*words)
    assert status == 0
    assert json.loads(out)["hunt"]["cases"] == 5
    assert "5 cases" in (tmp_path / "report.md").read_text()


def test_a_seed_is_drawn_and_said(run):
    seeds = set()
    for _ in range(2):
        _, out, _ = run("hunt", "code.py:Right", "--cases", "2", "--seed", "random")
        seeds.add(re.search(r"from seed (\d+)", out)[1])
    assert len(seeds) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("code.py:Right", "--seed", "-1"), "--seed"),
        (("code.py:Right", "--seed", "some"), "an integer of at least 0, or random"),
        (("code.py:Right", "--seconds", "0"), "--seconds 0"),
        (("code.py:Right", "--cases", "0"), "--cases 0"),
        (("code.py:Right", "nosuch"), 'unknown suite "nosuch"'),
        (("code.py:Nosuch",), "Nosuch"),
        (("code.py:Right", "--output-format", "nosuch"), "nosuch"),
        ((), "Missing argument"),
    ],
)
def test_what_cannot_be(run, words, said):
    status, out, err = run("hunt", *words)
    assert status == 2
    assert said in err
    assert out == ""


ENDED = """
import os, signal

class Ended(Right):
    calls = 0

    def backward(self, grad_output):
        Ended.calls += 1
        if Ended.calls == 150:
            os.kill(os.getpid(), signal.{signal})
        return super().backward(grad_output)
"""


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_a_hunt_that_is_ended_says_what_it_has_tried(signal, tmp_path):
    (tmp_path / "code.py").write_text(HUNTED + ENDED.format(signal=signal))
    command = [sys.executable, "-m", "convcheck", "hunt", "code.py:Ended", "--in-process", "--output-format", "json"]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert ran.returncode == 130, ran.stderr
    assert "Traceback" not in ran.stderr
    report = json.loads(ran.stdout)
    assert report["unchecked"] == ["the rest of the hunt"]
    assert not report["passed"]
    assert report["hunt"]["cases"] > 10
    assert report["hunt"]["mistakes"] == 0


def test_without_hypothesis_it_says_how_to_get_it(tmp_path):
    program = (
        "import sys; sys.modules['hypothesis'] = None; sys.argv = ['convcheck', 'hunt', 'code.py:Right'];"
        "from convcheck.__main__ import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert ran.returncode == 2
    assert "pip install hypothesis" in ran.stderr
    assert "Traceback" not in ran.stderr


class TestLayer:
    """The option ``--layer`` of verify, explain and visualize."""

    LAYER = "{channels: 2, filters: 3, kernel: [1, 2], stride: 2}"

    def test_is_verified_alone(self, run):
        status, out, _ = run("verify", "--layer", self.LAYER, "--target", "code.py:Right", "--output-format", "json")
        [layer] = json.loads(out)["layers"]
        assert status == 0
        assert (layer["spec"]["channels"], layer["spec"]["kernel"], layer["spec"]["stride"]) == (2, [1, 2], [2, 2])
        assert layer["config"] is None

    def test_has_the_target_and_the_gate_of_a_config(self, run, tmp_path):
        config = "target: wrong.py:Wrong\ngate: {max_error: 3}\nlayers: [{channels: 1, filters: 1, kernel: 1}]\n"
        (tmp_path / "own.yaml").write_text(config)
        status, out, _ = run("verify", "own.yaml", "--layer", self.LAYER, "--output-format", "json")
        report = json.loads(out)
        assert status == 0
        assert report["target"] == "wrong.py:Wrong"
        assert [layer["spec"]["channels"] for layer in report["layers"]] == [2]

    @pytest.mark.parametrize("command", [("explain", "--entry", "weight[0,1,0,0]"), ("visualize", "--terminal")])
    def test_is_explained_and_drawn(self, run, command):
        status, out, err = run(*command, "--layer", self.LAYER)
        assert status == 0, err
        assert "layer1" in out or "dL/dW" in out

    @pytest.mark.parametrize("command", ["verify", "explain", "visualize"])
    @pytest.mark.parametrize(
        ("layer", "said"),
        [
            ("{channels: 2, filters: 3, kernel: 0}", "--layer:1:35: kernel: 0 is not allowed"),
            ("{channels: 2, filter: 3, kernel: 2}", '--layer:1:15: filter: unknown key; did you mean "filters"?'),
            ("{channels: 2, filters: 3}", 'missing key "kernel"'),
            ("{channels: [}", "--layer:1:13: syntax error"),
        ],
    )
    def test_is_read_as_in_a_config(self, run, command, layer, said):
        status, out, err = run(command, "--layer", layer)
        assert status == 2
        assert said in err
        assert out == ""

    def test_is_one(self, run):
        status, _, err = run("visualize", "--layer", self.LAYER, "--layer", "other")
        assert status == 2
        assert "--layer" in err
        status, _, err = run("verify", "textbook", "resnet50", "--layer", self.LAYER)
        assert status == 2
        assert "textbook, resnet50" in err


class TestNumbers:
    """The numbers of a layer in the option ``--data``."""

    LAYER = "{channels: 1, filters: 1, kernel: [1, 2], input: [1, 3], batch: 1}"

    def test_of_every_form(self, run):
        data = "{x: [1, 2, 3], weight: {1: 5}, bias: 0, grad_output: 7}"
        status, out, _ = run("explain", "--layer", self.LAYER, "--entry", "output[0,0,0,1]", "--data", data)
        assert status == 0
        assert "5·3" in out.replace("3·5", "5·3")
        assert "15" in out

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            ("{x: [1, 2], weight: 1, bias: 0, grad_output: 1}", "--data:1:5: x: 2 numbers; expected 3"),
            ("{x: {3: 1}, weight: 1, bias: 0, grad_output: 1}", "x.3: no such entry; expected a place from 0 to 2"),
            ("{x: 1, weight: one, bias: 0, grad_output: 1}", "--data:1:16: weight: "),
            ("{x: 1, weight: .nan, bias: 0, grad_output: 1}", "--data:1:16: weight: "),
            ("{x: 1, weights: 1, bias: 0, grad_output: 1}", 'unknown key; did you mean "weight"?'),
            ("{x: 1, weight: 1, bias: 0}", 'missing key "grad_output"'),
            ("{x: 1, weight: 1, bias: 0, grad_output: 1", "syntax error"),
        ],
    )
    def test_wrong_ones(self, run, data, said):
        status, out, err = run("explain", "--layer", self.LAYER, "--entry", "output[0,0,0,1]", "--data", data)
        assert status == 2
        assert said in err
        assert out == ""
