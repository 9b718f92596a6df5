"""``convcheck judge``: everything that convcheck can try on code that is not trusted, and a short answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from convcheck.cli import completion
from convcheck.cli.running import Device, Memory, Timeout, limits_of, start_worker_ahead
from convcheck.cli.verify import parsed_seed
from convcheck.layer.fields import RANDOM


def judge(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Code to judge: module:name, path/to/file.py:name, or a mapping such as "
            "'{forward: f.py:conv_forward, backward: f.py:conv_backward}'.",
        ),
    ],
    configs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG]...",
            autocompletion=completion.configs,
            help="Config files, or names of suites, to check beside the suite that is fitted to what the code takes.",
        ),
    ] = None,
    seed: Annotated[
        Any, typer.Option(metavar="N", parser=parsed_seed, help="Seed of all data; by default one is drawn, and told.")
    ] = RANDOM,
    seconds: Annotated[
        float, typer.Option(metavar="S", help="How long to search for a layer and a condition on which it fails.")
    ] = 20.0,
    device: Device = None,
    timeout: Timeout = None,
    memory: Memory = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the whole report, in the format of its ending: report.json."),
    ] = None,
) -> None:
    """Judge code that is not trusted: verify it with everything on, on data that it cannot know, and search further.

    The suite that fits what the code takes is verified under all conditions, then the configs that are given; where all
    of that passes, further layers and conditions are searched. The code runs in a process of its own. A short JSON goes
    to standard output: the verdict, the share of checks passed, the mistakes by name, the smallest case that fails.

    Exit status: 0 if all passed, 1 if anything did not, 2 for a wrong option, config or target, 130 if interrupted.
    """
    start_worker_ahead()
    import json
    from dataclasses import replace

    from convcheck.cli.output import choose_destinations, refuse_inputs, write_out
    from convcheck.cli.progress import Progress
    from convcheck.layer.layer import drawn_seed
    from convcheck.reports.judgement import Judgement
    from convcheck.suites import strategies  # noqa: F401 - without Hypothesis it ends here, before anything has run
    from convcheck.suites.fitting import fit
    from convcheck.targets.choice import spared
    from convcheck.targets.isolation import output_to_stderr
    from convcheck.targets.process.keepers import require_support
    from convcheck.verification import hunt, verify

    require_support("judge")
    number = drawn_seed() if seed == RANDOM else seed
    outputs = [] if output is None else [output]
    refuse_inputs(outputs, *(configs or []), target)
    places = choose_destinations(None, outputs, quiet=True)
    limits = limits_of(timeout, memory, in_process=False)
    options: dict[str, Any] = {"seed": number, "device": device, "timeout": timeout, "memory": memory}
    with output_to_stderr(), Progress(quiet=False) as progress:
        options |= {"in_process": False, "progress": progress}
        fitted = fit(target, device=device, limits=limits)
        report = verify(fitted, target=target, blind_spots=True, **options)
        if configs:
            given = verify(configs, target=target, **options)
            report = replace(report, layers=report.layers + given.layers)
        if report.passed:
            hunted = hunt(target, configs or (), seconds=seconds, **options)
            # Its first layer is the plainest, which was verified above.
            report = replace(report, layers=report.layers + hunted.layers[1:], hunt=hunted.hunt)
    report = replace(report, left_out=(*report.left_out, *spared(fitted.spec, fitted.probe.target.inapplicable)))
    if outputs:
        replace(places, screen=None).write(report)
    judgement = Judgement.of(report, number, None if output is None else str(output))
    write_out(json.dumps(judgement.to_dict(), indent=2) + "\n")
    raise typer.Exit(0 if report.passed else 1)
