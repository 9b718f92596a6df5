"""Layers of half precision in every form: PyTorch's and JAX's own formats, and the 16 bits for programs."""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.layer.fields import HALF
from convcheck.targets.forms.library import HEADER
from tests.targets_for_tests import Right

DTYPES = pytest.mark.parametrize("dtype", HALF)

#: A right convolution with stride 1, without padding and groups; the bits are widened by hand.
PROGRAM = """
import sys
import numpy as np


def read(kind, count):
    data = sys.stdin.buffer.read(2 * count)
    if kind == "float16":
        return np.frombuffer(data, np.float16).astype(np.float32)
    return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)


def written(kind, array):
    if kind == "float16":
        return array.astype(np.float16).tobytes()
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


while line := sys.stdin.buffer.readline():
    _, _, direction, kind, n, c, f, groups, rank, *sizes = line.split()
    kind, n, c, f, rank = kind.decode(), int(n), int(c), int(f), int(rank)
    sizes = [int(word) for word in sizes]
    (h, w), (r, s), (oh, ow), bias = sizes[0:2], sizes[2:4], sizes[12:14], sizes[14]
    x, weight = read(kind, n * c * h * w).reshape(n, c, h, w), read(kind, f * c * r * s).reshape(f, c, r, s)
    b = read(kind, f) if bias else np.zeros(f, np.float32)
    taps = [(a, d, x[:, :, a:a + oh, d:d + ow]) for a in range(r) for d in range(s)]
    if direction == b"forward":
        found = [sum(np.einsum("nchw,fc->nfhw", seen, weight[:, :, a, d]) for a, d, seen in taps) + b[:, None, None]]
    else:
        g = read(kind, n * f * oh * ow).reshape(n, f, oh, ow)
        dx, dw = np.zeros_like(x), np.zeros_like(weight)
        for a, d, seen in taps:
            dx[:, :, a:a + oh, d:d + ow] += np.einsum("nfhw,fc->nchw", g, weight[:, :, a, d])
            dw[:, :, a, d] = np.einsum("nfhw,nchw->fc", g, seen)
        found = [dx, dw, g.sum(axis=(0, 2, 3))][:2 + bias]
    sys.stdout.buffer.write(" ".join(["ok", *(str(array.size) for array in found)]).encode() + b"\\n")
    for array in found:
        sys.stdout.buffer.write(written(kind, array))
    sys.stdout.buffer.flush()
"""


def layer(dtype, **changes):
    return Layer(**{"channels": 4, "filters": 3, "kernel": 3, "input": (6, 7), "dtype": dtype, **changes})


def sums(report):
    return {r.gradient: r.accumulates for r in report.layers[0].results if r.check == "accumulate"}


@DTYPES
@pytest.mark.parametrize("wrong", [False, True])
def test_a_program_is_given_the_bits(dtype, wrong, tmp_path):
    text = PROGRAM.replace("dw[:, :, a, d] =", "dw[:, :, a, d] = -1 *") if wrong else PROGRAM
    (tmp_path / "half.py").write_text(text, encoding="utf-8")
    mapping = {"command": [sys.executable, str(tmp_path / "half.py")], "unsupported": ["stride", "padding", "groups"]}
    report = verify(layer(dtype), target=mapping, checks=["forward", "exact"])
    failed = {r.gradient: r.diagnosis[0].name for r in report.layers[0].results if r.status == "failed"}
    assert failed == ({"weight": "sign-flipped"} if wrong else {}), report
    assert sums(report)["input"] == "float32"


@DTYPES
@pytest.mark.parametrize("in_process", [True, False])
def test_an_object_also_in_a_process_of_its_own(dtype, in_process):
    report = verify(layer(dtype), target="tests.targets_for_tests:Right", in_process=in_process, checks=["exact"])
    assert report.passed, report


@DTYPES
def test_pytorch_has_its_own(dtype):
    torch = pytest.importorskip("torch")
    seen = set()

    def conv(input, weight, bias, stride, padding, dilation, groups):  # noqa: A002 - PyTorch's name
        seen.add(input.dtype)
        return torch.nn.functional.conv2d(input, weight, bias, stride, padding, dilation, groups)

    accumulate = dtype if dtype == "float16" else None
    target = {"call": conv, "style": "torch"}
    report = verify(layer(dtype, accumulate=accumulate), target=target, checks=["forward", "exact"])
    assert seen == {getattr(torch, dtype)}
    assert report.passed, report


