"""``convcheck bench``: speed of the formulations, and of PyTorch where it is installed, as ratios."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convcheck.cli import completion
from convcheck.layer.fields import DTYPES

if TYPE_CHECKING:
    from convcheck.bench import BenchReport

_FORMATS = ("table", "json")


def _known_format(name: str) -> str:
    if name not in _FORMATS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(_FORMATS)}")
    return name


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
    formulation: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Time only this built-in formulation. Repeatable.")
    ] = None,
    select: Annotated[str | None, typer.Option("-k", metavar="EXPR", help="Time only layers so named.")] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="DTYPE", help=f"{' or '.join(DTYPES)}, in place of each layer's own.")
    ] = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="How often everything is timed.")] = 5,
    output_format: Annotated[
        str, typer.Option(metavar="FORMAT", callback=_known_format, help=f"How to report: {', '.join(_FORMATS)}.")
    ] = "table",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report to this file instead of standard output.")
    ] = None,
) -> None:
    """Time forward and backward passes and whole checks, as ratios to PyTorch's.

    Everything is timed in turn, in one run, on the same arrays. Without PyTorch, ratios are to the fastest formulation.
    """
    from convcheck.bench import bench as run
    from convcheck.cli.files import require_writable
    from convcheck.cli.progress import Progress
    from convcheck.suites.config import load
    from convcheck.suites.select import restricted
    from convcheck.suites.shipped import default_source

    if output is not None:
        require_writable(output)
    suite = restricted(load(config or default_source()), select)
    with Progress() as progress:
        report = run(
            suite, target=target, formulations=formulation or (), dtype=dtype, rounds=rounds, progress=progress
        )
    _write(report, output_format, output)


def _write(report: BenchReport, output_format: str, output: Path | None) -> None:
    import json

    from convcheck.bench import render
    from convcheck.cli.files import write_whole
    from convcheck.cli.output import screen, write_out

    width, color = screen()
    if output_format == "json":
        text = json.dumps(report.to_dict(), indent=2) + "\n"
    else:
        text = render(report, width=width, color=color and output is None)
    if output is None:
        write_out(text)
    else:
        write_whole(output, text)
