"""Layer: what it resolves to, what it refuses and in which words."""

from __future__ import annotations

import dataclasses
import json
from math import prod

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from convcheck.errors import ConvcheckError, LayerError
from convcheck.layer.fields import DTYPES, FIELDS
from convcheck.layer.layer import Layer
from convcheck.wording import at

PADDING = ("integer of at least 0", "per axis", "[before, after]", '"valid" or "same"')


def make(**changes):
    """Return a small layer with some fields changed."""
    return Layer(**{"channels": 2, "filters": 4, "kernel": 3, **changes})


def message(**changes):
    """Return what the layer with these fields is refused with."""
    with pytest.raises(LayerError) as caught:
        make(**changes)
    return str(caught.value)


@st.composite
def specs(draw):
    """Draw the fields of layers that can exist, of every kind."""
    rank = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))

    def per_axis(entry):
        return draw(st.lists(entry, min_size=rank, max_size=rank))

    amounts = st.integers(0, 4)
    return {
        "name": draw(st.sampled_from(["conv1", "layer1.0.conv2", "3×3"])),
        "channels": groups * draw(st.integers(1, 3)),
        "filters": groups * draw(st.integers(1, 3)),
        "kernel": per_axis(st.integers(1, 4)),
        "stride": per_axis(st.integers(1, 4)),
        "dilation": per_axis(st.integers(1, 3)),
        "padding": draw(st.sampled_from(["same", "valid"]))
        if draw(st.booleans())
        else per_axis(st.tuples(amounts, amounts)),
        "groups": groups,
        "bias": draw(st.booleans()),
        "batch": draw(st.integers(1, 3)),
        "dtype": draw(st.sampled_from(["float64", "float32"])),
        "seed": draw(st.integers(0, 9)),
    }


