"""What a report, ``explain`` and ``visualize`` say of one entry: the same numbers, those on which verify checks."""

from __future__ import annotations

import re
import shlex
from xml.etree import ElementTree

import pytest

from tests.shell import convcheck

TARGETS = """
import numpy as np
import convcheck

class Right:
    def forward(self, x, weight, bias, layer):
        self.saved = layer, x, weight
        return convcheck.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        print("noise")
        return convcheck.backward(*self.saved, grad_output)

class Wrong(Right):
    def backward(self, grad_output):
        grads = super().backward(grad_output)
        rolled = [None if grad is None else np.roll(grad, 1) for grad in grads]
        return tuple(rolled)

class OnRealNumbers(Right):
    def backward(self, grad_output):
        grads = super().backward(grad_output)
        whole = (grad_output == np.rint(grad_output)).all()
        return grads if whole else (grads.input, grads.weight * 1.001, grads.bias)

class WrongForward(Right):
    def forward(self, x, weight, bias, layer):
        return super().forward(x, 2 * weight, bias, layer)

class Stale(Right):
    total = 0

    def backward(self, grad_output):
        grads = super().backward(grad_output)
        self.total = self.total + grads.weight
        return grads.input, self.total, grads.bias

class Raises(Right):
    def backward(self, grad_output):
        raise RuntimeError("not today")
"""

LAYERS = """
target: wrong.py:Wrong
layers:
  - {name: plain, channels: 2, filters: 3, kernel: [2, 3], input: [4, 5], seed: 7}
  - {name: odd name, channels: 4, filters: 2, kernel: 3, stride: 2, padding: [[1, 0]], groups: 2, input: 9}
  - {name: single, channels: 1, filters: 2, kernel: 2, input: [4, 3], dtype: float32, bias: false, batch: 1}
"""

SMALLEST = re.compile(r"\] is (\S+), should be (\S+): ")
WORST = re.compile(r"worst +\[.*?\]: .* gives (\S+), .* (\S+)$", re.MULTILINE)
EXPLAINED = re.compile(r"(?:dL/d\S+\):|The forward pass gives) (\S+), .* gives (\S+), a difference")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "wrong.py").write_text(TARGETS)
    (tmp_path / "layers.yaml").write_text(LAYERS)
    return tmp_path


def failures(folder, *words):
    """Of every wrong gradient of a run, what the commands show and the commands, as the report has them.

    They show a wrong entry of its smallest case, or where there is none its worst entry: what is given, and the right.
    """
    convcheck(("verify", *words, "--output", "report.xml"), folder)
    found = {}
    for case in ElementTree.parse(folder / "report.xml").iter("testcase"):
        for failure in case.iter("failure"):
            for block in failure.text.split("\n\n"):
                commands = {
                    words[1]: words for words in map(shlex.split, re.findall("convcheck .*", block)) if len(words) > 1
                }
                given, right = (SMALLEST.search(block) or WORST.search(block)).groups()
                found[case.get("classname"), case.get("name")] = float(given), float(right), commands
    return found


def explained(folder, command):
    status, out, err = convcheck(command[1:], folder)
    assert status == 0, err
    assert "noise" not in out
    [(right, given)] = EXPLAINED.findall(" ".join(out.split()))
    return float(given), float(right)


@pytest.mark.parametrize(
    "words",
    [("layers.yaml",), ("layers.yaml", "--seed", "3"), ("textbook", "-k", "T3-crop", "--target", "wrong.py:Wrong")],
)
@pytest.mark.parametrize("shrunk", [(), ("--no-shrink",)])
def test_explain_has_the_numbers_of_the_report(folder, words, shrunk):
    found = failures(folder, *words, *shrunk)
    gradients = {name for _, name in found}
    assert gradients == {"input dL/dX", "weight dL/dW", "bias dL/db"}
    for given, right, commands in found.values():
        assert explained(folder, commands["explain"]) == (given, right)


