"""``convcheck verify``: check layers, write the report, exit with the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convcheck.render import FORMATS

if TYPE_CHECKING:
    from convcheck.report import Report

__all__ = ["verify"]


def _known_format(name: str) -> str:
    if name not in FORMATS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(FORMATS)}")
    return name


def verify(
    configs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG",
            help="Config files, or names of suites that ship with convcheck; without one, convcheck.yaml in the "
            "current folder, or else the suite textbook.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help="Code to check: module:name, path/to/file.py:name, or a mapping such as "
            "'{forward: f.py:conv_forward, backward: f.py:conv_backward}'.",
        ),
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Run only this check: forward, central, exact or projected. Repeatable."),
    ] = None,
    formulation: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Check only this built-in formulation. Repeatable."),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            "-k",
            metavar="EXPR",
            help="Check only layers whose names contain a word; words can be joined by and, or, not and parentheses, "
            "and a word in quotes is a whole name.",
        ),
    ] = None,
    exit_first: Annotated[bool, typer.Option("-x", help="Stop at the first layer that does not pass.")] = False,
    max_error: Annotated[
        float | None,
        typer.Option(metavar="E", help="Allow this relative error, in place of the config's gate and derived bounds."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the data, in place of each layer's own.")
    ] = None,
    complete: Annotated[bool, typer.Option("--complete", help="Compare every entry, however long it takes.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if there is a known mistake that these layers cannot show.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where a PyTorch or JAX target runs, such as cuda.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Stop a target that takes longer than this for a layer.")
    ] = None,
    output_format: Annotated[
        str,
        typer.Option(metavar="FORMAT", callback=_known_format, help=f"How to report: {', '.join(FORMATS)}."),
    ] = "table",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report to this file instead of standard output.")
    ] = None,
) -> None:
    """Check the backward pass of layers.

    Exit status: 0 if all passed, 1 if anything did not, 2 for a wrong option, config or target, 130 if interrupted.
    """
    from convcheck.cli.progress import Progress
    from convcheck.files import require_writable
    from convcheck.suites import default_source
    from convcheck.targets.isolation import output_to_stderr
    from convcheck.verification import verify as run

    if output is not None:
        require_writable(output)
    # What the code under test prints must not end up inside the report.
    with output_to_stderr(), Progress() as progress:
        report = run(
            configs or [default_source()], target=target, checks=check, formulations=formulation, select=select,
            exit_first=exit_first, max_error=max_error, seed=seed, complete=complete, blind_spots=True, strict=strict,
            device=device, timeout=timeout, progress=progress,
        )  # fmt: skip
    _write(report, output_format, output)
    raise typer.Exit(0 if report.passed else 1)


def _write(report: Report, output_format: str, output: Path | None) -> None:
    from convcheck.cli.output import screen, write_out
    from convcheck.files import write_whole
    from convcheck.render import render

    width, color = screen()
    if output is None:
        write_out(render(report, output_format, width=width, color=color))
        return
    write_whole(output, render(report, output_format, width=width))
    verdict = "passed" if report.passed else "FAILED"
    typer.echo(f"{verdict}; the report is in {output}", err=True)
