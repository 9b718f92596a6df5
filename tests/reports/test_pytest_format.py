"""The report as a file of tests: they fail on the code that failed, and pass once it is mended."""

from dataclasses import replace
from math import nan

import pytest

from convcheck import Layer, UsageError, verify
from convcheck.reports.formats import render
from convcheck.reports.results import Smallest
from tests.reports import CONV, failed_report
from tests.targets_for_tests import Right, Unflipped

CODE = """\
import numpy as np
import convcheck

class Conv:
    def forward(self, x, weight, bias, layer):
        self.saved = layer, x, weight
        return convcheck.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        layer, x, weight = self.saved
        right = convcheck.backward(layer, x, weight, grad_output)
        flipped = np.flip(weight, tuple(range(2, weight.ndim)))
        if layer.stride[0] > 1 and WRONG:
            raise KeyError("stride")
        grad_input = convcheck.backward(layer, x, flipped, grad_output)[0] if WRONG else right[0]
        return grad_input, right[1], right[2]

WRONG = True
"""

CONFIG = """\
version: 1
gate: {max_error: 1.0e-9}
target: {call: my_conv.py:Conv, layout: NCHW}
layers:
  - {name: one, channels: 2, filters: 3, kernel: [2, 3]}
  - {name: the second, channels: 3, filters: 2, kernel: 3, seed: 4, dtype: float32}
  - {name: third, channels: 3, filters: 2, kernel: 3, stride: 2}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_conv.py").write_text(CODE)
    (tmp_path / "suite.yaml").write_text(CONFIG)
    return tmp_path


def functions_of(text):
    """The functions of a file of tests, by name."""
    names = {}
    exec(compile(text, "test_smallest.py", "exec"), names)
    return {name: function for name, function in names.items() if name.startswith("test_")}


@pytest.mark.parametrize("options", [{}, {"target": "my_conv.py:Conv", "max_error": 1e-9, "timeout": 60}])
def test_they_fail_until_the_code_is_mended(folder, options):
    text = render(verify("suite.yaml", **options), "pytest")
    tests = functions_of(text)
    assert sorted(tests) == ["test_kernel_not_flipped_input", "test_third_input"]
    assert "one, the second" in text
    for test in tests.values():
        with pytest.raises(AssertionError, match="FAILED"):
            test()
    (folder / "my_conv.py").write_text(CODE.replace("WRONG = True", "WRONG = False"))
    for test in tests.values():
        test()


def test_without_smallest_cases_the_layers_themselves_are_tested(folder):
    text = render(verify("suite.yaml", shrink=False), "pytest")
    tests = functions_of(text)
    assert sorted(tests) == ["test_one", "test_the_second", "test_third"]
    with pytest.raises(AssertionError, match="FAILED"):
        tests["test_one"]()


def test_names_are_not_used_twice(folder):
    (folder / "suite.yaml").write_text(CONFIG.replace("the second", "one!"))
    text = render(verify("suite.yaml", shrink=False), "pytest")
    assert sorted(functions_of(text)) == ["test_one", "test_one_2", "test_third"]


def test_where_all_passed_there_is_none():
    text = render(verify(Layer(2, 3, 2), target=Right), "pytest")
    assert functions_of(text) == {}
    assert "nothing to test" in text


def test_code_that_no_file_can_name_is_an_error():
    with pytest.raises(UsageError, match="module:name"):
        render(verify(Layer(2, 3, 2), target=Unflipped, shrink=False), "pytest")


def test_no_text_gets_out_of_its_comment():
    report = failed_report()
    case = Smallest(CONV.spec(), "input", (), nan, nan, {}, None, 1, what="it said\nimport os")
    text = render(replace(report, layers=(replace(report.layers[0], smallest=case),)), "pytest")
    assert "# it said\\nimport os\n" in text
    assert "\nimport os" not in text
