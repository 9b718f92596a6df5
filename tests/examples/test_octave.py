"""The program of `docs/protocol.md` that is started for every pass, in Octave: right, and with a mistake in it."""

import re
import shutil

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.layer.data import integer_operands
from convcheck.targets import resolve
from convcheck.targets.programs.protocol import RefusedError
from tests.parts import right_arrays
from tests.shell import ROOT

pytestmark = pytest.mark.skipif(shutil.which("octave-cli") is None, reason="needs Octave")

MAPPING = {"command": ["octave-cli", "my_conv.m"], "files": "raw"}

LAYER = Layer(2, 3, (2, 3), stride=(2, 1), dilation=(1, 2), padding=((1, 0), (0, 2)), input=(5, 6), batch=2)
SMALL = Layer(1, 2, (1, 2), input=(2, 3), batch=1, bias=False)

#: The kernel the wrong way round in grad_input.
RIGHT, WRONG = "part = reshape(g * tap'", "tap = reshape(weight(end - j + 1, end - i + 1, :, :), c, f);\n{}"


@pytest.fixture
def program(tmp_path):
    """Writes the program, and returns the mapping."""
    page = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^<!-- file: my_conv\.m -->\n```octave\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)

    def of(old="", new=""):
        assert old in text
        (tmp_path / "my_conv.m").write_text(text.replace(old, new) if old else text, encoding="utf-8")
        return MAPPING

    return of


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_both_passes_are_right(dtype, program, tmp_path):
    layer = LAYER.alike(dtype=dtype)
    given = integer_operands(layer)
    run = resolve(program(), tmp_path).run(layer, given)
    expected = right_arrays(given, layer)
    for found, right in zip((run.output, *run.backward()), expected.values(), strict=True):
        np.testing.assert_array_equal(found, right, strict=True)


def test_what_it_does_not_take_it_says(program, tmp_path):
    layer = Layer(2, 2, 2, input=(3,), groups=2)
    with pytest.raises(RefusedError, match="two axes"):
        resolve(program(), tmp_path).run(layer, integer_operands(layer))


def test_a_wrong_gradient_is_wrong(program, tmp_path):
    given = integer_operands(SMALL)
    run = resolve(program(RIGHT, WRONG.format(RIGHT)), tmp_path).run(SMALL, given)
    grad_input, grad_weight, _ = run.backward()
    right = right_arrays(given, SMALL)
    assert not np.array_equal(grad_input, right["input"])
    np.testing.assert_array_equal(grad_weight, right["weight"])


@pytest.mark.long
@pytest.mark.parametrize("wrong", [False, True])
def test_the_check_passes_it_or_names_the_mistake(wrong, program, tmp_path, monkeypatch):
    mapping = program(RIGHT, WRONG.format(RIGHT)) if wrong else program()
    monkeypatch.chdir(tmp_path)
    report = verify(SMALL, target=mapping, checks=["forward", "exact"], shrink=False)
    assert report.passed is not wrong
    assert ("kernel-not-flipped" in str(report)) is wrong
