"""What passes between the process that judges and the one that runs the code under test, and how it is written.

A message is its length and its bytes. Requests are pickled, since what the judge says can be trusted; answers are JSON,
of which nothing is executed and everything is checked. Several requests may be under way; their answers come in their
order. Arrays lie in a file in memory that both sides have open, one for each direction: in the order in which the
message tells of them, each at a multiple of 64 bytes, after those that the other side may not have read yet.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import tempfile
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
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
_GAP = memoryview(bytes(_ALIGNMENT))

#: Bytes of a shared file after which it is written from its beginning again, if there is room.
_LAP = 2**19

#: Bytes in which a worker writes down that the forward pass has run; the output comes after them.
HALFWAY = 1024


class Slot(NamedTuple):
    """An array that lies in shared memory."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


class BrokenWireError(Exception):
    """What came is no message, or the other side is gone."""


def shared_file() -> int:
    """Return a descriptor of a file that lies in memory where the system has such files, and has no name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("convcheck", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def write_arrays(file: int, arrays: Iterable[Array], start: int) -> None:
    """Put arrays into a shared file, after so many bytes, each at the next multiple of 64."""
    pieces: list[Any] = []
    for array in arrays:
        pieces += [_bytes_of(array), _GAP[: -array.nbytes % _ALIGNMENT]]
    # All in one go: the gaps between them are less than what a call of the system's costs.
    while pieces:
        written = os.pwritev(file, pieces, start)
        start += written
        while pieces and written >= len(pieces[0]):
            written -= len(pieces.pop(0))
        if written:
            pieces[0] = pieces[0][written:]


def read_arrays(file: int, slots: Sequence[Slot], start: int) -> list[Array]:
    """Return copies of the arrays that lie in a shared file after so many bytes.

    Raises
    ------
    BrokenWireError
        If the file is shorter than what was told of it.
    """
    ends = list(accumulate(_taken(slot.size) for slot in slots))
    memory = np.empty(ends[-1] if ends else 0, np.uint8)
    left = memoryview(memory)  # type: ignore[arg-type]
    while left:
        count = os.preadv(file, [left], start + len(memory) - len(left))
        if not count:
            raise BrokenWireError("an array ends early")
        left = left[count:]
    return [
        memory[begins : begins + slot.size].view(slot.dtype).reshape(slot.shape)
        for slot, begins in zip(slots, [0, *ends], strict=False)
    ]


def _taken(size: int) -> int:
    """Bytes from the beginning of one array to that of the next."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


class Room:
    """Where the arrays of messages go in a shared file: round and round, so that the same memory is used again.

    None is written over that the other side may still have to read.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        #: By message: its number, and where its arrays begin and end.
        self._held: deque[tuple[int, int, int]] = deque()

    def put(self, number: int, arrays: Sequence[Array], read: int) -> tuple[int, list[Slot]]:
        """Write the arrays of a message; return where they begin, and what it tells of them.

        Parameters
        ----------
        read : int
            Of the last message whose arrays the other side has read.
        """
        whole = [np.ascontiguousarray(array) for array in arrays]
        size = sum(_taken(array.nbytes) for array in whole)
        held = self._held
        while held and held[0][0] <= read:
            held.popleft()

        def free(at: int) -> bool:
            return all(at + size <= begin or end <= at for _, begin, end in held)

        start = held[-1][2] if held else 0
        if start > _LAP and free(0):
            start = 0
        elif not free(start):
            start = max(end for _, _, end in held)
        held.append((number, start, start + size))
        write_arrays(self._file, whole, start)
        return start, [Slot(name_of(array.dtype), array.shape) for array in whole]


@lru_cache(maxsize=64)
def name_of(dtype: np.dtype[Any]) -> str:
    """Return the name of a data type."""
    # NumPy makes the name anew each time.
    return dtype.name


def _bytes_of(array: Array) -> memoryview:
    # Types such as bfloat16 have no buffer of their own.
    buffer: Any = array.reshape(-1).view(np.uint8)
    return memoryview(buffer)


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


def slot_in(value: Mapping[str, Any]) -> Slot:
    """Return what an answer tells of an array; raises BrokenWireError if it is not allowed."""
    dtype, shape = value.get("dtype"), value.get("shape")
    if dtype not in PASSING or not isinstance(shape, list) or len(shape) > 64:
        raise BrokenWireError("no array is like that")
    if not all(type(size) is int and 0 <= size < 2**48 for size in shape):
        raise BrokenWireError("no array has such a shape")
    return Slot(dtype, tuple(shape))


def start_in(answer: Mapping[str, Any]) -> int:
    """Return after how many bytes the arrays of an answer lie; raises BrokenWireError if that cannot be."""
    start = answer.get("start")
    if type(start) is not int or not 0 <= start < 2**48:
        raise BrokenWireError("its arrays lie nowhere")
    return start
