"""Standard output: what it can show, and writing to it."""

from __future__ import annotations

import os
import sys


def screen() -> tuple[int, bool]:
    """Return the columns of standard output, and whether it shows colours.

    ``COLUMNS``, ``NO_COLOR``, ``FORCE_COLOR`` and ``TERM=dumb`` are honoured.
    """
    from rich.console import Console

    console = Console(file=sys.stdout)
    return console.width, console.color_system is not None and not console.no_color


def write_out(text: str) -> None:
    """Write a result to standard output; a reader that has gone away, such as ``head``, is no error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would raise again when Python flushes it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
