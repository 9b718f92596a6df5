"""What the arrays of a plain layer are called: by their own names, or by those of the transposed layer it is a twin of.

A transposed layer is its twin read the other way round, so its pictures are those of the twin with the names exchanged:
what the twin reads is dL/dO, what it is handed back is X, and what it makes of that is O.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Roles:
    """The names of a plain layer's arrays, and of what counts its channels and filters."""

    input: str
    output: str
    grad_input: str
    grad_output: str
    channel: str
    filter: str
    #: What is said of what the layer reads, and of what it is handed back.
    reads: str
    comes: str


PLAIN = Roles("X", "O", "dL/dX", "dL/dO", "channel", "filter", "the input", "what the next layer hands back")
TWIN = Roles("dL/dO", "dL/dX", "O", "X", "filter", "channel", "what the next layer hands back", "the input")
