"""How arrays and what is told of them pass between the judging process and that of the code under test."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcheck import Layer
from convcheck.layer.data import integer_operands
from convcheck.targets import resolve
from convcheck.targets.process import wire
from convcheck.targets.process.host import Worker
from convcheck.targets.process.limits import Limits
from convcheck.targets.process.wire import (
    BrokenWireError,
    Mapped,
    Room,
    read_arrays,
    shared_file,
    slot_of,
    starts_in,
    told_of,
    write_arrays,
)
from convcheck.targets.target import TargetContractError

ml_dtypes = pytest.importorskip("ml_dtypes")

ROOT = Path(__file__).parents[2]

ARRAYS = [
    np.arange(24.0).reshape(2, 3, 4), np.arange(5, dtype="float16"), np.array(7 + 1j), np.zeros((0, 3), "float32"),
    np.arange(3).astype(ml_dtypes.bfloat16), np.array([True, False]),
]  # fmt: skip


@pytest.fixture
def file():
    descriptor = shared_file()
    yield descriptor
    os.close(descriptor)


def slots(arrays):
    return [slot_of(told_of(array.dtype, array.shape)) for array in arrays]


def assert_same(found, arrays):
    for one, array in zip(found, arrays, strict=True):
        assert (one.dtype, one.shape) == (array.dtype, array.shape)
        assert one.tobytes() == array.tobytes()


@pytest.mark.parametrize("start", [0, 4096])
def test_arrays_of_every_kind_pass(start, file):
    end = write_arrays(file, ARRAYS, start)
    assert end == start + sum(slot.taken for slot in slots(ARRAYS))
    assert_same(read_arrays(file, slots(ARRAYS), start), ARRAYS)
    assert_same(Mapped(file).arrays(slots(ARRAYS), start), ARRAYS)
    into = np.empty((2, 3, 4))
    assert read_arrays(file, slots(ARRAYS[:1]), start, into)[0] is into
    assert_same([into], ARRAYS[:1])


@pytest.mark.parametrize("most", [1, 63, 200])
def test_arrays_pass_where_the_system_takes_less_at_once(most, file, monkeypatch):
    write, read = os.pwritev, os.preadv

    def some(pieces):
        return [memoryview(b"".join(memoryview(np.ascontiguousarray(p)).tobytes() for p in pieces))[:most]]

    monkeypatch.setattr(wire.os, "pwritev", lambda file, pieces, at: write(file, some(pieces), at))
    monkeypatch.setattr(wire.os, "preadv", lambda file, pieces, at: read(file, [memoryview(pieces[0])[:most]], at))
    arrays = ARRAYS[:4]
    write_arrays(file, arrays, 0)
    assert_same(read_arrays(file, slots(arrays), 0), arrays)


def test_a_file_that_ends_early_is_told(file):
    write_arrays(file, ARRAYS, 0)
    with pytest.raises(BrokenWireError, match="ends early"):
        read_arrays(file, slots(ARRAYS), 4096)


@pytest.mark.parametrize(
    "told",
    [
        "", "float64 2 -3", "float64 2  3", "float64 2.5", "float64 ²", "float64 " + "9" * 15, "object 2", "str 1",
        ">f8 2", "float64" + " 1" * 65, "float64 " + "1 " * 600, "float64\n3",
        f"float64 {'9' * 14} {'9' * 14} 0",
    ],
)  # fmt: skip
def test_what_is_told_of_no_array_is_refused(told):
    with pytest.raises(BrokenWireError):
        slot_of(told)


@pytest.mark.parametrize("dtype", [">f8", "object", "U3", "datetime64[s]", "longdouble"])
def test_of_what_cannot_pass_nothing_is_told(dtype):
    assert told_of(np.dtype(dtype), (2,)) is None


@pytest.mark.parametrize("starts", [None, 7, "0", [], [0, 0, 0], [-1, 0], [0.0, 0], [True, 0], [0, 2**48]])
def test_places_that_there_cannot_be_are_refused(starts):
    with pytest.raises(BrokenWireError, match="nowhere"):
        starts_in({"starts": starts}, 2)


@given(st.data())
def test_nothing_is_written_over_that_may_still_be_read(data):
    file = shared_file()
    try:
        room, unread, read = Room(file), {}, 0
        for number in range(1, data.draw(st.integers(1, 30))):
            size = data.draw(st.sampled_from([0, 1, 8, 1000, 40_000, 80_000]))
            array = np.full(size, number, float)
            if data.draw(st.booleans()):
                start = room.put(number, [array], read)
            else:
                start, lent = room.lend(number, *slots([array]), read)
                lent[...] = array
            unread[number] = start, array
            for start, array in unread.values():
                assert_same(read_arrays(file, slots([array]), start), [array])
            read = data.draw(st.integers(read, number))
            unread = {n: one for n, one in unread.items() if n > read}
    finally:
        os.close(file)


LAYER = Layer(2, 3, (2, 3), input=(4, 5), batch=2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"starts": [0, 0]}, "nowhere"),
        ({"values": ["float64 -2"]}, "no array has such a shape"),
        ({"values": [7]}, "no known kind"),
        ({"values": [{"foreign": 7}]}, "foreign is no text"),
        ({"starts": [2**40]}, "ends early"),
        ({"starts": "0"}, "nowhere"),
        ({"values": "float64"}, "not the arrays"),
    ],
)
def test_an_answer_that_tells_of_its_arrays_otherwise_is_refused(changes, words, monkeypatch):
    target = resolve("tests.targets_for_tests:Right", ROOT, limits=Limits(in_process=False))
    try:
        at = integer_operands(LAYER)
        assert target.run(LAYER, at).output.shape == LAYER.output_shape
        receive = Worker.receive
        monkeypatch.setattr(Worker, "receive", lambda *given: {**receive(*given), **changes})
        with pytest.raises(TargetContractError, match=f"cannot be used: .*{words}"):
            _ = target.run(LAYER, at).output
    finally:
        target.close()


def test_what_was_found_out_is_known_though_it_is_said_once():
    target = resolve("tests.targets_for_tests:Right", ROOT, limits=Limits(in_process=False))
    try:
        at = integer_operands(LAYER)
        for _ in range(3):
            # Nobody looks at what came of it.
            target.run(LAYER, at)
        assert target.forward(LAYER, at.x, at.weight, at.bias).shape == LAYER.output_shape
        assert target.takes_bias() is True
        assert target.found == []
    finally:
        target.close()
