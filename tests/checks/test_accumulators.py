"""In which precision sums are made: each format told apart, in each array alone; right ones pass."""

import pytest

from convcheck import Layer, verify
from convcheck.layer.fields import HALF
from tests.accumulating import OfAnyKind, accumulating, rounded
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


#: Layers whose sums are short, or in which few terms meet.
ODD = {
    "pointwise": {"channels": 5, "filters": 4, "kernel": [1, 1], "input": [3, 3]},
    "one of all": {"channels": 1, "filters": 1, "kernel": [3, 3], "input": [4, 5]},
    "nothing to sum": {"channels": 1, "filters": 1, "kernel": [1], "input": [6]},
    "depthwise": {"channels": 3, "filters": 3, "groups": 3, "kernel": 3, "stride": 2, "padding": 1, "input": [5, 5]},
    "one axis": {"channels": 2, "filters": 3, "kernel": [4], "padding": [[2, 1]], "input": [9]},
    "three axes": {"channels": 2, "filters": 2, "kernel": 2, "input": [3, 3, 3], "batch": 1},
    "stride beyond the kernel": {"channels": 2, "filters": 3, "kernel": 2, "stride": 3, "input": [8, 8]},
    "windows beyond the edge": {
        "channels": 2, "filters": 2, "kernel": [3], "dilation": 3, "padding": 3, "input": [4],
    },
    "transposed": {
        "channels": 3, "filters": 2, "kernel": 3, "stride": 2, "padding": 1, "output_padding": 1, "transposed": True,
        "input": [3, 3],
    },
    "transposed groups": {
        "channels": 4, "filters": 4, "groups": 2, "kernel": [4], "stride": 3, "transposed": True, "input": [4],
    },
    "circular": {"channels": 2, "filters": 2, "kernel": 3, "padding": 1, "padding_mode": "circular", "input": [4, 4]},
    "replicate": {
        "channels": 1, "filters": 2, "kernel": [3], "padding": 2, "padding_mode": "replicate", "input": [5],
    },
}  # fmt: skip

#: Those of which the probe takes long.
LONG = ("one of all", "three axes", "stride beyond the kernel", "transposed", "circular", "one axis")

#: Where no three terms meet, and nothing can be told.
UNTOLD = {"nothing to sum": {"output", "input"}}

EVERY = {"output", "input", "weight", "bias"}


def of_any_kind(sizes, dtype, **attributes):
    code = type("Code", (OfAnyKind,), attributes)
    target = {"call": code, "supports": ["transposed", "output-padding", "circular", "replicate"]}
    report = verify(Layer(**sizes, dtype=dtype), target=target, checks=CHECKS, shrink=False)
    return {r.gradient: r for r in report.layers[0].results if r.check == "accumulate"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.long) if n in LONG else n for n in ODD])
def test_odd_layers_are_told_or_said_to_be_untold(name):
    for bits, said in ((24, "float32"), (8, "bfloat16")):
        results = of_any_kind(ODD[name], "bfloat16", bits=bits)
        untold = {gradient for gradient, r in results.items() if r.status == "skipped"}
        assert untold == UNTOLD.get(name, set()), words(results)
        assert {results[gradient].accumulates for gradient in EVERY - untold} == {said}, words(results)
        assert {results[gradient].status for gradient in EVERY - untold} == {"passed" if bits == 24 else "failed"}


SUMS = [
    ({}, "float32"), ({"pairwise": True}, "float32"), ({"compensated": True}, "float32 with compensation"),
    ({"blocks": 7}, "float32"), ({"bits": 53}, "float64"), ({"bits": 8}, "bfloat16"),
    ({"bits": 8, "pairwise": True}, "bfloat16"), ({"bits": 11, "pairwise": True}, "float16"),
    ({"bits": 8, "compensated": True}, "bfloat16 with compensation"),
    ({"bits": 11, "compensated": True}, "float16 with compensation"),
    ({"blocks": 5, "stored": 8}, "more than bfloat16, with partial sums stored in it"),
    ({"blocks": 7, "stored": 11}, "more than float16, with partial sums stored in it"),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "said"), SUMS)
def test_whatever_the_order_of_the_sums(attributes, said):
    """All arrays have sums of some nine terms or more here: each block ends inside one."""
    sizes = {"channels": 3, "filters": 3, "kernel": [3], "input": [5], "batch": 3}
    assert set(words(of_any_kind(sizes, "bfloat16", **attributes)).values()) == {said}


@pytest.mark.long
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize(("attributes", "said"), SUMS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_whatever_the_order_and_the_layer(name, attributes, said, dtype):
    """Where a sum is shorter than a block, or has one term of each, partial sums do not show, or are all."""
    for gradient, result in of_any_kind(ODD[name], dtype, **attributes).items():
        given = result.accumulates or ""
        stored = "blocks" in attributes or "rounded to" in given
        right = {said} if "bits" not in attributes else {said, "more than float32"}
        if result.status == "skipped" or stored:
            assert result.status == "skipped" or "compensation" not in given, (gradient, given)
        else:
            assert given in right, (gradient, given)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_results_that_are_rounded_are_no_rounded_operands(dtype):
    class Stores(OfAnyKind):
        def backward(self, grad_output):
            return tuple(rounded(found, 8).astype(found.dtype) for found in super().backward(grad_output))

    report = verify(layer(dtype, input=[3, 4], batch=1), target=Stores, checks=CHECKS)
    results = {r.gradient: r for r in report.layers[0].results if r.check == "accumulate"}
    assert words(results) == {
        "output": "float32", **dict.fromkeys(("input", "weight", "bias"), "float32, results rounded to bfloat16"),
    }  # fmt: skip


def test_what_is_rounded_where_sums_are_too_short_to_tell_more():
    results = of_any_kind(ODD["nothing to sum"], "float32", bits=8)
    assert results["output"].status == "failed"
    assert "too short" in results["output"].message
    assert "rounded to bfloat16" in results["output"].message


@pytest.mark.parametrize("dtype", HALF)
def test_sums_of_one_term_show_nothing_even_where_no_more_is_promised(dtype):
    layer = Layer(1, 1, 1, input=(1, 1), batch=1, dtype=dtype, accumulate=dtype)
    report = verify(layer, target=Right, checks=["exact"])
    probed = {result.gradient: result for result in report.layers[0].results if result.check == "accumulate"}
    assert report.passed
    assert all(result.status == "skipped" for result in probed.values())
    assert "too few terms" in probed["weight"].message
