"""The protocol between convcheck and a program: one line and raw arrays there, one line and raw arrays back.

`docs/protocol.md` has the contract. What the answer's line announces is looked at before any array is read, so that a
wrong size is a finding and no deadlock.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.fields import ZEROS
from convcheck.layer.layer import Layer
from convcheck.targets.target import TargetContractError
from convcheck.wording import counted, one_line, short

#: The version of the protocol, the second word of every request.
PROTOCOL = 1

#: Bytes within which the line of an answer ends.
LONGEST_LINE = 4096

#: Bytes of an answer of the wrong size that are read all the same, so that the program can go on.
WORTH_READING = 1 << 24


@dataclass(frozen=True, eq=False)
class Request:
    """One forward or backward pass that is asked for.

    Attributes
    ----------
    direction : str
        "forward" or "backward".
    arrays : mapping of str to array
        What goes there, in its order: x, weight, bias where there is one; for a backward pass grad_output.
    shapes : mapping of str to tuple of int
        What comes back, in its order.
    """

    direction: str
    layer: Layer
    arrays: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def dtype(self) -> np.dtype:
        return self.arrays["x"].dtype

    @property
    def line(self) -> bytes:
        """The request's first line. What not every layer has stands behind the bias, as ``key=value``."""
        layer = self.layer
        before, after = zip(*layer.padding, strict=True)
        sizes = (layer.input, layer.kernel, layer.stride, layer.dilation, before, after, layer.output)
        words = [
            "convcheck", PROTOCOL, self.direction, self.dtype.name, layer.batch, layer.channels, layer.filters,
            layer.groups, len(layer.input), *(number for size in sizes for number in size), int(layer.bias),
        ]  # fmt: skip
        if layer.transposed:
            words += ["transposed=1", f"output_padding={','.join(map(str, layer.output_padding))}"]
        if layer.padding_mode != ZEROS:
            words.append(f"padding_mode={layer.padding_mode}")
        return " ".join(map(str, words)).encode("ascii") + b"\n"

    @property
    def chunks(self) -> list[memoryview]:
        """The bytes of the request: the line, then every array in C order."""
        arrays = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in self.arrays.values()]
        return [memoryview(self.line), *arrays]

    @property
    def counts(self) -> list[int]:
        """How many entries of each array come back."""
        return [prod(shape) for shape in self.shapes.values()]

    @property
    def expected(self) -> str:
        """What its answer may begin with, in words."""
        return f'one line "ok {" ".join(map(str, self.counts))}", "unsupported REASON" or "error REASON"'

    def shaped(self, found: Mapping[str, Array]) -> dict[str, Array]:
        """Return arrays in the shapes that they should have; one of another size stays flat, which tells its size."""
        shapes = self.shapes
        return {
            name: array.reshape(shapes[name]) if array.size == prod(shapes[name]) else array
            for name, array in found.items()
        }

    def described(self) -> str:
        """Return the request in words, for people."""
        text = ["What the program was given:", "", self.line.decode("ascii").rstrip("\n"), ""]
        text += [f"and then, as {self.dtype.name} in C order, {sys.byteorder}-endian:"]
        offset = len(self.line)
        with np.printoptions(threshold=200, edgeitems=2):
            for name, array in self.arrays.items():
                text += ["", f"{name}, shape {array.shape}, from byte {offset}:", str(array)]
                offset += array.nbytes
        arrays = ", ".join(f"{name} of shape {shape}" for name, shape in self.shapes.items())
        return "\n".join([*text, "", f"Expected: {self.expected}; after ok, {arrays}."]) + "\n"


class RefusedError(TargetContractError, NotImplementedError):
    """Code that is not Python says that it does not take a layer."""


class AnswerError(TargetContractError):
    """A program broke the protocol.

    Attributes
    ----------
    answer : mapping of str to bytes
        What it had given by then, as files to be kept.
    silent : bool
        Whether it ended without a word.
    """

    def __init__(self, message: str, answer: bytes | Mapping[str, bytes] = b"", *, silent: bool = False) -> None:
        super().__init__(message)
        self.answer = {"answer.bin": answer} if isinstance(answer, bytes) else answer
        self.silent = silent


def announced(line: bytes, request: Request, begun: bytes) -> dict[str, int]:
    """Return how many entries of which array follow, as the line of an answer announces them.

    Parameters
    ----------
    begun : bytes
        What was read until now, with the line.

    Raises
    ------
    RefusedError, TargetContractError, AnswerError
        If the program refuses, says that it failed, or breaks the protocol.
    """
    words = line.decode("utf-8", "backslashreplace").split()
    raise_refusal(words, request.direction)
    if words[:1] != ["ok"]:
        raise AnswerError(f"the program answered {quoted(line)}{_guess(line)}; expected {request.expected}", begun)
    # Nineteen digits are more than any array has entries.
    counts = [int(word) for word in words[1:] if word.isascii() and word.isdigit() and len(word) < 19]
    if len(counts) != len(words) - 1 or len(counts) != len(request.shapes):
        names = ", ".join(request.shapes)
        raise AnswerError(
            f"the program answered {quoted(line)}; expected {request.expected}: how many entries of {names} follow",
            begun,
        )
    size = request.dtype.itemsize
    if counts != request.counts and sum(counts) * size > max(WORTH_READING, 2 * sum(request.counts) * size):
        pairs = zip(request.shapes.items(), counts, request.counts, strict=True)
        (name, shape), count, right = next(pair for pair in pairs if pair[1] != pair[2])
        raise AnswerError(
            f"the program announces {counted(count, 'entry', 'entries')} of {name}, which were not read; expected "
            f"{right:,}, of shape {shape}",
            begun,
        )
    return dict(zip(request.shapes, counts, strict=True))


def raise_refusal(words: Sequence[str], direction: str) -> None:
    """Raise what an answer that says ``unsupported`` or ``error`` stands for."""
    reason = one_line(" ".join(words[1:])) or "without a reason"
    if words[:1] == ["error"]:
        raise TargetContractError(f"the program says error: {reason}")
    if words[:1] == ["unsupported"]:
        if direction == "forward":
            raise RefusedError(reason)
        raise TargetContractError(f"the program says unsupported: {reason}; expected it to say so in forward already")


def quoted(data: bytes) -> str:
    """Return the beginning of what a program wrote, as a message can have it."""
    return f'"{short(one_line(data[:LONGEST_LINE].decode("utf-8", "backslashreplace")))}"'


def _guess(line: bytes) -> str:
    """Return what a line that is no answer may be."""
    text = line.strip()
    if not text:
        return ", an empty line"
    if text.startswith((b"{", b"[")):
        return ", which looks like JSON"
    if text.startswith(b"convcheck "):
        return ", which is the request's own line"
    if not (text.isascii() and text.decode().isprintable()):
        return ", which is no text: the line comes before the arrays"
    return ", which is no answer (other text belongs on standard error)"
