"""``convcheck audit``: what a set of layers could ever show."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from convcheck.cli import completion


class _Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def audit(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG]...",
            autocompletion=completion.configs,
            help="Config files, names of suites that ship with convcheck, or what `convcheck import` reads; without "
            "one, as for `convcheck verify`. With --record, a command and its arguments, behind --.",
        ),
    ] = None,
    record: Annotated[
        bool,
        typer.Option("--record", help="Run a command and audit the layers that it calls: --record -- pytest tests/."),
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help="With --record, code to record beside PyTorch and JAX: the forward function, or the class of a layer, "
            "as module:name or path/to/file.py:name.",
        ),
    ] = None,
    require: Annotated[
        int | None, typer.Option(metavar="N", help="Fail unless so many known mistakes would show in every form.")
    ] = None,
    input_size: Annotated[
        str | None,
        typer.Option(metavar="SIZES", help="Shape of the input of a PyTorch module or an ONNX file, as for import."),
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        str | None,
        typer.Option(
            metavar="FORMAT", autocompletion=completion.import_formats, help="What the files are, as for import."
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --record, write the recorded layers as a config.")
    ] = None,
    output_format: Annotated[
        _Format | None, typer.Option(help="How to report on standard output; table by default.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the report to this file instead; as JSON if its name ends in .json, unless --output-format "
            "says otherwise.",
        ),
    ] = None,
) -> None:
    """Say which known mistakes tests on these layers could show, which never, and which layers to add.

    Exit status: 0; 1 if fewer mistakes than --require could show in every form; 2 for a wrong option or source. That of
    a recorded command is told.
    """
    from convcheck.cli.import_ import sizes_of
    from convcheck.cli.output import require_writable, screen, write, write_whole
    from convcheck.errors import Parameter, UsageError
    from convcheck.reports.audit import render
    from convcheck.suites.audit import audit as run
    from convcheck.suites.audit import found_in, with_status
    from convcheck.suites.importing.model import config_text
    from convcheck.suites.recording import record as recorded
    from convcheck.suites.shipped import default_source
    from convcheck.wording import counted

    for path in filter(None, (save, output)):
        require_writable(path)
    if record and not sources:
        raise UsageError(Parameter("record"), " needs a command behind --, for example: --record -- pytest tests/")
    for name, value in {"target": target, "save": save}.items():
        if value is not None and not record:
            raise UsageError(Parameter(name), " is about a recorded command; give one with --record -- COMMAND")
    for name, value in {"input_size": input_size, "format": format}.items():
        if value is not None and record:
            raise UsageError(Parameter(name), " is about files; leave it out with ", Parameter("record"))
    if record:
        model, status = recorded(sources or [], target)
        typer.echo(
            f"recorded {counted(len(model.found), 'layer')} of a command that ended with status {status}", err=True
        )
        if save is not None:
            write_whole(save, config_text(model))
        found = with_status(run(model, require=require), status)
    else:
        size = None if input_size is None else sizes_of(input_size)
        found = run([found_in(source, size, format) for source in sources or [default_source()]], require=require)
    named = output_format or (_Format.JSON if output is not None and output.suffix == ".json" else _Format.TABLE)
    width, color = screen()
    write(render(found, named, width=width, color=color and output is None), output)
    raise typer.Exit(0 if found.passed else 1)