class TestResolution:
    def test_only_three_fields_are_required(self):
        layer = Layer(channels=2, filters=4, kernel=3)
        assert layer.spec() == {
            "name": "layer",
            "channels": 2,
            "filters": 4,
            "kernel": [3, 3],
            "stride": [1, 1],
            "padding": [[0, 0], [0, 0]],
            "dilation": [1, 1],
            "groups": 1,
            "bias": True,
            "input": [6, 7],
            "batch": 2,
            "dtype": "float64",
            "accumulate": None,
            "padding_mode": "zeros",
            "transposed": False,
            "output_padding": [0, 0],
            "seed": 0,
        }
        with pytest.raises(TypeError):
            Layer(channels=2, filters=4)

    def test_one_number_stands_for_every_axis(self):
        layer = make(kernel=3, stride=2, dilation=2, padding=1, input=(9, 11, 13))
        assert layer.kernel == (3, 3, 3)
        assert layer.stride == (2, 2, 2)
        assert layer.dilation == (2, 2, 2)
        assert layer.padding == ((1, 1), (1, 1), (1, 1))

    def test_one_number_per_axis(self):
        layer = make(kernel=[3, 5], stride=(2, 1), dilation=[1, 2], input=[9, 11])
        assert (layer.kernel, layer.stride, layer.dilation, layer.input) == ((3, 5), (2, 1), (1, 2), (9, 11))

    @pytest.mark.parametrize(
        ("padding", "expected"),
        [
            (2, ((2, 2), (2, 2))),
            ([1, 2], ((1, 1), (2, 2))),
            ([[1, 2], [0, 3]], ((1, 2), (0, 3))),
            ([1, (0, 3)], ((1, 1), (0, 3))),
            ("valid", ((0, 0), (0, 0))),
        ],
    )
    def test_padding(self, padding, expected):
        assert make(padding=padding, input=[9, 11]).padding == expected

    def test_padding_of_one_axis_is_a_list_of_one_pair(self):
        assert make(padding=[[1, 2]], input=9).padding == ((1, 2),)

    def test_same_padding(self):
        # Heights: 7×7 at stride 2 on 224. Widths: dilated, spans 5, stride 1.
        layer = make(kernel=[7, 3], stride=[2, 1], dilation=[1, 2], padding="same", input=[224, 10])
        assert layer.padding == ((2, 3), (2, 2))
        assert layer.output == (112, 10)

    def test_same_padding_knows_the_dilation(self):
        assert make(kernel=3, dilation=3, padding="same", input=10).padding != make(padding="same", input=10).padding

    @pytest.mark.parametrize(
        ("fields", "rank"),
        [
            ({"kernel": 3}, 2),
            ({"kernel": 3, "input": 9}, 1),
            ({"kernel": 3, "input": [9]}, 1),
            ({"kernel": [3, 3, 3]}, 3),
            ({"kernel": [3, 3], "input": 9}, 2),
            ({"kernel": 3, "stride": [2]}, 1),
            ({"kernel": 3, "dilation": [2, 1, 1]}, 3),
            ({"kernel": 3, "padding": [[0, 2]]}, 1),
        ],
    )
    def test_number_of_axes(self, fields, rank):
        layer = make(**fields)
        assert len(layer.axes) == rank
        assert {len(value) for value in (layer.kernel, layer.stride, layer.dilation, layer.padding)} == {rank}

    @given(specs())
    def test_default_input_differs_on_every_axis_and_leaves_the_largest_remainder(self, fields):
        layer = Layer(**fields)
        assert len(set(layer.input)) == len(layer.input)
        if fields["padding"] == "same":
            return
        # As long as the input is not made larger only so that padding does not outweigh it.
        assume(all(sum(p) <= a.effective_kernel + a.stride - 4 for p, a in zip(layer.padding, layer.axes, strict=True)))
        assert tuple(axis.remainder for axis in layer.axes) == tuple(s - 1 for s in layer.stride)

    @pytest.mark.parametrize(
        ("fields", "size"),
        [
            ({"kernel": 3}, (6, 7)),
            ({"kernel": [4, 3]}, (7, 6)),
            ({"kernel": [3, 3, 3], "stride": 2}, (10, 12, 14)),
            ({"kernel": 3, "padding": [1, 100]}, (4, 3)),
            ({"kernel": 3, "padding": "same", "stride": [4, 3]}, (13, 10)),
        ],
    )
    def test_default_input(self, fields, size):
        assert make(**fields).input == size

    @given(specs())
    def test_default_input_always_gives_a_layer(self, fields):
        layer = Layer(**fields)
        assert all(size >= 3 for size in layer.input)
        assert all(size >= 4 for size in layer.output)

    @pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), "float32"])
    def test_numpy_dtypes_become_their_names(self, dtype):
        assert make(dtype=dtype).dtype == "float32"

    def test_numpy_integers_become_plain_ones(self):
        layer = Layer(
            channels=np.int64(2),
            filters=np.uint8(4),
            kernel=np.array([3, 5]),
            stride=np.array(2),
            padding=np.array([[0, 1], [2, 0]]),
            dilation=(np.int32(1), np.int16(2)),
            bias=np.bool_(False),
            input=(np.int32(9), 11),
        )
        assert layer == make(
            kernel=[3, 5], stride=2, padding=[[0, 1], [2, 0]], dilation=[1, 2], bias=False, input=[9, 11]
        )
        assert json.loads(json.dumps(layer.spec())) == layer.spec()
        assert {type(entry) for entry in (layer.channels, layer.filters, *layer.kernel, *layer.padding[1])} == {int}

    def test_shapes(self):
        layer = Layer(6, 4, kernel=[3, 2], stride=[2, 1], padding=[[0, 1], 0], groups=2, input=[9, 5], batch=3)
        assert layer.input_shape == (3, 6, 9, 5)
        assert layer.weight_shape == (4, 3, 3, 2)
        assert layer.bias_shape == (4,)
        assert layer.output_shape == (3, 4, 4, 4)
        assert (layer.channels_per_group, layer.filters_per_group) == (3, 2)
        # Per output: 3 channels of its group, 3×2 taps.
        assert layer.multiply_adds == 3 * 4 * 4 * 4 * 18

    def test_multiply_adds_of_a_depthwise_layer(self):
        dense, depthwise = make(channels=4), make(channels=4, groups=4)
        assert dense.multiply_adds == 4 * depthwise.multiply_adds


