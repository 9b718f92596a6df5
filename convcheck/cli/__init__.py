"""The command line: one thin file per command that parses, calls, writes and exits.

A new command is a new file with one function and one entry in `COMMANDS`. What a command needs beyond its options is
imported when it runs, so that help is fast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from convcheck.cli.audit import audit
from convcheck.cli.bench import bench
from convcheck.cli.explain import explain
from convcheck.cli.hunt import hunt
from convcheck.cli.import_ import import_
from convcheck.cli.init import init
from convcheck.cli.judge import judge
from convcheck.cli.mistakes import mistakes
from convcheck.cli.probe import probe
from convcheck.cli.protocol_check import protocol_check
from convcheck.cli.schema import schema
from convcheck.cli.verify import verify
from convcheck.cli.visualize import visualize
from convcheck.version import __version__

#: Every command, in the order in which the help lists them; a function's name is the command's.
COMMANDS: tuple[Callable[..., None], ...] = (
    verify, hunt, judge, probe, visualize, explain, mistakes, init, import_, audit, bench, protocol_check, schema,
)  # fmt: skip

# Plain help and errors: they start twice as fast as boxes do, and read well in a pipe.
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"convcheck {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Check whether the backward pass of a convolutional layer is right, exactly, and name the mistake if not."""


for _command in COMMANDS:
    # A word of Python's own has an underscore behind it. What stands behind a program is the program's own.
    app.command(
        _command.__name__.rstrip("_").replace("_", "-"),
        context_settings={"allow_interspersed_args": _command is not protocol_check},
    )(_command)
