"""How a forward and backward pass are called, as plain data that can be sent to wherever the code runs.

A form carries it out on its own side: the arguments' memory, what requires a gradient, how many threads there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: What a pass is given, by name.
ARGUMENTS = ("x", "weight", "bias", "grad_output")

#: How an argument can lie in memory; `convcheck.targets.placement` says what each is.
MEMORIES = (
    "plain", "gaps", "rows", "fortran", "channels-last", "reversed", "reversed-first", "reversed-last", "broadcast",
)  # fmt: skip

#: How the arguments lie that are reversed in part, each along another axis.
_IN_PART = {"x": "reversed-last", "grad_output": "reversed-first"}

#: Begins the name of what lies around an argument, where that was written: "around x".
AROUND = "around "


@dataclass(frozen=True)
class How:
    """How a pass is called, apart from its numbers.

    Attributes
    ----------
    memory : str
        One of `MEMORIES`, or "reversed-in-part".
    arguments : tuple of str
        The arguments that lie in memory so; the others are plain.
    read_only : bool
        Whether no argument may be written.
    around : {"", "nan", "zeros"}
        What every argument stands between bands of; there are none where it is "".
    gradients : tuple of str
        Which of "input", "weight" and "bias" are asked for.
    no_grad : str
        When the same object makes a further forward pass, on another input, without gradients and in evaluation mode:
        "before" the forward pass, "between" it and the backward pass, or never, "".
    evaluating : bool
        Whether the object is in evaluation mode.
    threads : str
        "one" or "all" the machine has; as they are where it is "".
    at_once : bool
        Whether another layer is run at the same time by another thread, over and over.
    """

    memory: str = "plain"
    arguments: tuple[str, ...] = ARGUMENTS
    read_only: bool = False
    around: str = ""
    gradients: tuple[str, ...] = ("input", "weight", "bias")
    no_grad: str = ""
    evaluating: bool = False
    threads: str = ""
    at_once: bool = False

    def memory_of(self, argument: str) -> str:
        """Return how one of `ARGUMENTS` lies in memory."""
        if self.memory == "reversed-in-part":
            return _IN_PART.get(argument, "plain")
        return self.memory if argument in self.arguments else "plain"

    def to_dict(self) -> dict[str, Any]:
        """Return what differs from the usual, as plain data."""
        return {name: value for name, value in asdict(self).items() if value != getattr(PLAIN, name)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> How:
        """Return what `to_dict` has written, perhaps by way of JSON."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)


PLAIN = How()