class TestKinds:
    @pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
    @pytest.mark.parametrize("padding", ["same", 0, 1, [[3, 5], [2, 0]]])
    def test_default_sizes_are_large_enough_for_every_mode(self, mode, padding):
        layer = Layer(2, 3, (3, 5), stride=2, dilation=(2, 1), padding=padding, padding_mode=mode)
        assert len(set(layer.input)) == 2
        assert min(layer.output) >= 4 or padding == "same"

    @pytest.mark.parametrize("padding", ["same", 0, 1, 7, [[3, 5], [2, 0]]])
    def test_default_sizes_of_transposed_layers(self, padding):
        layer = Layer(2, 3, (3, 5), stride=2, padding=padding, transposed=True)
        assert len(set(layer.input)) == 2
        assert min(*layer.input, *layer.output) >= 4

    def test_shapes_of_a_transposed_layer(self):
        layer = Layer(4, 6, (3, 2), stride=2, groups=2, input=(5, 7), batch=3, transposed=True, output_padding=(0, 1))
        assert layer.weight_shape == (4, 3, 3, 2)
        assert layer.bias_shape == (6,)
        assert layer.output_shape == (3, 6, 11, 15)
        # For every sample and group: each of 35 windows hands 3 filters' worth of 6 taps 2 channels.
        assert layer.multiply_adds == 3 * 2 * 35 * 3 * 6 * 2

    def test_the_longest_sums(self):
        plain = Layer(4, 6, 3, padding=1, groups=2, input=(5, 7), batch=3)
        assert (plain.output_terms, plain.input_terms, plain.weight_terms) == (2 * 9, 3 * 9, 3 * 35)
        # Along each axis, the first sample stands at three padded positions, which 1, 2 and 3 windows read.
        repeated = Layer(1, 1, 3, padding=2, input=(5, 7), padding_mode="replicate")
        assert repeated.input_terms == 6 * 6
        transposed = Layer(4, 6, 3, stride=2, groups=2, input=(5, 7), batch=3, transposed=True)
        # Of 3 taps at stride 2, an output meets 2 at most; every sample reaches all.
        assert (transposed.output_terms, transposed.input_terms) == (2 * 4, 3 * 9)
        assert transposed.weight_terms == 3 * 35

    @pytest.mark.parametrize("transposed", [False, True])
    def test_a_layer_alike_knows_nothing_of_the_old_sizes(self, transposed):
        layer = Layer(4, 6, 3, stride=2, groups=2, input=(5, 7), batch=3, transposed=transposed)
        for warm in (False, True):
            if warm:
                _ = layer.output_terms, layer.input_terms, layer.weight_terms, transposed and layer.twin
            more = layer.alike(channels=8, filters=12, groups=4, batch=2)
            assert more == Layer(8, 12, 3, stride=2, groups=4, input=(5, 7), batch=2, transposed=transposed)
            assert more.weight_terms == layer.weight_terms // 3 * 2
            if transposed:
                assert more.twin.weight_shape == more.weight_shape
                assert more.twin.batch == 2


