"""What passes between the process that judges and the one that runs the code under test, and how it is written.

A message is its length and its bytes. Requests are pickled, since what the judge says can be trusted; answers are JSON,
of which nothing is executed and everything is checked. Several requests may be under way; their answers come in their
order. Arrays lie in a file in memory that both sides have open, one for each direction: in the order in which the
message tells of them, each at a multiple of 64 bytes, after those that the other side may not have read yet.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.fields import DTYPES
from convcheck.wording import visible

_LENGTH = struct.Struct("<Q")

#: Status with which a worker ends that can hear or say nothing.
DISCONNECTED = 113

#: At this signal a worker writes down where it is; 0 where there are no workers.
WHERE = signal.SIGRTMIN + 13 if hasattr(signal, "SIGRTMIN") else getattr(signal, "SIGUSR2", 0)

#: Bytes that an answer may have, arrays aside.
LONGEST_ANSWER = 2**20

#: Characters that any text in an answer may have.
LONGEST_TEXT = 20_000

#: Data types in which arrays pass; what comes in another one is told of and not sent.
PASSING = frozenset(DTYPES) | {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
}  # fmt: skip

_ALIGNMENT = 64
_GAPS = [bytes(size) for size in range(_ALIGNMENT)]

#: Bytes that a shared file of arrays has from the beginning, so that it is mapped into memory once.
SPAN = 2**26

#: Bytes of a shared file after which it is written from its beginning again, if there is room.
_LAP = 2**19

#: Bytes at most in which a worker writes down that the forward pass has run: the request's number, where the output
#: begins and what is told of it, and in the next line what was written into.
HALFWAY = 2048

#: Characters that an array is told of in, at most.
_LONGEST_SLOT = 1000


class Slot(NamedTuple):
    """An array that lies in shared memory.

    Attributes
    ----------
    entries : int
    taken : int
        Bytes from its beginning to that of the next array.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    entries: int
    taken: int


class BrokenWireError(Exception):
    """What came is no message, or the other side is gone."""


