"""The command ``convcheck``, also as ``python -m convcheck``."""

from __future__ import annotations

import codecs
import io
import os
import sys

_USAGE_ERROR = 2

#: What a shell reports for a program that Ctrl-C ended: 128 + SIGINT.
_INTERRUPTED = 130


#: What is written in place of a character that the output cannot show.
_PLAIN = {
    "−": "-", "–": "-", "∂": "d", "·": "*", "×": "x", "→": "->", "°": " degrees", "ᵀ": "^T", "≤": "<=", "≥": ">=",
    "δ": "delta", "Σ": "sum ", "…": "...", "⌊": "floor(", "⌋": ")", "⌈": "ceil(", "⌉": ")", "░": "#", "•": "o",
    "±": "+-", "✓": "ok", "↓": "v", "“": '"', "”": '"', "’": "'", "─": "-", "━": "-", "│": "|",
}  # fmt: skip


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """Write characters that the output cannot show in others that mean the same, or as question marks."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_PLAIN.get(c, "?") for c in error.object[error.start : error.end]), error.end


def main() -> None:
    """Run the command line; always ends in SystemExit, with the status that the contract gives."""
    _look_elsewhere_than_here()
    codecs.register_error("plainly", _plainly)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show × or → gets other words instead of an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plainly")
    try:
        sys.exit(_run())
    except SystemExit as end:
        # Typer turns Ctrl-C into this status and says nothing.
        if end.code == _INTERRUPTED:
            sys.stderr.write("interrupted\n")
        raise
    except KeyboardInterrupt:
        # Ctrl-C before Typer took over.
        sys.stderr.write("interrupted\n")
        sys.exit(_INTERRUPTED)


def _look_elsewhere_than_here() -> None:
    """Let no file of the current folder stand for a module that convcheck needs, as ``python -m`` would have it."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        here = os.getcwd()
    except OSError:
        return
    if sys.path and sys.path[0] in ("", here) and here != package:
        del sys.path[0]


def _run() -> int:
    from convcheck.cli import app
    from convcheck.cli.output import message_of
    from convcheck.errors import ConvcheckError

    try:
        app(prog_name="convcheck")
    except ConvcheckError as error:
        sys.stderr.write(f"error: {message_of(error)}\n")
        return _USAGE_ERROR
    return 0


if __name__ == "__main__":
    main()
