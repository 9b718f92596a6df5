"""Kernels in Triton: right ones pass in every format, and wrong ones by what is wrong with them."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from convcheck import Layer, verify
from convcheck.layer.fields import HALF

# Not imported here: the interpreter is chosen at the import.
pytestmark = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("triton") is None, reason="PyTorch or Triton is not installed"
)

CODE = Path(__file__).with_name("triton_conv.py")

#: As many channels and filters as nearly fill a tile, and sums over more than one.
SIZES = {"channels": 14, "filters": 15, "kernel": [1, 2], "stride": [1, 2], "padding": [0, 1], "input": [4, 5]}

TF32 = """
@triton.jit
def product(left, right):
    left, right = left.to(tl.float32), right.to(tl.float32)
    left = ((left.to(tl.int32, bitcast=True) + 4096 >> 13) << 13).to(tl.float32, bitcast=True)
    return tl.dot(left, right, input_precision="ieee")

"""


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")


def checked(folder, dtype, *replacements, checks, more=""):
    text = CODE.read_text(encoding="utf-8")
    for before, after in replacements:
        assert before in text
        text = text.replace(before, after, 1)
    place, _, rest = text.partition("@triton.jit\ndef forward_kernel")
    # Triton reads the source of a kernel from its file.
    file = folder / "triton_conv.py"
    file.write_text(f"{place}{more}@triton.jit\ndef forward_kernel{rest}", encoding="utf-8")
    target = {"call": f"{file}:Conv", "style": "torch", "tuples": True}
    report = verify(Layer(**SIZES, dtype=dtype), target=target, checks=checks, shrink=False, in_process=False)
    sums = {r.gradient: r.accumulates for r in report.layers[0].results if r.check == "accumulate"}
    return report, sums


@pytest.mark.parametrize("dtype", ["float32", *HALF])
def test_right_kernels_pass_and_sum_in_float32(tmp_path, dtype):
    report, sums = checked(tmp_path, dtype, checks=["forward", "exact", "accumulate"])
    assert report.passed, str(report)
    assert sums == dict.fromkeys(("output", "input", "weight", "bias"), "float32")


def test_without_its_mask_of_channels_a_kernel_reads_beyond_its_arrays(tmp_path):
    mask = "mask=inside[:, None] & (c < C)[None, :]", "mask=inside[:, None]"
    assert checked(tmp_path, "float32", checks=["forward", "exact", "conditions"])[0].passed
    report, _ = checked(tmp_path, "float32", mask, checks=["forward", "exact", "conditions"])
    assert not report.passed
    failed = [r for r in report.layers[0].results if r.status == "failed"]
    # Products with 0 hide what lies behind the arrays, unless it is NaN by chance; then it shows before any condition.
    assert {d.name for r in failed for d in r.diagnosis} == {"out-of-bounds"}


def test_operands_rounded_as_by_tf32_are_told(tmp_path):
    report, sums = checked(tmp_path, "float32", more=TF32, checks=["forward", "exact", "accumulate"])
    assert {r.check for r in report.layers[0].results if r.status == "failed"} == {"accumulate"}
    assert {sums[name] for name in ("output", "input", "weight")} == {"float32, operands rounded to TF32"}
    assert sums["bias"] == "float32"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_partial_tiles_stored_in_bfloat16_are_told(tmp_path, dtype):
    stored = "total += product(given, seen)", "total = (total + product(given, seen)).to(tl.bfloat16).to(tl.float32)"
    report, sums = checked(tmp_path, dtype, stored, checks=["forward", "exact", "accumulate"])
    failed = {(r.check, r.gradient) for r in report.layers[0].results if r.status == "failed"}
    assert failed == {("accumulate", "weight")}
    assert sums["weight"] == "more than bfloat16, with partial sums stored in it"
    assert {sums[name] for name in ("output", "input", "bias")} == {"float32"}
