"""The command ``convcheck``, also as ``python -m convcheck``."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

from convcheck.layer.threads import BRIEFLY
from convcheck.wording import visible

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
    _complete_streams()
    codecs.register_error("plainly", _plainly)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show × or → gets other words instead of an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plainly")
    status: str | int | None
    try:
        with _signals_as_interrupts():
            status = _run()
    except SystemExit as end:
        status = end.code
    except KeyboardInterrupt:
        # Before Typer took over.
        status = _INTERRUPTED
    if status == _INTERRUPTED:
        # Typer turns Ctrl-C into this status and says nothing. Another one ends nothing more.
        with contextlib.suppress(KeyboardInterrupt):
            _say("interrupted")
    sys.exit(status)


def _complete_streams() -> None:
    """Have something stand for standard streams that are closed, lest a file that is opened takes their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # What is written to a closed standard output must fail; messages may be lost.
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


@contextlib.contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Let what ends a job in a shell, at logout or in a CI system end it as Ctrl-C does: with what was found."""
    last = signal.SIGINT

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        last = signal.Signals(number)
        raise KeyboardInterrupt

    names = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    # What the caller has set to be ignored, as nohup does, stays so.
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, interrupt)
    try:
        with _sent_again(lambda: last):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _sent_again(last: Callable[[], signal.Signals]) -> Iterator[None]:
    """Send a signal again that came where nothing can be raised.

    That is where garbage is collected, of which Hypothesis keeps the time, and where an object is let go.
    """
    before, goes_on = sys.unraisablehook, True

    def send() -> None:
        if goes_on:
            signal.pthread_kill(threading.main_thread().ident or 0, last())

    def lost(what: sys.UnraisableHookArgs) -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt) or not hasattr(signal, "pthread_kill"):
            before(what)
            return
        # Not from here, where it would be lost again.
        later = threading.Timer(0.02, send)
        later.daemon = True
        later.start()

    sys.unraisablehook = lost
    try:
        yield
    finally:
        goes_on, sys.unraisablehook = False, before


def _say(text: str) -> None:
    """Write a message to standard error, without what a terminal or a CI system would obey."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(visible(text) + "\n")
        sys.stderr.flush()


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
    os.environ.setdefault(*BRIEFLY)
    try:
        from convcheck.cli import app
        from convcheck.cli.output import message_of
        from convcheck.errors import ConvcheckError

        try:
            os.getcwd()
        except OSError:
            _say("error: the current folder does not exist any more; go to one that does")
            return _USAGE_ERROR
        try:
            app(prog_name="convcheck")
        except ConvcheckError as error:
            _say(f"error: {message_of(error)}")
            return _USAGE_ERROR
        return 0
    except MemoryError:
        _say("error: there is not enough memory; expected smaller layers, or fewer jobs")
    except OSError as error:
        _say(f"error: {error}")
    except Exception as error:
        # Up to Python 3.11, a class that is made meanwhile, as by an import, wraps what comes of a signal.
        if isinstance(error.__cause__, KeyboardInterrupt):
            return _INTERRUPTED
        _say(f"error: convcheck itself has failed; please report this, with the command\n{traceback.format_exc()}")
    return _USAGE_ERROR


if __name__ == "__main__":
    main()