class TestRoundTrips:
    @given(specs())
    def test_spec(self, fields):
        layer = Layer(**fields)
        spec = layer.spec()
        assert list(spec) == list(FIELDS)
        assert Layer(**json.loads(json.dumps(spec))) == layer

    @given(specs())
    def test_replace(self, fields):
        layer = Layer(**fields)
        assert dataclasses.replace(layer) == layer
        assert dataclasses.replace(layer, seed=7, batch=5) == Layer(**{**layer.spec(), "seed": 7, "batch": 5})
        assert dataclasses.replace(layer, batch=layer.batch + 1) != layer

    def test_replace_checks_what_it_makes(self):
        with pytest.raises(LayerError, match=r"^groups: 3 is not allowed"):
            dataclasses.replace(make(), groups=3)

    def test_replace_recomputes_the_axes(self):
        layer = make(input=[9, 11])
        assert layer.output == (7, 9)
        assert dataclasses.replace(layer, stride=(2, 3)).output == (4, 3)

    def test_equal_layers_hash_alike(self):
        assert len({make(), make(kernel=[3, 3]), make(stride=2)}) == 2

    def test_layers_do_not_change(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            make().batch = 3


# A wrong field, where the message says it is, what it repeats of what was given, and key words of what is allowed.
REFUSED = [
    # Integers: too small, floats, booleans, nothing, texts.
    ({"channels": 0}, "channels", "0", "positive integer"),
    ({"channels": -3}, "channels", "-3", "positive integer"),
    ({"filters": 4.0}, "filters", "4.0 (a float)", "positive integer"),
    ({"filters": np.float32(0.5)}, "filters", "0.5 (a float)", "positive integer"),
    ({"groups": True}, "groups", "true (a boolean)", "positive integer"),
    ({"batch": None}, "batch", "nothing (null)", "positive integer"),
    ({"batch": "2"}, "batch", '"2" (a text)', "positive integer"),
    ({"batch": [2]}, "batch", "[2]", "positive integer"),
    ({"batch": float("nan")}, "batch", "nan (a float)", "positive integer"),
    ({"seed": -1}, "seed", "-1", "at least 0"),
    ({"channels": {"a": 1}}, "channels", "a mapping", "positive integer"),
    ({"batch": list(range(40))}, "batch", f"{str(list(range(40)))[:77]}...", "positive integer"),
    # The other fields of one value.
    ({"name": ""}, "name", '"" (a text)', "printable"),
    ({"name": " "}, "name", '" " (a text)', "printable"),
    ({"name": 5}, "name", "5", "text"),
    ({"name": None}, "name", "nothing (null)", "text"),
    ({"bias": 1}, "bias", "1", "true", "false"),
    ({"bias": "yes"}, "bias", '"yes" (a text)', "true", "false"),
    ({"dtype": "float8"}, "dtype", '"float8" (a text)', *DTYPES),
    ({"accumulate": "float64"}, "accumulate", '"float64" (a text)', "float32 or float16 or bfloat16"),
    ({"dtype": None}, "dtype", "nothing (null)", *DTYPES),
    # The number of axes.
    ({"kernel": [3] * 4}, "kernel", "[3, 3, 3, 3]", "4 entries", "1 to 3 axes"),
    ({"input": []}, "input", "[]", "0 entries", "1 to 3 axes"),
    ({"kernel": (3, 3), "input": [9, 9, 9]}, "kernel", "[3, 3]", "2 entries", "3 of them", "as input"),
    ({"kernel": [3, 3], "stride": [1, 2, 1]}, "stride", "[1, 2, 1]", "3 entries", "2 of them", "as kernel"),
    ({"stride": [2], "dilation": [1, 1]}, "dilation", "[1, 1]", "2 entries", "1 of them", "as stride"),
    # One per axis: the message names the entry.
    ({"kernel": 0}, "kernel", "0", "positive integer"),
    ({"kernel": [3, 0]}, "kernel[1]", "0", "positive integer"),
    ({"stride": [1.5, 2]}, "stride[0]", "1.5 (a float)", "positive integer"),
    ({"dilation": [2, None]}, "dilation[1]", "nothing (null)", "positive integer"),
    ({"input": [9, -9]}, "input[1]", "-9", "positive integer"),
    ({"input": "9"}, "input", '"9" (a text)', "positive integer"),
    ({"kernel": None}, "kernel", "nothing (null)", "positive integer"),
    # Padding.
    ({"padding": -1}, "padding", "-1", *PADDING),
    ({"padding": "SAME"}, "padding", '"SAME" (a text)', *PADDING),
    ({"padding": 0.5}, "padding", "0.5 (a float)", *PADDING),
    ({"padding": False}, "padding", "false (a boolean)", *PADDING),
    ({"padding": None}, "padding", "nothing (null)", *PADDING),
    ({"padding": [1, -1]}, "padding[1]", "-1", "at least 0"),
    ({"padding": [0, "same"]}, "padding[1]", '"same" (a text)', "at least 0"),
    ({"padding": [[0, -1], 0]}, "padding[0][1]", "-1", "at least 0"),
    ({"padding": [0, [1, 2, 3]]}, "padding[1]", "[1, 2, 3]", "3 entries", "[before, after]"),
    ({"padding": [[], 0]}, "padding[0]", "[]", "0 entries", "[before, after]"),
    ({"padding": [1, 2, 3], "input": [9, 9]}, "padding", "[1, 2, 3]", "3 entries", "2 in all", "[before, after]"),
    ({"padding": [1, 2], "input": [9]}, "padding", "[1, 2]", "2 entries", "1 in all", "write [[1, 2]]"),
    # Layers that cannot exist.
    ({"channels": 3, "groups": 2}, "groups", "2", "divides channels and filters", "channels is 3"),
    ({"filters": 3, "groups": 2}, "groups", "2", "divides channels and filters", "filters is 3"),
    (
        {"kernel": [2, 5], "input": [9, 3], "padding": [0, [1, 0]]},
        "kernel[1]", "5", "larger than the padded input of axis 1", "4 (input 3, padding 1 + 0)", "smaller kernel",
    ),
    (
        {"kernel": 10, "input": [9, 30]},
        "kernel", "10", "larger than the padded input of axis 0", "9 (input 9, padding 0 + 0)", "larger input",
    ),
    (
        {"kernel": 3, "dilation": 4, "input": [8, 9]},
        "kernel", "3", "spans 9 samples with dilation 4", "axis 0", "8 (input 8, padding 0 + 0)", "smaller kernel",
    ),
    # Kinds of layer: what a mode does not have, what is of transposed layers alone, and what leaves no output.
    ({"padding_mode": "same"}, "padding_mode", '"same" (a text)', "zeros", "circular", "reflect", "replicate"),
    ({"transposed": 1}, "transposed", "1", "true", "false"),
    (
        {"padding_mode": "reflect", "padding": [0, 3], "input": [9, 3]},
        "padding[1]", "3", "reflect", "axis 1, 3", "at most 2", "larger input",
    ),
    ({"padding_mode": "circular", "padding": 4, "input": [9, 3]}, "padding", "4", "circular", "axis 1, 3", "at most 3"),
    ({"padding_mode": "circular", "transposed": True}, "padding_mode", '"circular" (a text)', "transposed", "zeros"),
    ({"output_padding": [0, 1]}, "output_padding[1]", "1", "not transposed", "expected 0"),
    (
        {"transposed": True, "stride": [2, 1], "output_padding": [1, 1]},
        "output_padding[1]", "1", "stride 1 and dilation 1", "at most 0",
    ),
    (
        {"transposed": True, "padding": 4, "input": [9, 5], "kernel": 3, "stride": 1},
        "padding", "4 + 4", "all 7 outputs of axis 1", "less padding", "larger input",
    ),
    (
        {"transposed": True, "padding": "same", "kernel": [3, 1], "stride": 2},
        "padding", '"same"', "input * stride outputs", "axis 1 has 1 less", "1 more of output_padding",
    ),
]  # fmt: skip


class TestRefusals:
    @pytest.mark.parametrize("case", REFUSED)
    def test_what_is_wrong_is_said(self, case):
        fields, where, given, *words = case
        with pytest.raises(LayerError) as caught:
            make(**fields)
        (problem,) = caught.value.problems
        assert at(problem.path) == where
        assert str(caught.value).startswith(f"{where}: {given}")
        assert all(word in problem.message for word in words)

    def test_a_dilated_kernel_that_only_just_fits(self):
        assert make(kernel=3, dilation=4, input=[9, 9]).output == (1, 1)

    def test_names_that_would_break_a_line(self):
        assert message(name="conv\n1").startswith("name: ")
        assert message(name="\x1b[31mred").startswith("name: ")

    def test_every_axis_that_does_not_fit_is_named(self):
        with pytest.raises(LayerError) as caught:
            make(kernel=[5, 2, 7], input=[4, 4, 4])
        assert [problem.path for problem in caught.value.problems] == [("kernel", 0), ("kernel", 2)]

    def test_all_problems_at_once(self):
        with pytest.raises(LayerError) as caught:
            make(
                name="", channels=0, filters=0, kernel=[0, 3], stride=0, padding=-1, dilation=0, groups=0, bias=0,
                input=[0, 9], batch=0, dtype=0, accumulate=0, padding_mode=0, transposed=0, output_padding=-1, seed=-1,
            )  # fmt: skip
        paths = {problem.path for problem in caught.value.problems}
        assert paths == {("kernel", 0), ("input", 0)} | {
            (field,) for field in FIELDS if field not in ("kernel", "input")
        }
        assert len(caught.value.problems) == len(FIELDS)

    def test_both_sides_of_groups_are_reported(self):
        assert message(channels=3, filters=5, groups=2).count("groups: 2 is not allowed") == 2

    def test_one_family_of_errors(self):
        with pytest.raises(ConvcheckError):
            make(channels=0)
        with pytest.raises(ValueError, match="channels"):
            make(channels=0)

    @pytest.mark.parametrize(
        "fields",
        [
            {"channels": 1, "filters": 1, "kernel": 1, "input": 1, "batch": 1},
            {"kernel": 3, "input": [3, 3]},
            {"kernel": 3, "input": [1, 1], "padding": 1},
            {"kernel": [5, 2], "input": [1, 1], "padding": [[0, 4], [1, 0]]},
            {"channels": 4, "groups": 4},
            {"stride": 100},
            {"seed": 0},
            {"padding": 100, "input": [1, 1]},
            {"padding": 100, "input": [1, 1], "padding_mode": "replicate"},
            {"padding": 2, "input": [3, 4], "padding_mode": "reflect"},
            {"padding": 3, "input": [3, 4], "padding_mode": "circular"},
            {"padding": 1, "input": [1, 1], "transposed": True},
            {"output_padding": 1, "dilation": 2, "transposed": True},
            {"padding": "same", "stride": 2, "kernel": 1, "output_padding": 1, "transposed": True},
        ],
    )
    def test_what_only_just_fits_is_accepted(self, fields):
        assert prod(make(**fields).output) >= 1


@pytest.mark.parametrize("transposed", [False, True])
def test_a_slice_of_w_stands_between_a_channel_and_a_filter_of_its_group(transposed):
    layer = Layer(4, 6, 2, groups=2, input=[4, 4], transposed=transposed)
    slices = {place: layer.ends_of_slice(*place) for place in np.ndindex(*layer.weight_shape[:2])}
    assert set(slices.values()) == {(c, f) for c in range(4) for f in range(6) if c // 2 == f // 3}
    assert all(layer.slice_between(*ends) == place for place, ends in slices.items())


@pytest.mark.parametrize("mode", [{}, {"padding_mode": "circular"}, {"transposed": True, "stride": 2}])
def test_what_was_computed_from_the_fields_can_be_given_back(mode):
    layer = Layer(2, 3, 3, padding=1, input=[30], **mode)
    like = layer.alike(name="other")
    (axis,) = layer.axes
    tables = [axis.colors, axis.source, layer.output, axis.windows]
    kept = {value.nbytes for value in vars(axis).values() if isinstance(value, np.ndarray)}
    assert {axis.colors.nbytes, axis.source.nbytes} <= kept
    layer.forget()
    assert vars(layer).keys() == FIELDS.keys()
    # A layer that shares the axis has given back its tables too.
    assert vars(axis).keys() == {field.name for field in dataclasses.fields(axis)}
    for of in (layer, like):
        again = [of.axes[0].colors, of.axes[0].source, of.output, of.axes[0].windows]
        assert all(np.array_equal(one, other) for one, other in zip(tables, again, strict=True))
