"""What some layers have in common and others have not: said only where it tells all of them apart."""

from __future__ import annotations

import pytest

from convcheck.layer.fields import COMPLEX
from convcheck.layer.layer import Layer
from convcheck.layer.properties import PROPERTIES, in_common


def layer(**changes):
    return Layer(**{"channels": 2, "filters": 3, "kernel": 3, "input": [7, 7], "batch": 2} | changes)


PLAIN, STRIDED = layer(), layer(stride=2)


def said(some, others):
    return in_common(some, others, ("failing", "passing"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stride": 2}, "a stride above 1"),
        ({"padding": 1}, "padding"),
        ({"dilation": 2}, "dilation"),
        ({"kernel": [3, 5]}, "a kernel that is not square"),
        ({"input": [7, 9]}, "an input that is not square"),
        ({"batch": 1}, "a batch of 1"),
        ({"bias": False}, "no bias"),
        ({"dtype": "float32"}, "the dtype float32"),
    ],
)
def test_one_property(changes, words):
    assert said([layer(**changes), layer(**changes, filters=5)], [PLAIN, layer(filters=5, kernel=5)]) == (
        f"both failing layers have {words}; the 2 passing ones do not"
    )


def test_no_padding_is_said_once():
    assert said([PLAIN, layer(filters=5)], [layer(padding=1), layer(padding=1, kernel=5, filters=5)]) == (
        "both failing layers have no padding; the 2 passing ones do not"
    )


def test_a_property_that_one_passing_layer_has_too_is_not_said():
    assert said([STRIDED, STRIDED], [PLAIN, PLAIN])
    assert said([STRIDED, STRIDED], [PLAIN, STRIDED]) is None


def test_a_property_that_one_failing_layer_lacks_is_not_said():
    assert said([STRIDED, PLAIN], [PLAIN, PLAIN]) is None


def test_two_properties_together():
    both = layer(stride=2, dilation=2)
    assert said([both, both], [STRIDED, layer(dilation=2), PLAIN]) == (
        "both failing layers have both a stride above 1 and dilation; the 3 passing ones have at most one of these"
    )


def test_two_properties_each_of_which_is_enough():
    both = layer(stride=2, dilation=2)
    assert said([both, both], [PLAIN]) == (
        "both failing layers have a stride above 1, and dilation; the only passing one has neither"
    )


def test_one_layer_that_fails_needs_two_that_pass():
    assert said([STRIDED], [PLAIN, PLAIN]) == ("the only failing layer has a stride above 1; the 2 passing ones do not")
    assert said([STRIDED], [PLAIN]) is None


def test_where_nothing_passed_or_failed_nothing_is_said():
    assert said([STRIDED] * 5, []) is None
    assert said([], [PLAIN] * 5) is None


def test_what_differs_in_everything_tells_nothing():
    other = layer(stride=2, dilation=2, padding=[[1, 0], [0, 2]], kernel=[2, 3], input=[9, 11], batch=1, bias=False)
    assert said([other, other], [PLAIN, PLAIN]) is None


def test_every_property_is_had_and_lacked_by_some_layer():
    layers = [
        PLAIN,
        layer(stride=2, input=[8, 8], padding=[[1, 0], [0, 2]], batch=1, bias=False, dtype="float32"),
        layer(channels=16, filters=16, padding="same"),
        layer(channels=4, filters=4, groups=4, dilation=2, kernel=[2, 3], input=[9, 10]),
        layer(channels=1, filters=1, kernel=1, stride=2, input=[5]),
        layer(channels=16, filters=32, padding=1, dtype="float16"),
        layer(channels=16, filters=32, padding=1, dtype="bfloat16"),
        *(layer(dtype=dtype) for dtype in COMPLEX),
        layer(channels=1, filters=1, kernel=[1, 2, 3], input=[3, 4, 5]),
        layer(transposed=True, stride=2, output_padding=1),
        *(layer(padding=1, padding_mode=mode) for mode in ("circular", "reflect", "replicate")),
    ]
    for name, one in PROPERTIES.items():
        assert {one.of(each) for each in layers} == {True, False}, name