@DTYPES
def test_jax_has_its_own(dtype):
    jax = pytest.importorskip("jax")

    def conv(x, weight, bias, stride, padding, dilation, groups):
        out = jax.lax.conv_general_dilated(
            x, weight, stride, padding, rhs_dilation=dilation, feature_group_count=groups
        )
        return out + bias[:, None, None]

    report = verify(layer(dtype), target={"call": conv, "style": "jax", "tuples": True}, checks=["forward", "exact"])
    exact = {r.status for r in report.layers[0].results if r.check in ("forward", "exact")}
    assert exact == {"passed"}, report
    assert set(sums(report)) == {"output", "input", "weight", "bias"}


def test_what_comes_back_in_another_format_is_told():
    class Wide(Right):
        def backward(self, grad_output):
            return tuple(array.astype(np.float32) for array in super().backward(grad_output))

    (failed, *_) = [r for r in verify(layer("bfloat16"), target=Wide).layers[0].results if r.status == "failed"]
    assert "has dtype float32; expected bfloat16" in failed.message


def test_a_mean_over_three_samples_cannot_be_undone_and_over_four_it_can():
    class Mean(Right):
        def backward(self, grad_output):
            grad_input, *others = super().backward(grad_output)
            return grad_input, *(array / array.dtype.type(len(grad_output)) for array in others)

    target = {"call": Mean, "mean_over_batch": ["weight", "bias"]}
    of_four = verify(layer("bfloat16", batch=4, input=(4, 5)), target=target, checks=["forward", "exact"])
    assert {r.status for r in of_four.layers[0].results if r.check == "exact"} == {"passed"}
    (result, *_) = verify(layer("bfloat16", batch=3), target=target, checks=["exact"]).layers[0].results
    assert result.status == "skipped"
    assert "mean over a batch of 3" in result.message


#: A right convolution of one axis with stride 1 and without padding and groups, in both formats: 16 bits come and go.
HALF_LIBRARY = """
#include <string.h>
#include "convcheck.h"

static float wide_float16(uint16_t bits) { _Float16 value; memcpy(&value, &bits, 2); return value; }
static uint16_t narrow_float16(float value) {
    _Float16 half = value; uint16_t bits; memcpy(&bits, &half, 2); return bits;
}
static float wide_bfloat16(uint16_t bits) {
    uint32_t all = (uint32_t)bits << 16; float value; memcpy(&value, &all, 4); return value;
}
static uint16_t narrow_bfloat16(float value) {
    uint32_t all; memcpy(&all, &value, 4); return (all + 0x7FFF + (all >> 16 & 1)) >> 16;
}
#define AT(n, c, i) ((n * l->c + c) * l->input[0] + i)
#define OUT(i) ((n * l->f + f) * l->output[0] + i)
#define TAP ((f * l->c + c) * l->kernel[0] + k)
#define CONV(T) \\
int my_conv_forward_##T(const convcheck_layer *l, const uint16_t *x, const uint16_t *w, const uint16_t *b, \\
                        uint16_t *y, char *m) { \\
    for (int n = 0; n < l->n; n++) for (int f = 0; f < l->f; f++) for (int i = 0; i < l->output[0]; i++) { \\
        float total = b ? wide_##T(b[f]) : 0; \\
        for (int c = 0; c < l->c; c++) for (int k = 0; k < l->kernel[0]; k++) \\
            total += wide_##T(x[AT(n, c, i + k)]) * wide_##T(w[TAP]); \\
        y[OUT(i)] = narrow_##T(total); } \\
    return CONVCHECK_OK; } \\
int my_conv_backward_##T(const convcheck_layer *l, const uint16_t *x, const uint16_t *w, const uint16_t *b, \\
                         const uint16_t *g, uint16_t *dx, uint16_t *dw, uint16_t *db, char *m) { \\
    for (int n = 0; n < l->n; n++) for (int c = 0; c < l->c; c++) for (int p = 0; p < l->input[0]; p++) { \\
        float total = 0; \\
        for (int f = 0; f < l->f; f++) for (int k = 0; k < l->kernel[0]; k++) \\
            if (p >= k && p - k < l->output[0]) \\
                total += wide_##T(g[OUT(p - k)]) * wide_##T(w[TAP]); \\
        dx[AT(n, c, p)] = narrow_##T(total); } \\
    for (int f = 0; f < l->f; f++) for (int c = 0; c < l->c; c++) for (int k = 0; k < l->kernel[0]; k++) { \\
        float total = 0; \\
        for (int n = 0; n < l->n; n++) for (int i = 0; i < l->output[0]; i++) \\
            total = SUM(T, total + wide_##T(g[OUT(i)]) * wide_##T(x[AT(n, c, i + k)])); \\
        dw[TAP] = narrow_##T(SIGN total); } \\
    for (int f = 0; f < l->f && db; f++) { \\
        float total = 0; \\
        for (int n = 0; n < l->n; n++) for (int i = 0; i < l->output[0]; i++) \\
            total += wide_##T(g[OUT(i)]); \\
        db[f] = narrow_##T(total); } \\
    return CONVCHECK_OK; }
CONV(float16)
CONV(bfloat16)
"""


