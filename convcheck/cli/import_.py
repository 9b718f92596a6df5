"""``convcheck import``: the convolutions of a model, or of a list of shapes, as a config."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from convcheck.cli import completion
from convcheck.cli.running import InProcess, Memory, Timeout, limits_of


def import_(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="An ONNX file (.onnx), a PyTorch module (module:factory or path/to/file.py:factory), or a list of "
            "shapes: benchdnn's, MIOpen's, PyTorch's operator logs, DeepBench's tables, a KernelBench problem.",
        ),
    ],
    input_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZES",
            help="Shape of the model's input with the batch, such as 1,3,224,224. A PyTorch module needs it, an ONNX "
            "file only where its own sizes are dynamic, a list of shapes never.",
        ),
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        str | None,
        typer.Option(
            metavar="FORMAT",
            autocompletion=completion.import_formats,
            help="What it is, where neither its name nor what is in it tells: onnx, torch, kernelbench, aten, miopen, "
            "deepbench or benchdnn.",
        ),
    ] = None,
    cover: Annotated[
        bool,
        typer.Option(
            "--cover", help="Keep only a few layers: for each number of axes, all known mistakes show that show on any."
        ),
    ] = False,
    small: Annotated[
        bool,
        typer.Option("--small", help="Cut the batch and the input of large layers down; all else stays as it is."),
    ] = False,
    timeout: Timeout = None,
    memory: Memory = None,
    in_process: InProcess = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the config to this file instead of standard output.")
    ] = None,
) -> None:
    """Write the convolutions of models or of lists of shapes as a config, with comments on what was left out.

    A PyTorch module runs in a process of its own; nothing else is run.

    Exit status: 0 if there is at least one, 2 if not or if the model cannot be read.
    """
    from convcheck.cli.output import refuse_inputs, require_writable, write
    from convcheck.suites.importing import import_model
    from convcheck.suites.importing.model import config_text
    from convcheck.targets.isolation import output_to_stderr
    from convcheck.wording import counted

    limits = limits_of(timeout, memory, in_process)
    if output is not None:
        require_writable(output)
        refuse_inputs([output], *models)
    # What a module prints must not end up inside the config.
    with output_to_stderr():
        found = import_model(models, None if input_size is None else sizes_of(input_size), format, limits)
    if small or cover:
        from convcheck.suites.audit import fewest, smaller

        found = smaller(found) if small else found
        found = fewest(found) if cover else found
    write(config_text(found), output)
    for left_out in found.left_out:
        typer.echo(f"left out: {left_out}", err=True)
    place = "" if output is None else f" to {output}; check it with: convcheck verify {output}"
    typer.echo(f"imported {counted(len(found.layers), 'layer')}{place}", err=True)


def sizes_of(text: str) -> tuple[int, ...]:
    """Return what ``--input-size`` says."""
    from convcheck.errors import UsageError

    parts = text.replace("x", ",").replace("×", ",").split(",")
    # More digits are beyond any size, and in the end more than Python reads.
    if all(re.fullmatch(r"\s*[0-9]{1,18}\s*", part) and int(part) > 0 for part in parts):
        return tuple(int(part) for part in parts)
    raise UsageError(f"--input-size {text} is not allowed; expected positive integers such as 1,3,224,224")
