"""``convcheck import``: the convolutions of a model as a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="An ONNX file (.onnx), or a PyTorch module: module:factory or path/to/file.py:factory.",
        ),
    ],
    input_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZES",
            help="Shape of the model's input with the batch, such as 1,3,224,224. A PyTorch module needs it, an ONNX "
            "file only where its own sizes are dynamic.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the config to this file instead of standard output.")
    ] = None,
) -> None:
    """Write the convolutions of a model as a config, with comments on what was left out.

    Exit status: 0 if there is at least one, 2 if not or if the model cannot be read.
    """
    from convcheck.cli.files import require_writable, write_whole
    from convcheck.cli.output import write_out
    from convcheck.suites.importing import import_model
    from convcheck.suites.importing.model import config_text

    if output is not None:
        require_writable(output)
    found = import_model(model, None if input_size is None else _sizes(input_size))
    text = config_text(found)
    if output is None:
        write_out(text)
    else:
        write_whole(output, text)
    for left_out in found.left_out:
        typer.echo(f"left out: {left_out}", err=True)
    layers = len(found.layers)
    place = "" if output is None else f" to {output}; check it with: convcheck verify {output}"
    typer.echo(f"imported {layers:,} {'layer' if layers == 1 else 'layers'}{place}", err=True)


def _sizes(text: str) -> tuple[int, ...]:
    from convcheck.errors import UsageError

    parts = text.replace("x", ",").replace("×", ",").split(",")
    if all(part.strip().isascii() and part.strip().isdigit() and int(part) > 0 for part in parts):
        return tuple(int(part) for part in parts)
    raise UsageError(f"--input-size {text} is not allowed; expected positive integers such as 1,3,224,224")
