"""``convcheck bench``: speed of the formulations, and of PyTorch where it is installed, as ratios."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from convcheck.cli import completion
from convcheck.cli.running import InProcess, Memory, Timeout, limits_of
from convcheck.errors import Parameter, UsageError
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
    batch: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Samples, in place of each layer's own batch.")
    ] = None,
    processor_time: Annotated[
        bool,
        typer.Option(
            "--processor-time",
            help="Count processor time, of all threads together: with one thread, what a busy machine changes least.",
        ),
    ] = False,
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
    from convcheck.targets import spec_of

    if processor_time and target is not None and not in_process:
        raise UsageError(
            Parameter("processor_time"), " is that of this process; give ", Parameter("in_process"), " too"
        )
    if processor_time and target is not None and spec_of(target).command is not None:
        raise UsageError(Parameter("processor_time"), " is that of this process, and a program is another one")
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
            batch=batch,
            rounds=rounds,
            processor_time=processor_time,
            progress=progress,
            limits=limits,
        )
    if output_format is _Format.JSON:
        write(json.dumps(report.to_dict(), indent=2) + "\n", output)
    else:
        width, color = screen()
        write(render(report, width=width, color=color and output is None), output)