def shared_file(size: int = 0) -> int:
    """Return a descriptor of a file that lies in memory where the system has such files, and has no name.

    Parameters
    ----------
    size : int, default 0
        Bytes that it has from the beginning, zeros that take no memory.
    """
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("convcheck", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    if size:
        os.truncate(file, size)
    return file


@lru_cache(maxsize=4096)
def told_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str | None:
    """Return what a message tells of an array: "float64 2 3 5 5"; None for one that cannot pass."""
    if not dtype.isnative or dtype.name not in PASSING:
        return None
    return " ".join([dtype.name, *map(str, shape)])


def slot_of(told: str) -> Slot:
    """Return what is told of an array; raises BrokenWireError if it is not allowed."""
    # What is kept is short.
    if len(told) > _LONGEST_SLOT:
        raise BrokenWireError("no array is like that")
    return _slot(told)


@lru_cache(maxsize=4096)
def _slot(told: str) -> Slot:
    name, *sizes = told.split(" ")
    if name not in PASSING or len(sizes) > 64:
        raise BrokenWireError("no array is like that")
    if not all(size.isascii() and size.isdigit() and len(size) < 15 for size in sizes):
        raise BrokenWireError("no array has such a shape")
    try:
        dtype = np.dtype(name)
    except TypeError as error:
        raise BrokenWireError(f"nothing here has dtype {name}") from error
    shape = tuple(map(int, sizes))
    # NumPy refuses such a shape, even where one of the others is 0.
    if prod(filter(None, shape)) * dtype.itemsize > sys.maxsize:
        raise BrokenWireError("no array has such a shape")
    entries = prod(shape)
    return Slot(dtype, shape, entries, -(-entries * dtype.itemsize // _ALIGNMENT) * _ALIGNMENT)


def write_arrays(file: int, arrays: Iterable[Array], start: int) -> int:
    """Put arrays, in C order, into a shared file after so many bytes, each at the next multiple of 64.

    Returns
    -------
    int
        Where the last one ends, with the gap behind it.
    """
    pieces: list[Any] = []
    size = 0
    for array in arrays:
        gap = -array.nbytes % _ALIGNMENT
        size += array.nbytes + gap
        # Types such as bfloat16 have no buffer of their own.
        pieces.append(array.reshape(-1).view(np.uint8) if array.dtype.kind == "V" else array)
        if gap:
            pieces.append(_GAPS[gap])
    # All in one go: the gaps between them are less than what a call of the system's costs.
    written = os.pwritev(file, pieces, start) if pieces else 0
    if written < size:
        # A call takes at most some 2 GiB.
        left = [memoryview(p if isinstance(p, bytes) else p.reshape(-1).view(np.uint8)) for p in pieces]
        begins, ends = start + written, start + size
        while begins < ends:
            while written >= len(left[0]):
                written -= len(left.pop(0))
            left[0] = left[0][written:]
            written = os.pwritev(file, left, begins)
            begins += written
    return start + size


def read_arrays(file: int, slots: Sequence[Slot], start: int, into: Array | None = None) -> list[Array]:
    """Return copies of the arrays that lie in a shared file after so many bytes.

    Parameters
    ----------
    into : array, optional
        Takes the one array that is there, in C order.

    Raises
    ------
    BrokenWireError
        If the file is shorter than what was told of it.
    """
    memory: Any = np.empty(_size(slots), np.uint8) if into is None else into.reshape(-1).view(np.uint8)
    read = os.preadv(file, [memory], start) if memory.size else 0
    while read < memory.size:
        count = os.preadv(file, [memory[read:]], start + read)
        if not count:
            raise BrokenWireError("an array ends early")
        read += count
    return _arrays_in(memory, slots, 0) if into is None else [into]


def _size(slots: Iterable[Slot]) -> int:
    return sum(slot.taken for slot in slots)


def _arrays_in(memory: Any, slots: Iterable[Slot], begins: int) -> list[Array]:
    arrays = []
    for slot in slots:
        arrays.append(np.ndarray(slot.shape, slot.dtype, memory, begins))
        begins += slot.taken
    return arrays


class Mapped:
    """A shared file as part of this process's memory: of its arrays there are no copies.

    For the worker alone: whoever makes the file shorter ends a process that has it in its memory.
    """

    def __init__(self, file: int, access: int = mmap.ACCESS_READ) -> None:
        self._file, self._access = file, access
        self._memory: mmap.mmap | bytearray = bytearray()

    def arrays(self, slots: Sequence[Slot], start: int) -> list[Array]:
        """Return the arrays that lie there after so many bytes, until others lie in their place."""
        if start + _size(slots) > len(self._memory):
            self._memory = mmap.mmap(self._file, 0, access=self._access)
        return _arrays_in(self._memory, slots, start)


class Room:
    """Where the arrays of messages go in a shared file: round and round, so that the same memory is used again.

    None is written over that the other side may still have to read.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._mapped = Mapped(file, mmap.ACCESS_WRITE)
        #: By message: its number, and where its arrays begin and end.
        self._held: deque[tuple[int, int, int]] = deque()

    def put(self, number: int, arrays: Sequence[Array], read: int) -> int:
        """Write arrays of a message, in C order; return where they begin.

        Parameters
        ----------
        read : int
            Of the last message whose arrays the other side has read.
        """
        start = self._place(sum(array.nbytes + _ALIGNMENT for array in arrays), read)
        self._held.append((number, start, write_arrays(self._file, arrays, start)))
        return start

    def lend(self, number: int, slot: Slot, read: int) -> tuple[int, Array]:
        """Return where an array of a message lies, and the array itself, to be filled."""
        start = self._place(slot.taken, read)
        end = start + slot.taken
        self._held.append((number, start, end))
        if os.fstat(self._file).st_size < end:
            os.truncate(self._file, end)
        (array,) = self._mapped.arrays([slot], start)
        return start, array

    def _place(self, size: int, read: int) -> int:
        """Return where so many bytes can go."""
        held = self._held
        while held and held[0][0] <= read:
            held.popleft()
        if not held:
            return 0
        start = held[-1][2]
        if start > _LAP and self._free(0, size):
            return 0
        return start if self._free(start, size) else max(end for _, _, end in held)

    def _free(self, at: int, size: int) -> bool:
        ends = at + size
        for _, begin, end in self._held:  # noqa: SIM110 - for every message, and many are held
            if begin < ends and at < end:
                return False
        return True


def framed(message: bytes) -> bytes:
    """Return a message with its length before it."""
    return _LENGTH.pack(len(message)) + message


class Incoming:
    """Puts messages together from the pieces in which they come."""

    def __init__(self, longest: int | None = None) -> None:
        self._longest = longest
        self._pending = b""

    def add(self, piece: bytes) -> None:
        """Take a piece.

        Raises
        ------
        BrokenWireError
            If it begins a message that is too long.
        """
        self._pending += piece
        length = self._length()
        if length is not None and self._longest is not None and length > self._longest:
            raise BrokenWireError(f"a message of {length:,} bytes; expected at most {self._longest:,}")

    def take(self) -> bytes | None:
        """Return the first message that is whole; None if there is none."""
        length = self._length()
        end = _LENGTH.size + (length or 0)
        if length is None or len(self._pending) < end:
            return None
        message, self._pending = self._pending[_LENGTH.size : end], self._pending[end:]
        return message

    def _length(self) -> int | None:
        if len(self._pending) < _LENGTH.size:
            return None
        length: int = _LENGTH.unpack_from(self._pending)[0]
        return length


def receive(descriptor: int, incoming: Incoming) -> bytes | None:
    """Wait for a message; None where the other side is gone."""
    while (message := incoming.take()) is None:
        piece = os.read(descriptor, 2**16)
        if not piece:
            return None
        incoming.add(piece)
    return message


def parsed(message: bytes) -> dict[str, Any]:
    """Read an answer; raises BrokenWireError if it is none."""
    try:
        answer = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise BrokenWireError("no JSON") from error
    if not isinstance(answer, dict):
        raise BrokenWireError("no object of JSON")
    return answer


def text_in(answer: Mapping[str, Any], key: str) -> str:
    """Return a text of an answer in one that can be shown; raises BrokenWireError if it is none."""
    value = answer.get(key)
    if not isinstance(value, str):
        raise BrokenWireError(f"{key} is no text")
    return legible(value)


def texts_in(answer: Mapping[str, Any], key: str) -> list[str]:
    """Return a list of texts of an answer; raises BrokenWireError if it is none."""
    values = answer.get(key, [])
    if not isinstance(values, list) or len(values) > 100 or not all(isinstance(value, str) for value in values):
        raise BrokenWireError(f"{key} is no list of texts")
    return [legible(value) for value in values]


def legible(text: str) -> str:
    """Return a text of somebody else's, not too long and without control characters but ends of lines."""
    if len(text) > LONGEST_TEXT:
        half = LONGEST_TEXT // 2
        text = f"{text[:half]}\n[{len(text) - 2 * half:,} characters left out]\n{text[-half:]}"
    return visible(text)


def starts_in(answer: Mapping[str, Any], number: int) -> list[int]:
    """Return after how many bytes the parts of an answer's arrays lie; raises BrokenWireError if they cannot."""
    starts = answer.get("starts")
    if (
        not isinstance(starts, list)
        or len(starts) != number
        or not all(type(start) is int and 0 <= start < 2**48 for start in starts)
    ):
        raise BrokenWireError("its arrays lie nowhere")
    return starts
