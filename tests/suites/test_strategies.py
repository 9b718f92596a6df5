"""The layers that are drawn: within what is asked for, of every kind, and shrinking to the plainest."""

from collections import Counter
from math import prod

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import convcheck
from convcheck import Layer, UsageError, strategies
from convcheck.suites.strategies import EDGES, LARGEST


def drawn(number=600, **options):
    found = []

    @settings(max_examples=number, database=None, derandomize=True)
    @given(strategies.layers(**options))
    def collect(layer):
        found.append(layer)

    collect()
    return found


def test_the_module_is_an_attribute_of_the_package():
    assert convcheck.strategies is strategies


def test_every_kind_of_layer_is_drawn():
    found = drawn()
    assert Counter(len(layer.input) for layer in found).keys() == {1, 2, 3}
    assert max(layer.multiply_adds for layer in found) <= LARGEST
    kinds = {
        "more channels": lambda at: at.channels > at.filters,
        "more filters": lambda at: at.channels < at.filters,
        "as many": lambda at: at.channels == at.filters > 1,
        "depthwise": lambda at: at.groups == at.channels > 1,
        "groups of several": lambda at: at.groups > 1 and at.channels_per_group > 1,
        "beyond a tile": lambda at: max(at.channels_per_group, at.filters_per_group) > 64,
        "many samples": lambda at: at.batch > 64,
        "one sample": lambda at: at.batch == 1,
        "a long axis": lambda at: max(at.input) > 64,
        "a long kernel": lambda at: max(at.kernel) > 7,
        "a kernel beyond the input": lambda at: any(axis.effective_kernel > axis.size for axis in at.axes),
        "padding on one side": lambda at: any(before != after for before, after in at.padding),
        "axes that differ": lambda at: len(set(zip(at.kernel, at.stride, at.dilation, strict=True))) > 1,
        "axes alike": lambda at: len(at.kernel) > 1 and len(set(at.kernel)) == len(set(at.stride)) == 1,
        "every remainder": lambda at: any(axis.remainder == 3 for axis in at.axes),
        "a bias": lambda at: at.bias,
        "no bias": lambda at: not at.bias,
    }
    for name, is_of in kinds.items():
        assert any(map(is_of, found)), name


def test_other_kinds_are_drawn_where_they_are_asked_for():
    asked = ("transposed", "circular", "reflect", "replicate")
    found = drawn(300, kinds=asked)
    assert {layer.padding_mode for layer in found} == {"zeros", *asked[1:]}
    transposed = [layer for layer in found if layer.transposed]
    assert any(any(layer.output_padding) for layer in transposed)
    assert any(layer.groups > 1 for layer in transposed)
    assert {layer.padding_mode for layer in found if any(map(any, layer.padding)) and not layer.transposed} > {
        "reflect"
    }
    assert len(transposed) < 150
    assert not any(layer.transposed or layer.padding_mode != "zeros" for layer in drawn(50))
    with pytest.raises(UsageError, match=r"kinds.*transposed"):
        strategies.layers(kinds=["zeros"])


@pytest.mark.parametrize("edge", EDGES)
def test_every_edge_is_reached(edge):
    layer = find(strategies.layers(axes=[1]), lambda at: at.channels_per_group == edge, settings=settings(database=None,
        max_examples=4000, derandomize=True))  # fmt: skip
    assert layer.channels_per_group == edge


def test_only_what_is_asked_for_is_drawn():
    found = drawn(150, axes=[3], dtypes=["float32"], largest=1000, seed=9)
    assert {(len(at.input), at.dtype, at.seed) for at in found} == {(3, "float32", 9)}
    assert max(at.multiply_adds for at in found) <= 1000


def test_half_of_the_layers_are_near_a_given_one():
    odd = Layer(5, 7, (3, 2), stride=(2, 3), padding=1, input=(9, 8))

    def alike(layer):
        names = ("channels", "filters", "kernel", "stride", "padding", "dilation", "groups", "bias", "input", "batch")
        return sum(getattr(layer, name) == getattr(odd, name) for name in names)

    near = [layer for layer in drawn(near=[odd]) if alike(layer) >= 7]
    assert len(near) > 150
    # Layers unlike it are drawn as well, and a large one is made small.
    assert any(alike(layer) < 4 for layer in drawn(near=[odd]))
    large = Layer(64, 64, 7, stride=2, padding=3, input=(224, 224))
    assert all(layer.multiply_adds <= LARGEST for layer in drawn(100, near=[large]))


def test_arrays_stay_small_too_where_few_products_have_long_ones():
    long = Layer(1, 1, (2, 2), dilation=(10**6, 1), input=(10**6 + 3, 3))
    found = drawn(200, near=[long])
    assert {len(layer.input) for layer in found} == {1, 2, 3}
    for shape in ("input_shape", "weight_shape", "output_shape"):
        assert all(prod(getattr(layer, shape)) <= LARGEST for layer in found)


def test_near_a_thousand_layers_the_words_of_the_strategy_stay_few():
    many = [Layer(1, 1, 1, input=1, name=f"layer number {number}") for number in range(1000)]
    assert len(repr(strategies.layers(near=many))) < 1000


@pytest.mark.parametrize(
    ("fails", "plainest"),
    [
        (lambda at: True, {"channels": 1, "filters": 1, "kernel": (1,), "groups": 1, "batch": 1, "stride": (1,)}),
        (lambda at: max(at.stride) > 1, {"channels": 1, "kernel": (1,), "stride": (2,), "groups": 1}),
        (lambda at: at.groups > 1, {"groups": 2, "kernel": (1,), "batch": 1}),
    ],
)
def test_examples_shrink_to_the_plainest(fails, plainest):
    how = settings(database=None, max_examples=2000, derandomize=True)
    layer = find(strategies.layers(), fails, settings=how)
    assert {name: getattr(layer, name) for name in plainest} == plainest


@pytest.mark.parametrize(
    "options", [{"axes": [4]}, {"axes": []}, {"axes": ["2"]}, {"dtypes": ["int8"]}, {"dtypes": ()}]
)
def test_what_cannot_be_drawn(options):
    with pytest.raises(UsageError, match=f"{next(iter(options))}=.*expected some of"):
        strategies.layers(**options)


def test_it_goes_into_other_strategies():
    pairs = st.tuples(strategies.layers(axes=[1]), st.booleans())
    layer, _ = find(pairs, lambda pair: pair[1], settings=settings(database=None))
    assert isinstance(layer, Layer)
