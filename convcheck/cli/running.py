"""Options of every command that runs code of the user's: where it runs, and what it may use there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from convcheck.targets.process.limits import Limits

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([KMGT]i?)?B?", text.strip(), re.ASCII | re.IGNORECASE)
    units = {unit.lower(): size for unit, size in _UNITS.items()}
    size = int(float(match[1]) * units[(match[2] or "").lower()]) if match else 0
    if not size:
        raise typer.BadParameter(f"{text!r} is no size; expected a number of bytes such as 500MB or 2GiB")
    return size


Device = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Where code of PyTorch or JAX, a library or a program computes, such as cuda."),
]

InProcess = Annotated[
    bool,
    typer.Option(
        "--in-process",
        help="Run the code in convcheck's own process, as a debugger needs it; nothing then keeps it from ending or "
        "changing the run.",
    ),
]

Memory = Annotated[
    int | None,
    typer.Option(
        metavar="SIZE",
        parser=_bytes,
        help="Stop code that uses more memory, such as 2GiB; by default all that is free.",
    ),
]

Timeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Stop code that takes longer than this for a layer, all calls together; by default, an hour, or a day "
        "where every entry is checked.",
    ),
]


KeepCase = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Keep requests that a target that is a program answers wrongly, or not at all, in this folder.",
    ),
]


def limits_of(timeout: float | None, memory: int | None, in_process: bool, keep_case: Path | None = None) -> Limits:
    """Return where code runs and what it may use; raises UsageError where that cannot be.

    Code that runs in another process cannot read this one's memory from then on.
    """
    from convcheck.errors import Parameter, UsageError
    from convcheck.targets.process.hidden import hide_memory
    from convcheck.targets.process.limits import Limits

    if in_process and memory is not None:
        raise UsageError(Parameter("memory"), " needs a process of its own; leave out ", Parameter("in_process"))
    if keep_case is not None:
        from convcheck.cli.output import require_writable_folder

        require_writable_folder(keep_case)
    if not in_process:
        hide_memory()
    return Limits(timeout, memory, None, in_process, keep_case)


def start_worker_ahead() -> None:
    """Start the process in which code will run while convcheck itself is still imported."""
    from convcheck.targets.process.keepers import start_ahead

    start_ahead()
