"""In which precision sums are made: each format told apart, in each array alone; right ones pass."""

import pytest

from convcheck import Layer, verify
from convcheck.layer.fields import HALF
from tests.accumulating import accumulating
from tests.targets_for_tests import Right

FORMATS = {8: "bfloat16", 11: "float16"}
DTYPES = pytest.mark.parametrize("dtype", [*HALF, "float32"])
ARRAYS = pytest.mark.parametrize("name", ["output", "input", "weight", "bias"])
CHECKS = ["forward", "exact", "accumulate"]


def layer(dtype, **changes):
    sizes = {"channels": 3, "filters": 4, "kernel": [2, 3], "padding": 1, "input": [6, 7]}
    return Layer(**{**sizes, "dtype": dtype, **changes})


def found(of, checks=CHECKS, **attributes):
    """Return the report of code whose sums are like that, and what each array's were found to be made in."""
    report = verify(of, target=accumulating(**attributes), checks=checks)
    results = [result for result in report.layers[0].results if result.check == "accumulate"]
    return report, {result.gradient: result for result in results}


def words(results):
    return {name: result.accumulates for name, result in results.items()}


@DTYPES
def test_sums_in_float32_pass_exactly(dtype):
    report, results = found(layer(dtype))
    assert report.passed, report
    assert words(results) == dict.fromkeys(("output", "input", "weight", "bias"), "float32")
    said = " ".join(str(report).split())
    assert "accumulates in: forward float32; grad_input float32; grad_weight float32; grad_bias float32" in said


@DTYPES
@ARRAYS
@pytest.mark.parametrize("bits", FORMATS)
def test_narrower_sums_of_one_array_alone_are_told_by_their_format(dtype, name, bits):
    report, results = found(layer(dtype), bits={name: bits})
    assert not report.passed
    assert words(results) == {
        **dict.fromkeys(("output", "input", "weight", "bias"), "float32"), name: FORMATS[bits],
    }  # fmt: skip
    assert [r.gradient for r in results.values() if r.status == "failed"] == [name]
    message = results[name].message
    assert f"right in structure, accumulates in {FORMATS[bits]}: error up to" in message
    assert "expected float32" in message
    # It is no wrong gradient: that is said by other checks, which pass.
    assert all(r.passed for r in report.layers[0].results if r.check != "accumulate")


@pytest.mark.parametrize("dtype", HALF)
def test_a_layer_that_promises_no_more_passes(dtype):
    bits = {"bfloat16": 8, "float16": 11}[dtype]
    everywhere = dict.fromkeys(("output", "input", "weight", "bias"), bits)
    report, results = found(layer(dtype, accumulate=dtype), checks=None, bits=everywhere)
    assert report.passed, report
    assert set(words(results).values()) == {dtype}
    assert not found(layer(dtype), bits=everywhere)[0].passed


@DTYPES
@pytest.mark.parametrize(("name", "length"), [("weight", 16), ("input", 8), ("output", 6)])
def test_partial_sums_that_are_stored_are_told_from_sums_made_so(dtype, name, length):
    report, results = found(layer(dtype), tile={name: (length, 8)})
    assert not report.passed
    assert words(results)[name] == "more than bfloat16, with partial sums stored in it"


def test_wider_sums_and_compensated_ones():
    wide = found(layer("float32"), bits=dict.fromkeys(("output", "input", "weight", "bias"), 53))
    assert wide[0].passed
    assert set(words(wide[1]).values()) == {"float64"}
    assert words(found(layer("bfloat16"), compensated=("weight",))[1])["weight"] == "float32 with compensation"


@pytest.mark.parametrize("name", ["output", "input", "weight"])
def test_operands_rounded_to_tf32_are_no_narrow_sums(name):
    report, results = found(layer("float32"), operands={name: 11})
    assert not report.passed
    assert words(results)[name] == "float32, operands rounded to TF32"
    assert {r.gradient for r in results.values() if not r.passed} == {name}


def test_it_runs_unasked_in_half_precision_alone():
    assert not found(layer("float32"), checks=["exact"])[1]
    assert found(layer("bfloat16"), checks=["exact"])[1]
    assert not found(layer("bfloat16"), checks=["forward"])[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 1, "filters": 1, "kernel": 3, "stride": 2},
        {"channels": 6, "filters": 6, "groups": 6, "kernel": 3, "stride": 2, "dilation": 2, "input": [9, 11]},
        {"channels": 20, "filters": 18, "groups": 2, "kernel": 1, "padding": 0, "bias": False},
        {"kernel": [3], "input": [17], "padding": [[2, 1]]},
    ],
)
@pytest.mark.parametrize("bits", [8, 24])
def test_whatever_the_layer(changes, bits):
    everywhere = dict.fromkeys(("output", "input", "weight", "bias"), bits)
    results = found(layer("bfloat16", **changes), bits=everywhere)[1]
    assert set(words({name: r for name, r in results.items() if r.status != "skipped"}).values()) == {
        {8: "bfloat16", 24: "float32"}[bits]
    }
    assert results["weight"].status == {8: "failed", 24: "passed"}[bits]


def test_sums_too_short_to_tell_are_said_to_be():
    results = found(Layer(1, 1, 1, input=[3, 4], dtype="bfloat16"))[1]
    assert {name for name, r in results.items() if r.status == "skipped"} == {"output", "input"}
    assert "it takes three" in results["input"].message


def test_what_is_wrong_in_structure_is_not_probed():
    class Wrong(accumulating()):
        def backward(self, grad_output):
            grad_input, *others = super().backward(grad_output)
            return -grad_input, *others

    results = verify(layer("bfloat16"), target=Wrong, checks=CHECKS).layers[0].results
    assert {r.gradient for r in results if r.check == "accumulate"} == {"output", "weight", "bias"}
    (wrong,) = [r for r in results if r.status == "failed"]
    assert wrong.diagnosis[0].name == "sign-flipped"


def test_code_that_cannot_be_probed_says_why_and_one_without_the_budget_that():
    class Picky(accumulating()):
        def forward(self, x, weight, bias, layer):
            if (x == 1).all():
                raise ValueError("no ones, please")
            return super().forward(x, weight, bias, layer)

    results = verify(layer("bfloat16"), target=Picky, checks=CHECKS).layers[0].results
    probed = [r for r in results if r.check == "accumulate"]
    assert {r.status for r in probed} == {"skipped"}
    assert "no ones, please" in probed[0].message


@pytest.mark.parametrize("dtype", HALF)
def test_sums_of_one_term_show_nothing_even_where_no_more_is_promised(dtype):
    layer = Layer(1, 1, 1, input=(1, 1), batch=1, dtype=dtype, accumulate=dtype)
    report = verify(layer, target=Right, checks=["exact"])
    probed = {result.gradient: result for result in report.layers[0].results if result.check == "accumulate"}
    assert report.passed
    assert all(result.status == "skipped" for result in probed.values())
    assert "too few terms" in probed["weight"].message
