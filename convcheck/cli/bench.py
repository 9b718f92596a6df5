"""``convcheck bench``: speed of the formulations, and of PyTorch where it is installed, as ratios."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from convcheck.cli import completion
from convcheck.cli.running import InProcess, Memory, Timeout, limits_of
from convcheck.layer.fields import USUAL


class _Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def bench(
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONFIG]",
            autocompletion=completion.configs,
            help="A config file, or the name of a suite; by default as for verify.",
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="TARGET", help="Code to time too: module:name or path/to/file.py:name.")
    ] = None,
    timeout: Timeout = None,
    memory: Memory = None,
    in_process: InProcess = False,
    formulation: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Time only this built-in formulation. Repeatable.")
    ] = None,
    select: Annotated[str | None, typer.Option("-k", metavar="EXPR", help="Time only layers so named.")] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="DTYPE", help=f"{' or '.join(USUAL)}, in place of each layer's own.")
    ] = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="How often everything is timed.")] = 5,
    output_format: Annotated[
        _Format, typer.Option(metavar="FORMAT", help=f"How to report: {', '.join(_Format)}.")
    ] = _Format.TABLE,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report to this file instead of standard output.")
    ] = None,
) -> None:
    """Time forward and backward passes and whole checks, as ratios to PyTorch's.

    Everything is timed in turn, in one run, on the same arrays. Without PyTorch, ratios are to the fastest formulation.
    """
    import json

    from convcheck.bench import bench as run
    from convcheck.bench import render
    from convcheck.cli.output import require_writable, screen, write
    from convcheck.cli.progress import Progress
    from convcheck.suites.config import load
    from convcheck.suites.select import restricted
    from convcheck.suites.shipped import default_source

    limits = limits_of(timeout, memory, in_process)
    if output is not None:
        require_writable(output)
    suite = restricted(load(config or default_source()), select)
    with Progress() as progress:
        report = run(
            suite,
            target=target,
            formulations=formulation or (),
            dtype=dtype,
            rounds=rounds,
            progress=progress,
            limits=limits,
        )
    if output_format is _Format.JSON:
        write(json.dumps(report.to_dict(), indent=2) + "\n", output)
    else:
        width, color = screen()
        write(render(report, width=width, color=color and output is None), output)
