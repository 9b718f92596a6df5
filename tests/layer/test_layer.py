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
from convcheck.layer.layer import FIELDS, Layer

POSITIVE = "expected a positive integer"
AT_LEAST_0 = "expected an integer of at least 0"
PADDING = 'expected an integer of at least 0, one per axis, [before, after] per axis, "valid" or "same"'


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


class TestRoundTrips:
    @given(specs())
    def test_spec(self, fields):
        layer = Layer(**fields)
        spec = layer.spec()
        assert tuple(spec) == FIELDS
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


REFUSED = [
    # Integers: too small, floats, booleans, nothing, texts.
    ({"channels": 0}, f"channels: 0 is not allowed; {POSITIVE}"),
    ({"channels": -3}, f"channels: -3 is not allowed; {POSITIVE}"),
    ({"filters": 4.0}, f"filters: 4.0 (a float) is not allowed; {POSITIVE}"),
    ({"filters": np.float32(0.5)}, f"filters: 0.5 (a float) is not allowed; {POSITIVE}"),
    ({"groups": True}, f"groups: true (a boolean) is not allowed; {POSITIVE}"),
    ({"batch": None}, f"batch: nothing (null) is not allowed; {POSITIVE}"),
    ({"batch": "2"}, f'batch: "2" (a text) is not allowed; {POSITIVE}'),
    ({"batch": [2]}, f"batch: [2] is not allowed; {POSITIVE}"),
    ({"batch": float("nan")}, f"batch: nan (a float) is not allowed; {POSITIVE}"),
    ({"seed": -1}, f"seed: -1 is not allowed; {AT_LEAST_0}"),
    ({"channels": {"a": 1}}, f"channels: {{'a': 1}} is not allowed; {POSITIVE}"),
    ({"batch": list(range(40))}, f"batch: {str(list(range(40)))[:77]}... is not allowed; {POSITIVE}"),
    # The other fields of one value.
    ({"name": ""}, 'name: "" (a text) is not allowed; expected a text of printable characters'),
    ({"name": " "}, 'name: " " (a text) is not allowed; expected a text of printable characters'),
    ({"name": 5}, "name: 5 is not allowed; expected a text of printable characters"),
    ({"name": None}, "name: nothing (null) is not allowed; expected a text of printable characters"),
    ({"bias": 1}, "bias: 1 is not allowed; expected true or false"),
    ({"bias": "yes"}, 'bias: "yes" (a text) is not allowed; expected true or false'),
    ({"dtype": "float16"}, 'dtype: "float16" (a text) is not allowed; expected float64 or float32'),
    ({"dtype": None}, "dtype: nothing (null) is not allowed; expected float64 or float32"),
    # The number of axes.
    ({"kernel": [3] * 4}, "kernel: [3, 3, 3, 3] has 4 entries; expected one per axis, 1 to 3 axes"),
    ({"input": []}, "input: [] has 0 entries; expected one per axis, 1 to 3 axes"),
    (
        {"kernel": (3, 3), "input": [9, 9, 9]},
        "kernel: [3, 3] has 2 entries; expected an integer, or 3 of them: one per axis, as many as input has",
    ),
    (
        {"kernel": [3, 3], "stride": [1, 2, 1]},
        "stride: [1, 2, 1] has 3 entries; expected an integer, or 2 of them: one per axis, as many as kernel has",
    ),
    (
        {"stride": [2], "dilation": [1, 1]},
        "dilation: [1, 1] has 2 entries; expected an integer, or 1 of them: one per axis, as many as stride has",
    ),
    # One per axis: the message names the entry.
    ({"kernel": 0}, f"kernel: 0 is not allowed; {POSITIVE}"),
    ({"kernel": [3, 0]}, f"kernel[1]: 0 is not allowed; {POSITIVE}"),
    ({"stride": [1.5, 2]}, f"stride[0]: 1.5 (a float) is not allowed; {POSITIVE}"),
    ({"dilation": [2, None]}, f"dilation[1]: nothing (null) is not allowed; {POSITIVE}"),
    ({"input": [9, -9]}, f"input[1]: -9 is not allowed; {POSITIVE}"),
    ({"input": "9"}, f'input: "9" (a text) is not allowed; {POSITIVE}'),
    ({"kernel": None}, f"kernel: nothing (null) is not allowed; {POSITIVE}"),
    # Padding.
    ({"padding": -1}, f"padding: -1 is not allowed; {PADDING}"),
    ({"padding": "SAME"}, f'padding: "SAME" (a text) is not allowed; {PADDING}'),
    ({"padding": 0.5}, f"padding: 0.5 (a float) is not allowed; {PADDING}"),
    ({"padding": False}, f"padding: false (a boolean) is not allowed; {PADDING}"),
    ({"padding": None}, f"padding: nothing (null) is not allowed; {PADDING}"),
    ({"padding": [1, -1]}, f"padding[1]: -1 is not allowed; {AT_LEAST_0}"),
    ({"padding": [0, "same"]}, f'padding[1]: "same" (a text) is not allowed; {AT_LEAST_0}'),
    ({"padding": [[0, -1], 0]}, f"padding[0][1]: -1 is not allowed; {AT_LEAST_0}"),
    ({"padding": [0, [1, 2, 3]]}, "padding[1]: [1, 2, 3] has 3 entries; expected [before, after]"),
    ({"padding": [[], 0]}, "padding[0]: [] has 0 entries; expected [before, after]"),
    (
        {"padding": [1, 2, 3], "input": [9, 9]},
        "padding: [1, 2, 3] has 3 entries; expected one entry per axis, 2 in all: an integer or [before, after]",
    ),
    (
        {"padding": [1, 2], "input": [9]},
        "padding: [1, 2] has 2 entries; expected one entry per axis, 1 in all: an integer or [before, after]; "
        "for one axis write [[1, 2]]",
    ),
    # Layers that cannot exist.
    (
        {"channels": 3, "groups": 2},
        "groups: 2 is not allowed; expected a number that divides channels and filters; channels is 3",
    ),
    (
        {"filters": 3, "groups": 2},
        "groups: 2 is not allowed; expected a number that divides channels and filters; filters is 3",
    ),
    (
        {"kernel": [2, 5], "input": [9, 3], "padding": [0, [1, 0]]},
        "kernel[1]: 5 is larger than the padded input of axis 1, 4 (input 3, padding 1 + 0), so there is no output; "
        "expected a smaller kernel or dilation, or a larger input or padding",
    ),
    (
        {"kernel": 10, "input": [9, 30]},
        "kernel: 10 is larger than the padded input of axis 0, 9 (input 9, padding 0 + 0), so there is no output; "
        "expected a smaller kernel or dilation, or a larger input or padding",
    ),
]


class TestRefusals:
    @pytest.mark.parametrize(("fields", "expected"), REFUSED)
    def test_message(self, fields, expected):
        assert message(**fields) == expected

    def test_dilated_kernel_that_does_not_fit(self):
        assert message(kernel=3, dilation=4, input=[8, 9]) == (
            "kernel: 3, which spans 9 samples with dilation 4, is larger than the padded input of axis 0, 8 (input 8, "
            "padding 0 + 0), so there is no output; expected a smaller kernel or dilation, or a larger input or padding"
        )
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
                input=[0, 9], batch=0, dtype=0, seed=-1,
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

    @pytest.mark.parametrize(("fields", "expected"), REFUSED)
    def test_the_message_starts_with_the_path_of_its_problem(self, fields, expected):
        with pytest.raises(LayerError) as caught:
            make(**fields)
        (problem,) = caught.value.problems
        key, *positions = problem.path
        assert expected.startswith(key + "".join(f"[{position}]" for position in positions) + ": ")
        assert key in fields

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
        ],
    )
    def test_what_only_just_fits_is_accepted(self, fields):
        assert prod(make(**fields).output) >= 1
