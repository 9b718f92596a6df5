"""Code is called as each condition says, and what it gives is judged on the data that it was given."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from convcheck import Layer
from convcheck.checks import callings, conditions
from convcheck.checks.ran import LeftOutError
from convcheck.checks.regimes import REGIMES
from convcheck.targets.calling import PLAIN
from tests.one_condition import LAYER
from tests.parts import Scripted, ScriptedRun, changing, expected, raising, right_arrays


class Noting(Scripted):
    """Notes every call that is made of it."""

    def __init__(self, *script):
        super().__init__(*script)
        self.notes = []

    def run(self, layer, operands, how=PLAIN):
        done = NotingRun(self, layer, operands)
        done.number = sum(note[0] == "run" for note in self.notes)
        self.notes.append(("run", done.number, layer, how))
        return done


class NotingRun(ScriptedRun):
    number = 0

    def backward(self, grad_output=None):
        self.of.notes.append(("backward", self.number, self.layer, grad_output is None))
        return super().backward(grad_output)

    def again(self, operands, layer=None, *, new_memory=False):
        done = NotingRun(self.of, layer or self.layer, operands)
        done.number = self.number
        self.of.notes.append(("again", self.number, layer, new_memory))
        return done


def ran(condition, code=None, layer=LAYER):
    code = code or Noting()
    return list(conditions.RUNS[condition].runs(expected(layer, code), code))


def rounding_code():
    code = Noting()
    code.exact = False
    return code


@pytest.mark.parametrize("condition", conditions.RUNS)
@pytest.mark.parametrize("code", [Noting, rounding_code])
@pytest.mark.parametrize("bias", [True, False])
def test_what_right_code_gives_is_right_for_the_data_that_it_was_given(condition, code, bias):
    layer = replace(LAYER, bias=bias)
    if (condition, code) == ("large", rounding_code) or not conditions.RUNS[condition].there(layer):
        return
    found = ran(condition, code(), layer)
    assert found
    for each in found:
        for name, array in right_arrays(each.operands, each.expected.layer).items():
            if name in each.observed.arrays:
                assert np.array_equal(each.observed.arrays[name], array)
        assert set(each.observed.arrays) >= {"output", *each.observed.gradients} - {"bias"}


@pytest.mark.parametrize("condition", [name for name in conditions.RUNS if name not in (*REGIMES, "real")])
def test_no_run_is_on_the_data_of_the_one_before(condition):
    found = ran(condition)
    for one, other in itertools.pairwise(found):
        assert not all(
            np.array_equal(getattr(one.operands, name), getattr(other.operands, name))
            for name in ("x", "weight", "grad_output")
        )


@pytest.mark.parametrize(
    ("condition", "ways"),
    [
        ("not-contiguous", [{"memory": "gaps"}, {"memory": "rows"}]),
        ("transposed-memory", [{"memory": "fortran"}, {"memory": "channels-last"}]),
        ("negative-strides", [{"memory": "reversed"}, {"memory": "reversed-in-part"}]),
        ("broadcast-grad-output", [{"memory": "broadcast", "arguments": ("grad_output",)}] * 2),
        ("read-only", [{"read_only": True}]),
        ("out-of-bounds", [{"around": "nan"}]),
        ("after-no-grad", [{"no_grad": "before"}, {"no_grad": "between"}, {"evaluating": True}]),
        ("threads", [{"threads": "one"}, {"threads": "all"}]),
        (
            "some-gradients",
            [{"gradients": some} for some in (("input",), ("weight",), ("bias",), ("input", "weight"),
                                              ("input", "bias"), ("weight", "bias"))],
        ),
    ],
)  # fmt: skip
def test_it_is_called_in_each_way_once(condition, ways):
    code = Noting()
    found = ran(condition, code)
    assert [each.how.to_dict() for each in found] == ways
    assert [note[3] for note in code.notes if note[0] == "run"] == [each.how for each in found]
    assert all(each.alone for each in found)


def test_two_layers_at_once_only_where_the_code_claims_that_it_may_be():
    code = Noting()
    code.at_once = True
    assert [each.how.to_dict() for each in ran("threads", code)] == [
        {"threads": "one"},
        {"threads": "all"},
        *[{"at_once": True}] * 4,
    ]


def test_gradients_that_code_does_not_give_are_not_asked_for():
    code = Noting()
    code.absent = {"bias": "none"}
    assert [each.how.gradients for each in ran("some-gradients", code)] == [("input",), ("weight",)]


@pytest.mark.parametrize("code", [Noting, rounding_code])
def test_a_broadcast_grad_output_is_one_number_and_then_one_for_each_map(code):
    everywhere, maps = (each.operands.grad_output for each in ran("broadcast-grad-output", code()))
    assert everywhere.any()
    assert (everywhere == everywhere.flat[0]).all()
    assert (maps == maps[:, :, :1, :1]).all()
    assert len(np.unique(maps)) > 2


@pytest.mark.parametrize(("condition", "fields"), [("batch-of-one", {"batch": 1}), ("no-bias", {"bias": False})])
def test_another_layer_differs_in_one_field(condition, fields):
    (each,) = ran(condition)
    assert each.expected.layer == replace(LAYER, **fields)
    assert (each.operands.bias is None) is (condition == "no-bias")
    assert not conditions.RUNS[condition].there(each.expected.layer)
    code = Noting()
    code.unsupported = lambda layer: "not that" if layer != LAYER else None
    with pytest.raises(LeftOutError, match="not that"):
        ran(condition, code)


def test_three_calls_whose_backward_passes_come_in_an_order_of_their_own():
    code = Noting()
    assert len(ran("interleaved", code)) == 3
    assert [note[:2] for note in code.notes] == [
        ("run", 0), ("run", 1), ("run", 2), ("backward", 1), ("backward", 0), ("backward", 2),
    ]  # fmt: skip


class Once(NotingRun):
    def again(self, operands, layer=None, *, new_memory=False):
        raise RuntimeError("once")


def once():
    code = Noting()
    code.run = lambda layer, at, how=PLAIN: Once(code, layer, at)
    return code


def test_one_object_with_other_data_in_the_same_memory():
    code = Noting()
    (each,) = ran("same-memory", code)
    assert [note[0] for note in code.notes] == ["run", "backward", "again", "backward"]
    assert code.notes[2][3] is False
    assert each.operands is each.expected.draws[1]
    with pytest.raises(LeftOutError, match="the target takes one forward pass per object"):
        ran("same-memory", once())
    (broken,) = ran("same-memory", Scripted(changing("output", raising(ValueError("broken")))))
    assert broken.observed.faults


class TestManyCalls:
    def test_are_twelve_of_one_object_now_in_the_same_memory_and_now_in_other(self):
        code = Noting()
        found = ran("many-calls", code)
        assert len(found) == 14
        assert [each.observed.went_on for each in found] == [False, *[True] * 13]
        assert [note[3] for note in code.notes if note[0] == "again"] == [bool(n % 2) for n in range(12)]
        assert {each.regime for each in found} == {*REGIMES, None}
        # Then other weights, and a second backward pass of the same object, for another grad_output.
        for one, other, names in zip(found[-3:], found[-2:], (["weight"], ["grad_output"]), strict=False):
            pairs = {name: (getattr(one.operands, name), array) for name, array in vars(other.operands).items()}
            assert [name for name, arrays in pairs.items() if not np.array_equal(*arrays)] == names
        assert [note[0] for note in code.notes[-3:]] == ["again", "backward", "backward"]
        assert [note[3] for note in code.notes[-2:]] == [True, False]

    def test_of_fewer_regimes_are_as_many(self):
        found = list(callings.many_calls(expected(LAYER, Scripted()), Scripted(), ["sparse"]))
        assert [each.regime for each in found].count(None) == 14 - 5

    def test_of_objects_that_take_one_pass_are_those_of_many_objects(self):
        found = ran("many-calls", once())
        assert len(found) == 14
        assert not any(each.observed.went_on for each in found)

    @pytest.mark.parametrize(("kept", "counts"), [(True, True), (False, False)])
    def test_what_is_kept_counts_and_memory_that_is_used_up_does_not(self, kept, counts):
        class Second(NotingRun):
            first = None

            def backward(self, grad_output=None):
                given = super().backward(grad_output)
                if self.first is None:
                    self.first = given
                    return given
                return self.first if kept else tuple(0 * array for array in given)

            def again(self, operands, layer=None, *, new_memory=False):
                return Second(self.of, layer or self.layer, operands)

        code = Noting()
        code.run = lambda layer, at, how=PLAIN: Second(code, layer, at)
        found = list(callings.many_calls(expected(LAYER, code), code, []))
        assert len(found) == 13 + counts


class TestOtherLayerBefore:
    def test_serves_larger_smaller_and_narrower_layers_and_one_of_the_same_shapes(self):
        code = Noting()
        found = ran("other-layer-before", code)
        served = [note[2] for note in code.notes if note[0] == "run"]
        larger, narrower, smaller, twin, unseen = served
        assert (larger.batch, larger.input, larger.weight_shape) == (4, (9, 9), LAYER.weight_shape)
        assert narrower == replace(LAYER, dtype="float32")
        assert (smaller.channels, smaller.filters, smaller.batch) == (2, 4, 2)
        assert unseen == replace(LAYER, batch=5)
        assert (twin.input_shape, twin.weight_shape, twin.output_shape) == (
            unseen.input_shape, unseen.weight_shape, unseen.output_shape,
        )  # fmt: skip
        assert twin != unseen
        # The layer itself is run on the object that has served the larger one, in memory of its own.
        assert [note[1:] for note in code.notes if note[0] == "again"] == [(0, LAYER, True)]
        assert [each.expected.layer for each in found] == [LAYER, unseen]
        assert not any(each.alone for each in found)

    def test_what_others_raise_or_refuse_is_no_matter(self):
        code = Noting()

        def run(layer, at, how=PLAIN):
            if layer != LAYER:
                raise ValueError("mine alone")
            return Noting.run(code, layer, at, how)

        code.run = run
        assert [each.expected.layer for each in ran("other-layer-before", code)] == [LAYER, LAYER]
        code.unsupported = lambda layer: None if layer == LAYER else "mine alone"
        found = ran("other-layer-before", code)
        assert [each.expected.layer for each in found] == [LAYER, LAYER]
        assert all(not each.observed.faults for each in found)

    def test_under_a_gate_no_other_layer_is_judged(self):
        code = Noting()
        found = list(callings.other_layer_before(expected(LAYER, code, max_error=0.5), code))
        assert [each.expected.layer for each in found] == [LAYER, LAYER]

    @pytest.mark.parametrize(
        "layer",
        [
            LAYER,
            Layer(2, 3, 3, padding=1, input=(5, 5)),
            Layer(2, 3, 1, input=(4, 6)),
            Layer(2, 3, (2, 3, 2), stride=(2, 1, 3), input=(5, 5, 7)),
        ],
    )
    def test_layers_of_the_same_shapes_come_first(self, layer):
        others = list(callings.same_shapes(layer))
        assert others
        assert all(other != layer for other in others)
        assert all((o.input_shape, o.weight_shape) == (layer.input_shape, layer.weight_shape) for o in others)
        same_output = [other.output_shape == layer.output_shape for other in others]
        assert same_output == sorted(same_output, reverse=True)
        assert len({(o.stride, o.padding, o.dilation) for o in others}) == len(others)
