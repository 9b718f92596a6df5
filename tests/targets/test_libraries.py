"""Shared libraries as targets: the interface, what is wrong with a library, and what it writes where it must not."""

import ctypes
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from convcheck import Layer, TargetError, verify
from convcheck.layer.data import integer_operands
from convcheck.suites.starter import starter_files
from convcheck.targets import resolve
from convcheck.targets.forms.library import HEADER, MESSAGE_SIZE, NAMES, OK, UNSUPPORTED, CLayer

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

LAYER = Layer(2, 3, (3, 2), stride=(2, 1), padding=[(1, 0), (0, 2)], input=(5, 6))


def build(folder, *replacements, name="libmy_conv.so", more=""):
    files = starter_files("library", None)
    for before, after in replacements:
        assert before in files["my_conv.c"]
        files["my_conv.c"] = files["my_conv.c"].replace(before, after)
    for file in ("my_conv.c", "convcheck.h"):
        (folder / file).write_text(files[file] + (more if file == "my_conv.c" else ""))
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", name, "my_conv.c"], cwd=folder, check=True)
    return {"library": str(folder / name)}


def test_the_structure_is_the_headers(tmp_path):
    names = [name for name, _ in CLayer._fields_]
    printed = "\n".join(f'printf("%zu ", offsetof(convcheck_layer, {name}));' for name in names)
    constants = "CONVCHECK_OK, CONVCHECK_UNSUPPORTED, CONVCHECK_MESSAGE_SIZE, sizeof(convcheck_layer)"
    (tmp_path / "offsets.c").write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "{HEADER}"\n'
        f'int main(void) {{ {printed} printf("%d %d %d %zu", {constants}); }}\n'
    )
    subprocess.run(["cc", "-o", "offsets", "offsets.c"], cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "offsets"], capture_output=True, text=True, check=True).stdout.split()
    offsets = [getattr(CLayer, name).offset for name in names]
    assert list(map(int, said)) == [*offsets, OK, UNSUPPORTED, MESSAGE_SIZE, ctypes.sizeof(CLayer)]
    assert all(f"{name}_{dtype}(" in HEADER.read_text() for name in NAMES.values() for dtype in ("float64", "float32"))


FLOAT = """
int my_conv_forward_float32(const convcheck_layer *l, const float *x, const float *w, const float *b, float *y,
                            char *m) {
    y[0] = x[0] * w[0] + (b ? b[0] : 0);
    return l->rank == 1 ? CONVCHECK_OK : 7;
}
int my_conv_backward_float32(const convcheck_layer *l, const float *x, const float *w, const float *b, const float *g,
                             float *dx, float *dw, float *db, char *m) {
    dx[0] = w[0] * g[0];
    dw[0] = x[0] * g[0];
    if (db) db[0] = g[0];
    return CONVCHECK_OK;
}
"""


def test_each_data_type_has_its_functions(tmp_path):
    one = Layer(1, 1, 1, input=(1,), batch=1, dtype="float32")
    target = resolve(build(tmp_path), tmp_path)
    assert "float32" in target.unsupported(one)
    assert target.unsupported(LAYER) is None
    with_float = build(tmp_path, name="both.so", more=FLOAT)
    for bias in (True, False):
        layer = Layer(1, 1, 1, input=(1,), batch=1, dtype="float32", bias=bias)
        assert verify(layer, target=with_float, checks=["forward", "exact"]).passed
    run_error = resolve(with_float, tmp_path)
    two = Layer(1, 1, 1, input=(1, 1), batch=1, dtype="float32")
    with pytest.raises(Exception, match=r"my_conv_forward_float32 of .* returned 7: without a message"):
        run_error.run(two, integer_operands(two))


def test_names_can_be_given(tmp_path):
    renamed = [("my_conv_forward_float64", "fw_float64"), ("my_conv_backward_float64", "bw_float64")]
    target = build(tmp_path, *renamed)
    with pytest.raises(TargetError, match="no functions my_conv_forward_float64 and my_conv_backward_float64"):
        resolve(target, tmp_path)
    named = resolve({**target, "forward": "fw", "backward": "bw"}, tmp_path)
    operands = integer_operands(LAYER)
    assert named.run(LAYER, operands).output.shape == LAYER.output_shape


CALL = "forward(*layer, x,"
REFUSES = 'if (layer->groups > 1) return strcpy(message, "no\\ngroups"), {};'


