"""``convcheck verify``: check layers, write the report, exit with the verdict."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from convcheck.cli import completion
from convcheck.cli.running import Device, InProcess, KeepCase, Memory, Timeout, limits_of, start_worker_ahead
from convcheck.errors import Parameter, UsageError
from convcheck.layer.fields import RANDOM
from convcheck.reports.formats import FORMATS


def known_format(name: str | None) -> str | None:
    if name is not None and name not in FORMATS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(FORMATS)}")
    return name


def parsed_seed(text: str) -> int | str:
    """Read the option ``--seed``."""
    if text == RANDOM:
        return text
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a valid integer, and not {RANDOM}") from None


def verify(
    configs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG",
            autocompletion=completion.configs,
            help="Config files, or names of suites that ship with convcheck; without one, convcheck.yaml in the "
            "current folder, else the suite fitted to what --target takes, else the suite textbook.",
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
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER",
            help="Check this layer, written as in a config, such as '{channels: 1, filters: 1, kernel: 2}', in place "
            "of those of CONFIG, whose target and gate hold.",
        ),
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            autocompletion=completion.checks,
            help="Run only this check: forward, central, exact, projected, accumulate, conditions or double; "
            "repeatable.",
        ),
    ] = None,
    skip_condition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SLUG",
            autocompletion=completion.conditions,
            help="Do not run code under this condition, such as negative-strides; the report says so. Repeatable.",
        ),
    ] = None,
    formulation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.formulations,
            help="Check only this built-in formulation. Repeatable.",
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            "-k",
            metavar="EXPR",
            autocompletion=completion.layers,
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
        Any,
        typer.Option(
            metavar="N",
            parser=parsed_seed,
            help="Seed of the data, in place of each layer's own, or random, which draws one and says which.",
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="D",
            autocompletion=completion.dtypes,
            help="Data type of all layers, such as float32, in place of each layer's own.",
        ),
    ] = None,
    complete: Annotated[bool, typer.Option("--complete", help="Compare every entry, however long it takes.")] = False,
    no_shrink: Annotated[
        bool, typer.Option("--no-shrink", help="Do not look for the smallest case on which failed code still fails.")
    ] = False,
    shrink_seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long the search for the smallest cases may take in all.")
    ] = 5.0,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Fail if there is a blind spot: a known mistake that cannot show, or a circumstance never tried; and, "
            "with status 2, if there is no target.",
        ),
    ] = False,
    require_target: Annotated[
        bool,
        typer.Option(
            "--require-target",
            help="Fail with status 2 where no code of yours would be checked, only convcheck's own formulations.",
        ),
    ] = False,
    device: Device = None,
    timeout: Timeout = None,
    memory: Memory = None,
    in_process: InProcess = False,
    keep_case: KeepCase = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", help="Check so many layers side by side.")] = 1,
    executor: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="Check layers, and parts of large ones, elsewhere: dask://HOST:PORT, a Dask cluster; loky://N, N "
            "processes; mpi://, the ranks of mpiexec.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Keep what is finished in this file; the same command goes on after it was ended."
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A stored JSON report: fail only on what is worse than in it."),
    ] = None,
    output_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            autocompletion=completion.formats,
            callback=known_format,
            help=f"How to report on standard output: {', '.join(FORMATS)}; table by default.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the suite that was fitted to what --target takes as a config to keep."
        ),
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Write the report to this file, in the format of its ending, such as report.json, or of "
            "--output-format. Repeatable. Standard output then gets only a format that no file has.",
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Show no progress, and of the table only the verdict and what was found: one line if all passed.",
        ),
    ] = False,
) -> None:
    """Check the backward pass of layers.

    Exit status: 0 if all passed (with --baseline: if nothing got worse), 1 if anything did not, 2 for a wrong option,
    config or target, 130 if interrupted.
    """
    if target is not None and not in_process:
        start_worker_ahead()
    from convcheck.cli.output import choose_destinations, refuse_inputs, require_writable, write_whole
    from convcheck.cli.progress import Progress
    from convcheck.reports.baseline import load, render_changes
    from convcheck.suites.fitting import as_config, fit
    from convcheck.suites.select import with_layer
    from convcheck.suites.shipped import DEFAULT_FILE, default_source, is_fitted
    from convcheck.targets.isolation import output_to_stderr
    from convcheck.verification import Interrupted
    from convcheck.verification import verify as run

    limits = limits_of(timeout, memory, in_process, keep_case)
    earlier = None if baseline is None else load(baseline)
    written = [*(output or []), *([] if save is None else [save]), *([] if state is None else [state])]
    read = [place for place in (*(configs or []), target) if place is not None]
    refuse_inputs(written, *read, *_targets_in(configs, written))
    places = choose_destinations(output_format, output or [], quiet=quiet)
    if state is not None and state.resolve() in [place.resolve() for place in output or []]:
        raise UsageError(f"--state {state} is the file of a report too; expected one of its own")
    if layer is not None and configs and len(configs) > 1:
        raise UsageError(Parameter("layer"), f" takes one config, whose target holds; got {', '.join(configs)}")
    alone = None if layer is None else with_layer(configs[0] if configs else None, layer)
    fits = alone is None and is_fitted(configs, target)
    if save is not None:
        if not fits:
            given = (
                f"leave out {', '.join(configs)}" if configs else "give a target, in a folder without " + DEFAULT_FILE
            )
            raise UsageError(Parameter("save"), f" writes the suite that is fitted to a target; {given}")
        require_writable(save)
    # What the code under test prints must not end up inside the report.
    try:
        with places.lines() as each, output_to_stderr(), Progress(quiet=quiet, pace=1.0) as progress:
            subject: Any = alone or configs or [default_source()]
            # What contradicts itself is refused before the code is run.
            if fits and not formulation:
                subject = fitted = fit(target, device=device, limits=limits)
                if save is not None:
                    write_whole(save, as_config(fitted, save.parent))
            report = run(
                subject, target=target, checks=check, skip_conditions=skip_condition or (),
                formulations=formulation, select=select, exit_first=exit_first, max_error=max_error, seed=seed,
                dtype=dtype, complete=complete, blind_spots=True, shrink=not no_shrink,
                shrink_seconds=shrink_seconds, strict=strict, require_target=require_target, device=device,
                timeout=timeout, memory=memory, in_process=in_process, keep_case=keep_case, jobs=jobs,
                executor=executor, state=state, each=each, progress=progress,
            )  # fmt: skip
    except Interrupted as interruption:
        # What was found until now may have taken long: it is not thrown away.
        if interruption.report.layers or output:
            places.write(interruption.report)
        raise

    def page() -> str | None:
        from convcheck.explain.page.report import report_page

        with output_to_stderr():
            return report_page(report, target, device, limits, fitted.suite if report.fitted else None)

    places.write(report, page)
    if seed == RANDOM:
        typer.echo(f"the data were drawn with --seed {report.seed}", err=True)
    if keep_case is not None and keep_case.is_dir() and any(keep_case.iterdir()):
        typer.echo(f"what the program was given when it failed is in {keep_case}", err=True)
    passed = report.passed
    if earlier is not None:
        comparison = earlier.compare(report)
        passed = comparison.passed and not report.unchecked and not (report.strict and report.blind_spots)
        typer.echo(render_changes(comparison, str(baseline)), err=True, nl=False)
    raise typer.Exit(0 if passed else 1)


def _targets_in(configs: list[str] | None, outputs: list[Path]) -> list[str]:
    """Return the code that configs name, as it is found from here, where an output is there already."""
    from convcheck.suites.config import load
    from convcheck.suites.shipped import default_source

    if not any(output.exists() for output in outputs):
        return []
    suites = [load(config) for config in configs or [default_source()]]
    return [
        str(suite.path.parent / word)
        for suite in suites
        if suite.target is not None and suite.path is not None
        for word in re.findall(r"[^\s{},:'\"]+\.py", str(suite.target))
    ]
