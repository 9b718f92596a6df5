"""Entries term by term: on random layers the terms sum to the gradient exactly, and none is missing."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcheck import Layer, UsageError, backward, forward, load
from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.selection import parse_entry
from convcheck.explain.sums import derivation, entry
from convcheck.explain.sums.notation import NOTATIONS, OWN, notation
from convcheck.explain.sums.terms import explain
from convcheck.explain.sums.writers import FORMATS, render
from convcheck.layer.data import example_operands
from tests.explain.kinds import layers


def textbook(name):
    return next(layer for layer in load("textbook").layers if layer.name == name)


@settings(max_examples=150, deadline=None)
@given(layers(), st.data())
def test_terms_sum_to_the_gradient_exactly(layer, data):
    at = example_operands(layer)
    gradients = backward(layer, at.x, at.weight, at.grad_output)
    arrays = {"input": gradients.input, "weight": gradients.weight, "output": forward(layer, at.x, at.weight, at.bias)}
    if layer.bias:
        arrays["bias"] = gradients.bias
    for name, array in arrays.items():
        index = tuple(data.draw(st.integers(0, size - 1)) for size in array.shape)
        found = explain(layer, at, name, index)
        assert found.value == array[index] == found.reference
        for term in found.terms:
            for factor in term.factors:
                assert getattr(at, factor.array)[factor.index] == factor.value


@settings(max_examples=60, deadline=None)
@given(layers(), st.data())
def test_every_tap_or_window_is_a_term_or_falls_away(layer, data):
    at = example_operands(layer)
    index = tuple(data.draw(st.integers(0, size - 1)) for size in layer.input_shape)
    found = explain(layer, at, "input", index)
    taps = {term.factors[1].index[2:] for term in found.terms}
    assert len(taps) + len(found.excluded) == prod(layer.kernel)
    assert not {f"tap {sizes.at(tap)}" for tap in taps} & {one.what for one in found.excluded}
    assert len(found.terms) % layer.filters_per_group == 0
    index = tuple(data.draw(st.integers(0, size - 1)) for size in layer.weight_shape)
    found = explain(layer, at, "weight", index)
    windows = layer.input if layer.transposed else layer.output
    assert len(found.terms) == layer.batch * (prod(windows) - len(found.excluded))
    index = tuple(data.draw(st.integers(0, size - 1)) for size in layer.output_shape)
    found = explain(layer, at, "output", index)
    assert len(found.terms) - layer.bias == layer.channels_per_group * (prod(layer.kernel) - len(found.excluded))


@pytest.mark.parametrize(
    ("layer", "array", "index", "expected"),
    [
        ("T3-stride-2", "input", (2, 2), "dL/dx22 = dO00 f22 + dO01 f20 + dO10 f02 + dO11 f00"),
        ("T3-stride-2", "input", (0, 0), "dL/dx00 = dO00 f00"),
        ("T3-stride-2", "input", (1, 2), "dL/dx12 = dO00 f12 + dO01 f10"),
        # Where the text has f20 and x20, this is f21 and x21.
        ("T3-stride-2", "input", (2, 1), "dL/dx21 = dO00 f21 + dO10 f01"),
        ("T3-stride-2", "weight", (0, 0), "dL/df00 = dO00 x00 + dO01 x02 + dO10 x20 + dO11 x22"),
        ("T3-stride-2", "weight", (0, 1), "dL/df01 = dO00 x01 + dO01 x03 + dO10 x21 + dO11 x23"),
        ("T3-stride-1", "input", (1, 1), "dL/dx11 = dO00 f11 + dO01 f10 + dO10 f01 + dO11 f00"),
        ("T3-stride-1", "weight", (1, 0), "dL/df10 = dO00 x10 + dO01 x11 + dO10 x20 + dO11 x21"),
        ("T3-stride-1", "output", (0, 1), "O01 = f00 x01 + f01 x02 + f10 x11 + f11 x12"),
    ],
)
def test_the_expanded_equations_of_t3(layer, array, index, expected):
    spec = textbook(layer)
    found = explain(spec, example_operands(spec), array, (0, 0, *index))
    assert entry.expanded(found, notation("T3")).text == (expected,)


def test_latex_of_t3():
    layer = textbook("T3-stride-2")
    found = explain(layer, example_operands(layer), "input", (0, 0, 1, 1))
    left = r"\frac{\partial L}{\partial x_{11}} &= "
    assert entry.expanded(found, notation("T3")).latex == (left + r"\partial O_{00} \, f_{11}",)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("T0", "∂L/∂X[0,3,2,5] = ∂L/∂O[0,2,1,1]·W[2,0,0,1] + ∂L/∂O[0,3,1,1]·W[3,0,0,1]"),
        ("T1", "delta_in[0,2,5,3] = delta_out[0,1,1,2]·w[0,1,0,2] + delta_out[0,1,1,3]·w[0,1,0,3]"),
        ("T4", "dL/dX[0,3,2,5] = dL/dO[0,2,6]·W~[2,1] + dL/dO[0,3,6]·W~[3,1]"),
        (None, "dL/dX[0,3,2,5] = dL/dO[0,2,1,1]·W[2,0,0,1] + dL/dO[0,3,1,1]·W[3,0,0,1]"),
    ],
)
def test_notations(name, expected):
    layer = Layer(6, 4, [2, 2], [2, 4], groups=2, input=[4, 19], batch=2)
    found = explain(layer, example_operands(layer), "input", (0, 3, 2, 5))
    assert entry.expanded(found, notation(name)).text == (expected,)


def test_reasons():
    layer = Layer(1, 1, 3, 2, [[1, 0]], input=[6], batch=1)
    reasons = {e.what: e.why for e in explain(layer, example_operands(layer), "input", (0, 0, 0)).excluded}
    assert reasons == {
        "tap [0]": "position: the window would start at 1, which is no multiple of the stride 2",
        "tap [2]": "position: the window would start at -1, before the padded input",
    }
    reasons = {e.what: e.why for e in explain(layer, example_operands(layer), "input", (0, 0, 5)).excluded}
    assert reasons["tap [0]"] == "position: the window would be output 3, and the last is 2"
    (padding,) = explain(layer, example_operands(layer), "weight", (0, 0, 0)).excluded
    assert padding.what == "output [0]"
    assert padding.why == "reads padding, which is 0 (position -1 of the input does not exist)"


def test_reasons_of_other_kinds():
    layer = Layer(1, 1, 3, 2, [[1, 1]], input=[3], batch=1, transposed=True)
    at = example_operands(layer)
    (outside,) = explain(layer, at, "input", (0, 0, 0)).excluded
    assert outside == ("tap [0]", "position: output -1 does not exist")
    (between,) = explain(layer, at, "output", (0, 0, 1)).excluded
    assert between.what == "tap [1]"
    assert "zero at 1, which is no multiple of the stride 2" in between.why
    (removed,) = explain(layer, at, "weight", (0, 0, 2)).excluded
    assert removed == ("entry [2]", "its tap reaches position 5 of the output, which does not exist")
    layer = Layer(1, 1, 3, 3, [[2, 0]], input=[4], batch=1, padding_mode="circular")
    (tap,) = explain(layer, example_operands(layer), "input", (0, 0, 3)).excluded
    assert tap.what == "tap [0]"
    assert "position: the window would start at 5" in tap.why
    assert "its copy at 1: the window would start at 1" in tap.why
    # Behind a mirror a sample is read where it is, and where it is not.
    layer = Layer(1, 1, 2, padding=[[1, 0]], input=[2], batch=1, padding_mode="reflect")
    found = explain(layer, example_operands(layer), "input", (0, 0, 1))
    assert [(term.factors[0].index[2], term.factors[1].index[2]) for term in found.terms] == [(0, 0), (1, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input[0,1,2,2]", "entry='input[0,1,2,2]' is out of range; expected input[0..0, 0..0, 0..4, 0..4]"),
        ("input[0,0,-1,2]", "entry='input[0,0,-1,2]' is out of range; expected input[0..0, 0..0, 0..4, 0..4]"),
        ("weight[0,0]", "entry='weight[0,0]' has 2 indices; expected 4: weight[0..0, 0..0, 0..2, 0..2]"),
        ("bias[0]", "entry='bias[0]': layer T3-stride-2 has no bias"),
        ("output[a]", "entry='output[a]': expected integers separated by commas, such as output[0,0,0,0]"),
        (
            "grad[0]",
            "entry='grad[0]' is not allowed; expected one of input, weight, bias, output with an index, such as "
            "input[0,1,2,2]",
        ),
    ],
)
def test_entries_that_do_not_exist(text, message):
    with pytest.raises(UsageError) as caught:
        parse_entry(text, textbook("T3-stride-2"))
    assert str(caught.value) == message


@pytest.mark.parametrize("written", FORMATS)
@pytest.mark.parametrize("writing", NOTATIONS.values(), ids=lambda writing: writing.name)
@pytest.mark.parametrize(
    "spec",
    [
        *map(textbook, ("T1-groups", "T2-causal", "T3-volume")),
        Layer(2, 4, [3, 2], [2, 1], [[1, 0], 0], groups=2, input=[4, 3], transposed=True, output_padding=[1, 0],
              name="other-way"),
        Layer(1, 2, 3, 2, [[2, 1], [0, 1]], input=[4, 5], padding_mode="reflect", name="mirrored"),
    ],
    ids=lambda layer: layer.name,
)  # fmt: skip
def test_every_layer_in_every_notation_and_format(spec, writing, written):
    layer = spec.name
    told = render(derivation.document(spec, writing), written)
    assert told.endswith("\n")
    assert layer in told.replace("\\", "")
    at = example_operands(spec)
    for array, shape in (("input", spec.input_shape), ("weight", spec.weight_shape), ("bias", spec.bias_shape)):
        found = explain(spec, at, array, (0,) * len(shape))
        assert "The sum" in render(entry.document(found, writing), written)


def test_derivation_of_other_kinds():
    spec = Layer(1, 1, [3], 2, [[2, 1]], input=[4], batch=1, padding_mode="reflect")
    told = render(derivation.document(spec, OWN), "text")
    assert "0 → 2, 1 → 1, 6 → 2" in told
    assert "padding 2 = 3-1" in told
    assert "9 = 2+5+2" in told
    spec = Layer(1, 1, [3], 2, [[1, 0]], input=[4], batch=1, transposed=True, output_padding=1)
    ahead, back = render(derivation.document(spec, OWN), "text").split("3. The gradient of the input")
    assert "7 = (4-1)·2+1" in ahead
    assert "padding in front 1 = 3-1-1, behind 3 = 3-1+1 (output padding 1)" in ahead
    assert "Flip the kernel" in ahead
    assert "Flip the kernel" not in back
    assert "Nothing is dilated, and nothing is flipped" in back


def test_derivation_has_the_layers_numbers():
    for writing in ("T3", None):
        told = render(derivation.document(textbook("T3-stride-2"), notation(writing)), "text")
        for expected in (
            "3×3 = (2-1)·2+1",
            "padding 2 = 3-1",
            "7×7 = 2+3+2",
            "5×5 = 7-3+1",
            "zeros",
            "Flip the kernel",
        ):
            assert expected in told
    told = render(derivation.document(textbook("T0-remainder"), notation("T0")), "text")
    assert "columns: i from max(0, ceil((p + 0 - 3) / 3)) to min(3, floor((p + 0) / 3)), a = (p + 0 - 3i)" in told
    assert "P = n + before + after: padded size" in told
    told = render(derivation.document(textbook("T1-20-filters-over-RGB"), notation("T1")), "text")
    assert "3 filters of depth 20" in " ".join(told.split())
    told = render(derivation.document(textbook("T3-volume"), OWN), "text")
    assert "reversed along all three axes" in told
    assert "180" not in told


def test_the_term_that_the_published_bounds_let_in_is_drawn():
    told = render(derivation.document(textbook("T0-remainder"), notation("index-sums")), "text")
    drawn = told[told.index("    X ") :].splitlines()[:4]
    # Along the rows, kernel 3 and stride 2: entry 3 is read by window 1 through tap 1; window 0 ended at 2.
    assert drawn[0].split() == ["X", "0", "1", "2", "3", "4"]
    assert drawn[0].index("3") == drawn[1].index("|")
    assert drawn[2].split()[:7] == ["window", "0", "0", "1", "2", ".", "."]
    assert "WRONG: tap 3: there is none" in drawn[2]
    assert drawn[3].split()[:7] == ["window", "1", ".", ".", "0", "1", "2"]
    assert drawn[3].endswith("right: tap 1")
    told = render(derivation.document(textbook("T3-stride-1"), notation("index-sums")), "text")
    assert "both roundings give the same" in told
    told = render(derivation.document(textbook("T2-same-size"), notation("same-size")), "text")
    assert "window -2    2   .   .  WRONG: tap 2; clamped to window 0" in told
    assert "window 0     0   1   2  right: tap 0" in told
    for written in ("latex", "markdown"):
        told = render(derivation.document(textbook("T2-same-size"), notation("same-size")), written)
        assert "window -2    2   .   .  WRONG" in told


def test_channels_of_w_are_those_of_its_group():
    layer = textbook("T1-groups")
    at = example_operands(layer)
    told = {
        name: " ".join(render(entry.document(explain(layer, at, name, index), OWN), "text").split())
        for name, index in (("input", (1, 4, 2, 2)), ("weight", (2, 1, 0, 0)), ("output", (0, 3, 1, 1)))
    }
    assert all("W[f,c',a]" in text and "c' = c mod 3" in text for text in told.values())
    assert "channel 4 is channel c' = 1 of its group" in told["input"]
    assert "channel c' = 1 of the group of filter 2 is channel c = 4 of X" in told["weight"]
    assert "channels c = 3..5 in W: c' = c - 3 = 0..2" in told["output"]
    assert "c'" not in render(derivation.document(textbook("T1-20-filters-over-RGB"), OWN), "text")


def test_where_f_is_the_kernel_another_letter_counts_filters():
    layer = textbook("T3-remainder")
    found = explain(layer, example_operands(layer), "input", (0, 0, 2, 2))
    told = render(entry.document(found, notation("dilate-flip")), "text")
    assert "filters j = 0..2" in told
    assert "filters f" not in told


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ["T1-groups", "T3-volume"])
def test_text_respects_the_width(name, width):
    layer = textbook(name)
    at = example_operands(layer)
    texts = [render(derivation.document(layer, writing), "text", width) for writing in NOTATIONS.values()]
    for array, shape in (("input", layer.input_shape), ("weight", layer.weight_shape), ("output", layer.output_shape)):
        found = explain(layer, at, array, tuple(size // 2 for size in shape))
        texts.append(render(entry.document(found, OWN), "text", width))
    assert width - 12 < max(len(line) for text in texts for line in text.splitlines()) <= width


def test_latex_is_balanced_and_escaped():
    told = render(derivation.document(Layer(1, 1, 2, input=[3, 3], name="a_b & 50%"), OWN), "latex")
    assert told.count("{") == told.count("}")
    assert r"a\_b \& 50\%" in told
    assert told.count(r"\begin{") == told.count(r"\end{")
