"""``convcheck mistakes``: the catalogue, or one entry of it at length."""

from __future__ import annotations

from typing import Annotated

import typer

from convcheck.cli import completion


def mistakes(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            autocompletion=completion.mistakes,
            help="A mistake to explain, by name or code; without it, all.",
        ),
    ] = None,
) -> None:
    """List the known mistakes, or explain one with a small example."""
    from convcheck.cli.output import screen, write_out
    from convcheck.mistakes import named
    from convcheck.mistakes.describe import render_catalogue, render_name

    width, color = screen()
    if name is None:
        write_out(render_catalogue(width=width, color=color))
    else:
        write_out(render_name(named(name), width=width, color=color))
