"""The interactive page without a browser: what it holds, how large it is, and what it says of what it leaves out."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

from convcheck import Layer, UsageError, backward, load
from convcheck.explain import page as page_package
from convcheck.explain.page.case import case_of, limit_of
from convcheck.explain.page.html import program
from convcheck.explain.page.packing import Kept, packed, packed_marks
from convcheck.explain.page.wrong import terms_of
from convcheck.layer.data import integer_operands
from convcheck.mistakes import mistake
from convcheck.mistakes.mistake import Scene
from tests.browser import page, shown
from tests.parts import target
from tests.shell import convcheck
from tests.targets_for_tests import Right

EXAMPLE = next(layer for layer in load("textbook").layers if layer.name == "T3-stride-2")
CONV1 = next(layer for layer in load("resnet50").layers if layer.name == "conv1")


class Unflipped(Right):
    def backward(self, grad_output):
        right = backward(self.layer, self.x, self.weight, grad_output)
        turned = backward(self.layer, self.x, np.flip(self.weight, (2, 3)), grad_output)
        return turned.input, right.weight, right.bias


WIDTHS = {"int16": "<i2", "int32": "<i4", "float64": "<f8"}


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def unpacked(told):
    """What the page's own reader does, written once more."""
    if told["as"] == "characters":
        flat = [ord(each) - 79 for each in told["text"]]
    elif told["as"] == "bits":
        raw = np.frombuffer(base64.b64decode(told["text"]), np.uint8)
        flat = np.unpackbits(raw, bitorder="little")[: int(np.prod(told["shape"]))]
    else:
        flat = np.frombuffer(base64.b64decode(told["text"]), WIDTHS[told["as"]])
    return np.reshape(np.asarray(flat, np.float64), told["shape"])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(-44, 45), "characters"),
        (np.array([[45, -3], [2, 1]]), "int16"),
        (np.array([70_000, -1]), "int32"),
        (np.array([0.1, np.nan, np.inf, -2.5e-300]), "float64"),
        (np.array([3e9]), "float64"),
        (np.zeros((0, 3)), "characters"),
    ],
)
def test_arrays_come_back_as_they_were(values, kind):
    told = json.loads(json.dumps(packed(values)))
    assert told["as"] == kind
    assert np.array_equal(unpacked(told), values, equal_nan=True)


def test_marks_come_back_as_they_were():
    marks = np.random.default_rng(0).random((3, 5, 7)) < 0.3
    assert np.array_equal(unpacked(packed_marks(marks)), marks)


def test_the_page_is_one_file_that_asks_for_nothing():
    html = page(shown(EXAMPLE))
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", html)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import\()\b", program())
    assert "https://" not in program()
    data = data_of(html)
    assert len(data["cases"]) == 1
    assert len(html.encode()) - len(json.dumps(data)) < 150_000


def test_without_javascript_the_worked_entry_is_there():
    html = page(shown(EXAMPLE))
    still = re.search(r'<figure id="still">.*?</figure>', html, re.DOTALL)[0]
    assert "dL/dX[0,0,2,2] = 5·5 + (−1)·1 + 4·(−1) + (−4)·(−4) = 36" in still
    assert "dL/dX[0,0,2,2] = dL/dO[0,0,0,0]·W[0,0,2,2]" in still
    assert still.count("<rect") == 4 + 9 + 25


@pytest.mark.parametrize("layer", load("textbook").layers, ids=lambda layer: layer.name)
def test_a_layer_is_there_whole(layer):
    one = shown(layer)
    told = case_of(one, limit_of(1), 0.4)
    for name in ("x", "weight", "grad_output"):
        assert np.array_equal(unpacked(told["arrays"][name]), getattr(one.operands, name)), name
    assert told["totals"] == {}
    assert told["left_out"] == []
    assert told["mistakes"]


def test_what_does_not_fit_is_left_out_and_said():
    html = page(shown(CONV1, data="integers", channel=1))
    assert len(html.encode()) <= 1 << 20
    (told,) = data_of(html)["cases"]
    assert told["kept"] == {"samples": [0, 1], "channels": [1, 1], "filters": [0, 64]}
    assert any("--channel N" in text for text in told["left_out"])
    assert any("--page-limit 5" in text for text in told["left_out"])
    html = page(shown(CONV1, data="integers"), megabytes=5)
    (told,) = data_of(html)["cases"]
    assert told["kept"]["channels"] == [0, 3]


def test_where_filters_are_missing_the_whole_sum_is_given():
    layer = Layer(2, 32, 3, input=[200, 200], batch=2)
    one = shown(layer, data="integers", filter=30, sample=1)
    told = case_of(one, limit_of(1), 0.4)
    first, count = told["kept"]["filters"]
    assert first <= 30 < first + count < 33
    assert told["kept"]["samples"] == [1, 1]
    at = one.operands
    right = backward(layer, at.x, at.weight, at.grad_output)
    assert np.array_equal(unpacked(told["totals"]["input"]), right.input[1:, :1])
    assert np.array_equal(unpacked(told["totals"]["bias"]), right.bias[first : first + count])
    assert [text for text in told["left_out"] if "--filter N" in text]
    assert [text for text in told["left_out"] if "--sample N" in text]


@pytest.mark.parametrize("transposed", [False, True])
def test_the_slices_of_w_between_the_channels_and_filters_that_are_kept(transposed):
    layer = Layer(4, 6, 2, groups=2, input=[3, 3], transposed=transposed)
    weight = np.arange(np.prod(layer.weight_shape)).reshape(layer.weight_shape)
    cut = Kept(range(2), range(3, 4), range(4, 6)).weight(layer, weight)
    told = cut.swapaxes(0, 1) if transposed else cut
    assert told.shape[:2] == (2, 1)
    for i, f in enumerate((4, 5)):
        assert np.array_equal(told[i, 0], weight[layer.slice_between(3, f)])