def half_library(folder, sign="", total="value"):
    (folder / "convcheck.h").write_text(HEADER.read_text())
    macros = f"#define SIGN {sign}\n#define SUM(T, value) ({total})\n"
    (folder / "half.c").write_text(macros + HALF_LIBRARY)
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", "libhalf.so", "half.c"], cwd=folder, check=True)
    return {"library": str(folder / "libhalf.so"), "unsupported": ["stride", "padding", "dilation", "groups"]}


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@DTYPES
def test_a_library_is_given_the_bits(dtype, tmp_path):
    of = Layer(3, 4, [3], input=[7], dtype=dtype)
    right = verify(of, target=half_library(tmp_path))
    assert right.passed, str(right)
    assert sums(right) == dict.fromkeys(("output", "input", "weight", "bias"), "float32")
    assert "float32" in verify(replace(of, dtype="float32"), target=half_library(tmp_path)).layers[0].results[0].message


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@DTYPES
def test_a_library_that_is_wrong_or_sums_in_less(dtype, tmp_path):
    of = Layer(3, 4, [3], input=[7], dtype=dtype)
    (tmp_path / "sign").mkdir()
    wrong = verify(of, target=half_library(tmp_path / "sign", sign="-"), checks=["forward", "exact"])
    failed = {r.gradient: r.diagnosis[0].name for r in wrong.layers[0].results if r.status == "failed"}
    assert failed == {"weight": "sign-flipped"}, str(wrong)
    narrow = half_library(tmp_path, total="wide_##T(narrow_##T(value))")
    report = verify(of, target=narrow, checks=["forward", "exact"])
    assert {(r.check, r.gradient) for r in report.layers[0].results if r.status == "failed"} == {
        ("accumulate", "weight")
    }
    assert sums(report)["weight"] == dtype
    assert verify(replace(of, accumulate=dtype), target=narrow, checks=["forward", "exact"]).passed


#: After each tap, what has been added up so far is stored in 16 bits.
AGAIN = """
def again(kind, dx, a, d, oh, ow, more):
    dx[:, :, a:a + oh, d:d + ow] += more
    bits = written(kind, dx)
    if kind == "float16":
        return np.frombuffer(bits, np.float16).astype(np.float32).reshape(dx.shape)
    return (np.frombuffer(bits, np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(dx.shape)
"""


@DTYPES
def test_a_program_that_sums_in_less_is_told(dtype, tmp_path):
    narrow = (
        PROGRAM.replace("dx[:, :, a:a + oh, d:d + ow] += np", "dx = again(kind, dx, a, d, oh, ow, np")
        .replace("weight[:, :, a, d])\n            dw", "weight[:, :, a, d]))\n            dw")
        .replace("while line", AGAIN + "\n\nwhile line")
    )
    assert narrow.count("again(") == 2
    (tmp_path / "half.py").write_text(narrow, encoding="utf-8")
    mapping = {"command": [sys.executable, str(tmp_path / "half.py")], "unsupported": ["stride", "padding", "groups"]}
    report = verify(layer(dtype), target=mapping, checks=["forward", "exact"])
    assert {(r.check, r.gradient) for r in report.layers[0].results if r.status == "failed"} == {
        ("accumulate", "input")
    }
    assert dtype in sums(report)["input"]