def test_so_it_has_on_real_numbers(folder):
    words = ("layers.yaml", "--target", "wrong.py:OnRealNumbers", "-k", "plain or single")
    for given, right, commands in failures(folder, *words).values():
        assert explained(folder, commands["explain"]) == pytest.approx((given, right), rel=1e-2)
    found = failures(folder, *words, "--no-shrink")
    assert {name for _, name in found} == {"weight dL/dW"}
    for given, right, commands in found.values():
        assert commands["explain"][-4:-2] == ["--data", "real"]
        assert explained(folder, commands["explain"]) == pytest.approx((given, right), rel=1e-2)


def test_so_it_has_of_an_output(folder):
    found = failures(folder, "layers.yaml", "--target", "wrong.py:WrongForward", "-k", "plain", "--check", "forward")
    [(given, right, commands)] = found.values()
    assert explained(folder, commands["explain"]) == (given, right)


def test_and_where_the_target_takes_no_bias(folder):
    mapping = "{call: wrong.py:Wrong, unsupported: [bias]}"
    found = failures(folder, "layers.yaml", "--target", mapping, "-k", "plain")
    assert {name for _, name in found} == {"input dL/dX", "weight dL/dW"}
    for given, right, commands in found.values():
        assert explained(folder, commands["explain"]) == (given, right)


def test_a_second_call_is_nothing_that_one_pass_shows(folder):
    found = failures(folder, "layers.yaml", "--target", "wrong.py:Stale", "-k", "plain")
    assert [list(commands) for _, _, commands in found.values()] == [["verify"]]


def test_the_numbers_are_small_and_of_no_code_where_that_is_asked_for(folder):
    found = failures(folder, "layers.yaml", "-k", "plain")
    [(given, _, commands)] = [value for (_, name), value in found.items() if name == "input dL/dX"]
    status, out, _ = convcheck([*commands["explain"][1:], "--data", "example"], folder)
    assert status == 0
    assert f"gives {given:g}, a difference" not in out
    assert "wrong.py" not in out


@pytest.mark.parametrize("words", [(), ("--target", "wrong.py:OnRealNumbers")])
def test_the_picture_of_the_report_shows_its_worst_entry(folder, words):
    for (_, gradient), (given, right, commands) in failures(folder, "layers.yaml", *words).items():
        status, out, err = convcheck([*commands["visualize"][1:], "--terminal"], folder)
        assert status == 0, err
        assert "noise" not in out
        symbol = gradient.split()[1]
        shown = f"the worst entry {symbol}[" + r"[\d,]+" + f"], given {given:g}, expected {right:g}"
        assert re.search(shown.replace("[[", r"\[["), " ".join(out.replace("−", "-").split())), gradient


def test_it_is_drawn_too(folder):
    (_, _, commands), *_ = failures(folder, "layers.yaml", "-k", "single").values()
    status, out, err = convcheck([*commands["visualize"][1:], "--format", "svg"], folder)
    assert status == 0, err
    assert "error-input" in out.splitlines()[0]


@pytest.mark.parametrize("command", [("explain", "--entry", "input[0,0,0,0]"), ("visualize", "--terminal")])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data", "nosuch"), '--data "nosuch" is unknown; expected one of integers, real, example'),
        (("--data", "example", "--target", "wrong.py:Wrong"), "leave out it or --target"),
        (("--data", "example", "--device", "cpu"), "--device is for a target"),
        (("--target", "wrong.py:Raises"), "RuntimeError: not today"),
    ],
)
def test_what_cannot_be_shown(folder, command, words, said):
    name, *options = command
    status, out, err = convcheck((name, "layers.yaml", "--layer", "plain", *options, *words), folder)
    assert status == 2
    assert said in err
    assert out == ""


def test_an_option_about_numbers_needs_an_entry(folder):
    status, _, err = convcheck(("explain", "layers.yaml", "--layer", "plain", "--data", "real"), folder)
    assert status == 2
    assert "--entry" in err


def test_a_layer_that_the_target_does_not_take(folder):
    words = ("layers.yaml", "--layer", "odd name", "--target", "{call: wrong.py:Wrong, unsupported: [groups]}")
    status, _, err = convcheck(("explain", *words, "--entry", "input[0,0,0]"), folder)
    assert status == 2
    assert "does not take it: the target does not take groups" in err
    status, out, err = convcheck(("visualize", *words, "--terminal"), folder)
    assert status == 0
    assert "does not take it: the target does not take groups" in err
    assert "dL/dX" in out