@pytest.mark.parametrize(
    ("returned", "kind", "words"),
    [
        ("CONVCHECK_UNSUPPORTED", NotImplementedError, "^no"),
        ("CONVCHECK_ERROR", Exception, "my_conv_forward_float64 of .* returned 2: no.*groups"),
    ],
)
def test_it_may_refuse_with_a_reason(tmp_path, returned, kind, words):
    target = resolve(build(tmp_path, (CALL, f"{REFUSES.format(returned)}\n    {CALL}")), tmp_path)
    grouped = Layer(2, 2, 3, groups=2, input=(5, 5))
    with pytest.raises(kind, match=words) as caught:
        target.run(grouped, integer_operands(grouped))
    assert "\n" not in str(caught.value)
    assert target.run(LAYER, integer_operands(LAYER)).output.shape == LAYER.output_shape


@pytest.mark.parametrize(
    ("array", "place", "where"),
    [("output", "layer->n * layer->f * layer->output[0] * layer->output[1]", "output"), ("output", "-1", "output"),
     ("grad_weight", "-2", "grad_weight"), ("grad_bias", "layer->f", "grad_bias")],
)  # fmt: skip
def test_writing_beyond_the_memory_that_it_is_given_is_found(tmp_path, array, place, where):
    after = "    return CONVCHECK_OK;\n}\n"
    function = "forward" if array == "output" else "backward"
    text = starter_files("library", None)["my_conv.c"]
    body = re.search(rf"int my_conv_{function}_float64.*?{re.escape(after)}", text, re.DOTALL)[0]
    spoiled = (body, body.replace(after, f"    {array}[{place}] = 1;\n{after}"))
    report = verify(LAYER, target=build(tmp_path, spoiled), checks=["exact"])
    assert not report.passed
    assert f"wrote beyond the memory of {where}" in str(report)


def test_what_is_read_beyond_the_arguments_is_no_race(tmp_path):
    """One sample too many on every axis: of the next row, and behind the last one of whatever lies there."""
    write, entries = "grad_input[at] += weight[w] * g;", "l.n * l.c * l.input[0] * l.input[1] * l.input[2]"
    wrong = build(
        tmp_path, ("at < l->input[axis]", "at <= l->input[axis]"), (write, f"if (at < {entries}) {{ {write} }}"),
    )  # fmt: skip
    padded = Layer(2, 3, 3, padding=1, input=(5, 6), name="padded")
    report = verify(padded, target=wrong)
    output = next(r for r in report.layers[0].results if r.gradient == "output")
    assert (output.status, [d.name for d in output.diagnosis]) == ("failed", ["out-of-bounds"])
    assert "with zeros all are" in output.message
    case = report.layers[0].smallest
    assert (case.condition, case.gradient) == ("out-of-bounds", "output")
    assert np.isnan(case.analytic)
    assert verify(replace(padded, padding=0), target=wrong).passed
    assert verify(padded, target=build(tmp_path, name="libright.so")).passed


def test_what_is_not_written_is_no_number(tmp_path):
    spoiled = ("if (grad_bias) grad_bias[f] += g;", ""), ("if (grad_bias) memset(", "if (0) memset(")
    report = verify(LAYER, target=build(tmp_path, *spoiled), checks=["exact"])
    assert {r.gradient for r in report.layers[0].results if r.status != "passed"} == {"bias"}
    assert "non-finite" in str(report)


def test_channels_last_and_one_sample(tmp_path):
    """Axes are the library's business: this one is right only where they stand as it expects them."""
    target = build(tmp_path)
    layer = Layer(2, 2, 3, input=(5, 5))
    operands = integer_operands(layer)
    right = resolve(target, tmp_path).run(layer, operands)
    assert not np.array_equal(resolve({**target, "layout": "NHWC"}, tmp_path).run(layer, operands).output, right.output)
    by_sample = resolve({**target, "layout": "CHW"}, tmp_path).run(layer, operands)
    assert np.array_equal(by_sample.output, right.output)
    for one, other in zip(by_sample.backward(), right.backward(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(("content", "words"), [(None, "does not exist"), ("text", "cannot be loaded")])
def test_a_library_that_is_none(tmp_path, content, words):
    if content is not None:
        (tmp_path / "libmy_conv.so").write_text(content)
    with pytest.raises(TargetError, match=words):
        resolve({"library": "./libmy_conv.so"}, tmp_path)
