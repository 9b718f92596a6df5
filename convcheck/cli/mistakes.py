"""``convcheck mistakes``: the catalogue, one entry of it at length, or what it would do to a layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convcheck.cli import completion
from convcheck.explain.pictures.drawing import FORMATS


def mistakes(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            autocompletion=completion.mistakes,
            help="A mistake to explain, by name or code; without it, all.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONFIG]",
            autocompletion=completion.configs,
            help="Where the layer is, for --layer: a config file, or the name of a suite that ships with convcheck.",
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.layers,
            help="Draw what the mistake would do to this layer, by its name or as it stands in a config, such as "
            "'{channels: 1, filters: 1, kernel: 2}', without any code that makes it.",
        ),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --layer: write pictures into this folder instead of printing grids."),
    ] = None,
    format: Annotated[  # noqa: A002
        str, typer.Option(metavar="FORMAT", help=f"With --output-dir: {' or '.join(FORMATS)}.")
    ] = "png",
    seed: Annotated[int | None, typer.Option(metavar="N", help="With --layer: seed of the data.")] = None,
) -> None:
    """List the known mistakes, explain one with a small example, or draw what it does to a layer.

    Exit status: 0, or 2 for a wrong option or config.
    """
    from convcheck.checks.memory import require as require_memory
    from convcheck.cli.output import require_writable_folder, screen, write_out, write_picture
    from convcheck.errors import Parameter, UsageError
    from convcheck.explain.pictures.mistaken import stories_of_mistake
    from convcheck.explain.pictures.terminal import render
    from convcheck.layer.data import example_operands
    from convcheck.mistakes import named
    from convcheck.mistakes.describe import render_catalogue, render_name
    from convcheck.mistakes.mistake import OtherName
    from convcheck.suites.select import choose

    width, color = screen()
    if name is None and layer is None:
        write_out(render_catalogue(width=width, color=color))
        return
    if name is None:
        raise UsageError(Parameter("layer"), " needs the name of a mistake: convcheck mistakes NAME --layer ...")
    known = named(name)
    if layer is None:
        given = {"output_dir": output_dir, "seed": seed, "config": config}
        if option := next((key for key, value in given.items() if value is not None), None):
            what = "a config" if option == "config" else Parameter(option)
            raise UsageError(what, " is about a layer; say which with ", Parameter("layer"))
        write_out(render_name(known, width=width, color=color))
        return
    if isinstance(known, OtherName):
        raise UsageError(f"{known.name} is nothing that one makes on a layer; reports give this name {known.told_of}")
    if format not in FORMATS:
        raise UsageError(f'--format "{format}" is unknown; expected one of {", ".join(FORMATS)}')
    _, (one,) = choose(config, [layer], seed, several=False)
    require_memory([(f"layer {one.name}", one)], done="drawn and explained")
    if output_dir is not None:
        require_writable_folder(output_dir)
    stories, notes = stories_of_mistake(known, one, example_operands(one))
    for note in notes:
        # Where nothing can be drawn, that is the result.
        typer.echo(note, err=bool(stories))
    for story in stories:
        if output_dir is None:
            write_out(render(story, one, width=width, color=color))
        else:
            from convcheck.explain.pictures.drawing.page import draw
            from convcheck.explain.pictures.drawing.saving import encode

            content = encode(draw(story, one), format)
            write_out(f"{write_picture(output_dir, one.name, story.name, format, content)}\n")