def test_what_can_never_fit_is_refused():
    with pytest.raises(UsageError, match=r"too\.large.*more than it may.*smaller input"):
        page(shown(Layer(1, 1, 1, input=[2600, 2600], batch=1, bias=False, name="too.large"), data="integers"))


@pytest.mark.parametrize("megabytes", [0, 6])
def test_the_limit_has_limits(megabytes):
    with pytest.raises(UsageError, match="from 1 to 5"):
        limit_of(megabytes)


def test_what_code_got_wrong_is_there():
    told = case_of(shown(EXAMPLE, target(Unflipped)), limit_of(1), 0.4)
    found = told["errors"]["arrays"]["input"]
    assert found["diagnosis"][0]["name"] == "kernel-not-flipped"
    assert found["count"] == int(unpacked(found["wrong"]).sum()) == sum(map(sum, found["counts"]))
    assert told["errors"]["arrays"]["weight"]["count"] == 0
    right = case_of(shown(EXAMPLE, target(Right)), limit_of(1), 0.4)
    assert {one["count"] for one in right["errors"]["arrays"].values()} == {0}


@pytest.mark.parametrize("name", ["kernel-not-flipped", "overlap-overwritten", "stride-ignored", "axes-swapped"])
def test_the_terms_of_a_mistake_make_its_result(name):
    layer = Layer(2, 2, [2, 3], stride=[1, 2], input=[4, 6], batch=1)
    scene = Scene(layer, integer_operands(layer))
    kept = whole(layer)
    found = 0
    for wrong in mistake(name).wrong(scene, "input"):
        if wrong.array.shape != scene.answer("input").shape:
            continue
        terms = terms_of(mistake(name), wrong.variant, scene, "input", wrong.array, kept, 100)
        for entry, told in (terms or {}).items():
            total = sum(scene.grad_output.flat[k] * factor for k, factor in zip(told[::2], told[1::2], strict=True))
            assert total == wrong.array.flat[int(entry)]
            found += 1
    assert found


def whole(layer):
    return Kept(range(layer.batch), range(layer.channels), range(layer.filters))


def test_visualize_writes_a_page(tmp_path):
    status, out, err = convcheck(["visualize", "textbook", "--layer", "T1-groups", "--format", "html"], tmp_path)
    assert (status, err) == (0, "")
    html = (tmp_path / out.strip()).read_text(encoding="utf-8")
    (told,) = data_of(html)["cases"]
    assert told["command"] == "convcheck explain textbook --layer T1-groups --seed 0"
    status, _, err = convcheck(["visualize", "--format", "html", "--page-limit", "9"], tmp_path)
    assert status == 2
    assert "--page-limit 9 is not allowed; expected megabytes from 1 to 5" in err
    status, _, err = convcheck(["visualize", "--format", "html", "--kind", "wires"], tmp_path)
    assert status == 2
    assert "--kind is for pictures" in err


def test_an_entry_that_is_asked_for_is_the_one_that_is_shown(tmp_path):
    words = ["visualize", "--format", "html", "--entry", "weight[0,0,1,2]"]
    status, out, err = convcheck(words, tmp_path)
    assert status == 0, err
    (told,) = data_of((tmp_path / out.strip()).read_text(encoding="utf-8"))["cases"]
    assert told["entry"] == ["weight", [0, 0, 1, 2]]


def test_every_script_is_in_the_page():
    scripts = sorted((Path(page_package.__path__[0]) / "script").rglob("*.js"))
    assert len(scripts) > 15
    for path in scripts:
        told = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        assert "\n".join(line for line in told if line and not line.startswith("//")) in program(), path


CODE = """
import convcheck, numpy

class Unflipped:
    def forward(self, x, weight, bias, layer):
        self.of = layer, x, weight
        return convcheck.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        layer, x, weight = self.of
        right = convcheck.backward(layer, x, weight, grad_output)
        turned = convcheck.backward(layer, x, weight[..., ::-1, ::-1], grad_output)
        return turned.input, right.weight, right.bias
"""

SUITE = "layers:\n  - {name: it, channels: 1, filters: 2, kernel: 3, stride: 2, input: [6, 5], batch: 1}\n"


def test_a_report_has_the_page_of_what_failed(tmp_path):
    (tmp_path / "wrong.py").write_text(CODE)
    (tmp_path / "s.yaml").write_text(SUITE)
    status, _, _ = convcheck(["verify", "s.yaml", "--target", "wrong.py:Unflipped", "--output", "r.html"], tmp_path)
    assert status == 1
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    first, second = data_of(html)["cases"]
    assert "should be" in first["smallest"]
    assert first["entry"][0] == "input"
    assert first["command"].startswith("convcheck explain s.yaml --layer '{channels: 1, filters: 1,")
    assert second["name"] == "it"
    assert second["command"].startswith("convcheck explain s.yaml --layer it --target wrong.py:Unflipped")
    assert second["errors"]["reproduce"].startswith("convcheck verify s.yaml")
    assert "FAIL" in html
    assert "kernel-not-flipped" in html


def test_a_report_that_passed_has_facts_alone(tmp_path):
    (tmp_path / "s.yaml").write_text(SUITE)
    status, _, _ = convcheck(["verify", "s.yaml", "--output", "r.html"], tmp_path)
    assert status == 0
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "PASSED" in html
    assert "<script" not in html
