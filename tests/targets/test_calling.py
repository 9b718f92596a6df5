"""How a pass is called: each argument lies in memory as asked for, and what is written around it is found."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcheck import Layer
from convcheck.layer.data import integer_operands
from convcheck.targets.calling import ARGUMENTS, AROUND, MEMORIES, PLAIN, How
from convcheck.targets.placement import placed
from tests.parts import right_arrays, target
from tests.targets_for_tests import Right

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3)
AT = integer_operands(LAYER)
HOWS = [
    *(How(memory, around=around, read_only=bool(around)) for memory in MEMORIES for around in ("", "nan", "zeros")),
    How(threads="one"),
    How(threads="all"),
    How(at_once=True),
]


def seen(of):
    return {"output": np.asarray(of.output), **dict(zip(("input", "weight", "bias"), of.backward(), strict=True))}


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
    st.sampled_from(MEMORIES),
    st.sampled_from(("", "nan", "zeros")),
)
def test_an_array_in_larger_memory_holds_the_same_and_nan_or_zeros_lie_around_it(shape, memory, around):
    array = np.arange(1.0, np.prod(shape) + 1).reshape(shape)
    where = placed(array, memory, around=around)
    assert np.array_equal(where.view(), array)
    is_around = where.base == 0 if around == "zeros" else np.isnan(where.base)
    assert np.count_nonzero(~is_around) == array.size
    assert not where.spilled()
    outside = np.flatnonzero(is_around)
    assert outside.size or not around
    if outside.size:
        where.base[outside[-1]] = 7
        assert where.spilled()


def test_every_arrangement_is_what_it_says():
    array = np.arange(24.0).reshape(2, 3, 4)
    strides = {memory: placed(array, memory).strides for memory in MEMORIES}
    assert strides == {
        "plain": (12, 4, 1), "gaps": (24, 8, 2), "rows": (21, 7, 1), "fortran": (1, 2, 6), "channels-last": (12, 1, 3),
        "reversed": (-12, -4, -1), "reversed-first": (-12, 4, 1), "reversed-last": (12, 4, -1), "broadcast": (12, 4, 1),
    }  # fmt: skip
    assert placed(np.ones((2, 3, 4)), "broadcast").strides == (0, 0, 0)
    assert placed(np.ones((2, 3, 4)) * np.arange(3.0)[:, None], "broadcast").strides == (0, 1, 0)


def test_what_is_reversed_in_part_is_so_along_another_axis_of_each_argument():
    how = How("reversed-in-part")
    memories = {name: how.memory_of(name) for name in ARGUMENTS}
    assert memories == {"x": "reversed-last", "weight": "plain", "bias": "plain", "grad_output": "reversed-first"}


@pytest.mark.parametrize("around", ["nan", "zeros"])
def test_bands_are_as_wide_as_the_array_and_written_ones_are_found(around):
    where = placed(np.ones((30, 40)), around=around)
    assert where.base.size == 3 * 1200
    assert not where.spilled()
    where.view()[...] = 2
    assert not where.spilled()
    for place in (0, 1199, 2400, -1):
        spoiled = where.base.copy()
        spoiled[place] = 1
        assert where.spilled(spoiled)


@pytest.mark.parametrize("how", HOWS)
def test_it_is_plain_data(how):
    assert How.from_dict(json.loads(json.dumps(how.to_dict()))) == how
    assert PLAIN.to_dict() == {}


@pytest.mark.parametrize("how", HOWS)
def test_right_code_gives_the_same_however_it_is_called(how):
    run = target(Right).run(LAYER, AT, how)
    for name, array in right_arrays(AT, LAYER).items():
        assert np.array_equal(seen(run)[name], array)
    assert run.modified() == ()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_each_argument_lies_as_it_is_told_to(name):
    class Looks(Right):
        seen: dict = {}  # noqa: RUF012 - shared on purpose

        def forward(self, x, weight, bias, layer):
            self.seen |= {"x": x, "weight": weight, "bias": bias}
            return super().forward(x, weight, bias, layer)

        def backward(self, grad_output):
            self.seen |= {"grad_output": grad_output}
            return super().backward(grad_output)

    target(Looks).run(LAYER, AT, How("gaps", (name,), read_only=True)).backward()
    assert {k for k, v in Looks.seen.items() if not v.flags.c_contiguous} == {name}
    assert not any(v.flags.writeable for v in Looks.seen.values())


@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_is_written_around_an_argument_is_named(name):
    class Spills(Right):
        def spill(self, array):
            np.lib.stride_tricks.as_strided(array.reshape(-1), (array.size + 1,))[-1] = 0

        def forward(self, x, weight, bias, layer):
            arrays = {"x": x, "weight": weight, "bias": bias}
            if name in arrays:
                self.spill(arrays[name])
            return super().forward(x, weight, bias, layer)

        def backward(self, grad_output):
            if name == "grad_output":
                self.spill(grad_output)
            return super().backward(grad_output)

    run = target(Spills).run(LAYER, AT, How(around="nan"))
    assert run.modified() == (() if name == "grad_output" else (AROUND + name,))
    run.backward()
    assert run.modified() == (AROUND + name,)


def test_another_grad_output_and_other_memory_of_the_same_object():
    first, second = AT, integer_operands(LAYER, 1)
    run = target(Right).run(LAYER, first)
    run.backward()
    right = right_arrays(first, LAYER)
    other = run.backward(second.grad_output)
    assert np.array_equal(other[2], right_arrays(second, LAYER)["bias"])
    assert not np.array_equal(other[2], right["bias"])
    again = run.again(second, new_memory=True)
    assert np.array_equal(again.backward()[1], right_arrays(second, LAYER)["weight"])
    larger = Layer(**LAYER.spec() | {"batch": 4, "input": [9, 9]})
    at = integer_operands(larger)
    assert np.array_equal(run.again(at, larger).backward()[0], right_arrays(at, larger)["input"])
