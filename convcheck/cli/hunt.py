"""``convcheck hunt``: search for a layer and a condition on which code fails."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convcheck.cli import completion
from convcheck.cli.running import Device, InProcess, Memory, Timeout, limits_of
from convcheck.cli.verify import known_format
from convcheck.errors import Parameter, UsageError
from convcheck.layer.fields import RANDOM
from convcheck.reports.formats import FORMATS


def hunt(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Code to check: module:name, path/to/file.py:name, or a mapping such as "
            "'{forward: f.py:conv_forward, backward: f.py:conv_backward}'.",
        ),
    ],
    configs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG]...",
            autocompletion=completion.configs,
            help="Config files, or names of suites, with layers to start from; half of the others are near them.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(metavar="S", help="How long to search.")] = 60.0,
    cases: Annotated[int | None, typer.Option(metavar="N", help="How many cases to try at most.")] = None,
    seed: Annotated[
        str,
        typer.Option(metavar="N|random", help="From which cases and data are drawn; random draws one and says it."),
    ] = "0",
    max_error: Annotated[
        float | None, typer.Option(metavar="E", help="Allow this relative error, in place of the derived bounds.")
    ] = None,
    no_shrink: Annotated[
        bool, typer.Option("--no-shrink", help="Do not look for the smallest case on which the code still fails.")
    ] = False,
    shrink_seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long the search for the smallest case may take.")
    ] = 5.0,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", help="Run so many searches at once, each on cases of its own.")
    ] = 1,
    device: Device = None,
    timeout: Timeout = None,
    memory: Memory = None,
    in_process: InProcess = False,
    output_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            autocompletion=completion.formats,
            callback=known_format,
            help=f"How to report on standard output: {', '.join(FORMATS)}; table by default.",
        ),
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Write the report to this file, as for verify. Repeatable."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress, and of the table only what was found.")
    ] = False,
) -> None:
    """Search for a layer and a condition on which code fails, within what it takes.

    Exit status: 0 if nothing was found, 1 if something was, 2 for a wrong option, config or target, 130 if interrupted.
    """
    from convcheck.cli.output import choose_destinations
    from convcheck.cli.progress import Progress
    from convcheck.layer.layer import drawn_seed
    from convcheck.targets.isolation import output_to_stderr
    from convcheck.verification import Interrupted
    from convcheck.verification import hunt as run

    if seed != RANDOM and not seed.isdecimal():
        raise UsageError(Parameter("seed", seed), " is not allowed; expected an integer of at least 0, or random")
    # What cannot be is said before anything runs.
    limits_of(timeout, memory, in_process)
    number = drawn_seed() if seed == RANDOM else int(seed)
    places = choose_destinations(output_format, output or [], quiet=quiet)
    # What the code under test prints must not end up inside the report.
    try:
        with output_to_stderr(), Progress(quiet=quiet) as progress:
            report = run(
                target, configs or (), seconds=seconds, cases=cases, seed=number, device=device, max_error=max_error,
                shrink=not no_shrink, shrink_seconds=shrink_seconds, timeout=timeout, memory=memory,
                in_process=in_process, jobs=jobs, progress=progress,
            )  # fmt: skip
    except Interrupted as interruption:
        # What was tried until now may have taken long: it is not thrown away.
        if interruption.report.layers or output:
            places.write(interruption.report)
        raise
    places.write(report)
    raise typer.Exit(0 if report.passed else 1)
