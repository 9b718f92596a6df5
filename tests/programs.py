"""Small programs that speak the protocol, right and wrong."""

from __future__ import annotations

import sys

#: Reads requests and answers them with arrays of ones, of the right sizes. What stands in capitals is replaced.
ONES = """
import sys
from math import prod
requests, answers = sys.stdin.buffer, sys.stdout.buffer
START
number = 0
while line := requests.readline():
    number += 1
    assert line.startswith(b"convcheck 1 "), line
    _, _, direction, dtype, *words = line.decode().split()
    n, c, f, groups, rank, *sizes = map(int, words)
    per_axis = [sizes[i * rank : (i + 1) * rank] for i in range(7)]
    x, weight = n * c * prod(per_axis[0]), f * (c // groups) * prod(per_axis[1])
    output, bias = n * f * prod(per_axis[6]), f if sizes[-1] else 0
    size = {"float64": 8, "float32": 4, "float16": 2}[dtype]
    READ
    counts = [output] if direction == "forward" else [x, weight, f][: 3 if bias else 2]
    if size == 8:
        import array
        one = array.array("d", [1.0]).tobytes()
    else:
        import struct
        one = struct.pack("f" if size == 4 else "e", 1.0)
    arrays = [one * count for count in counts]
    line = ("ok " + " ".join(map(str, counts)) + "\\n").encode()
    ANSWER
    answers.flush()
    LAST
END
"""

READ = 'requests.read(size * (x + weight + bias + (output if direction == "backward" else 0)))'
ANSWER = 'answers.write(line + b"".join(arrays))'


def ones(folder, name="ones.py", *, start="", read=READ, answer=ANSWER, last="", end=""):
    """Write such a program; gives its command."""
    text = ONES
    for word, code in (("START", start), ("READ", read), ("ANSWER", answer), ("LAST", last), ("END", end)):
        indent = "" if word in ("START", "END") else "    "
        text = text.replace(f"\n{indent}{word}\n", "\n" + "\n".join(indent + part for part in code.split("\n")) + "\n")
    (folder / name).write_text(text)
    return [sys.executable, "-I", "-S", name]
