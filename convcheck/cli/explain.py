"""``convcheck explain``: one entry term by term, or a layer's derivation."""

from __future__ import annotations

from typing import Annotated

import typer

from convcheck.cli import completion
from convcheck.cli.running import Device, InProcess, Memory, Timeout, limits_of
from convcheck.explain import DATA_HELP
from convcheck.explain.sums.writers import FORMATS


def explain(
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONFIG]",
            autocompletion=completion.configs,
            help="A config file, or the name of a suite that ships with convcheck; without one, convcheck.yaml in the "
            "current folder, or else a worked example with stride 2.",
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.layers,
            help="The layer, by its name or as it stands in a config, such as '{channels: 1, filters: 1, kernel: 2}'; "
            "needed if there are several.",
        ),
    ] = None,
    entry: Annotated[
        str | None,
        typer.Option(metavar="ENTRY", help="Such as 'input[0,1,2,2]'; also weight[...], bias[...], output[...]."),
    ] = None,
    output_format: Annotated[str, typer.Option(metavar="FORMAT", help=f"How to write: {', '.join(FORMATS)}.")] = "text",
    target: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help="Also say what this code gives for the entry, on the numbers of verify; by default what the config "
            "names.",
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="DATA", help=DATA_HELP)] = None,
    device: Device = None,
    timeout: Timeout = None,
    memory: Memory = None,
    in_process: InProcess = False,
    notation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.notations,
            help="Write as one of the teaching texts does, such as dilate-flip; list says which there are.",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Write every term of a long sum, instead of its parts and the first few.")
    ] = False,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="D", autocompletion=completion.dtypes, help="Data type of the layer, in place of its own."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the data, in place of the layer's own.")
    ] = None,
) -> None:
    """Explain an entry of a gradient term by term; without --entry, derive the layer's backward pass.

    Exit status: 0, or 2 for a wrong option, config or target.
    """
    from convcheck.checks.memory import require as require_memory
    from convcheck.cli.output import screen, write_out
    from convcheck.errors import Parameter, TargetError, UsageError
    from convcheck.explain.pictures.selection import parse_entry
    from convcheck.explain.sums import derivation
    from convcheck.explain.sums import entry as entries
    from convcheck.explain.sums.notation import LIST, listing
    from convcheck.explain.sums.notation import notation as find_notation
    from convcheck.explain.sums.terms import explain as find_terms
    from convcheck.explain.sums.writers import render
    from convcheck.explain.trial import target_of, trial
    from convcheck.suites.select import choose
    from convcheck.targets.isolation import output_to_stderr

    if notation == LIST:
        write_out(listing())
        return
    limits = limits_of(timeout, memory, in_process)
    writing = find_notation(notation)
    # What the code prints must not end up among the formulas.
    with output_to_stderr():
        suite, (one,) = choose(
            config,
            [layer] if layer is not None else [],
            seed,
            several=False,
            target=target,
            device=device,
            dtype=dtype,
            limits=limits,
        )
    require_memory([(f"layer {one.name}", one)], done="drawn and explained")
    if entry is None:
        if given := next((name for name, value in (("target", target), ("data", data)) if value is not None), None):
            raise UsageError(Parameter(given), " is about the numbers of an entry; say which with ", Parameter("entry"))
        if everything:
            raise UsageError("--all is about the terms of an entry; say which with ", Parameter("entry"))
        document = derivation.document(one, writing)
    else:
        array, index = parse_entry(entry, one)
        with output_to_stderr():
            tried = trial(one, target_of(suite, target, device, data, limits), data)
            if tried.refusal is not None:
                raise TargetError(tried.refusal)
            found = find_terms(tried.layer, tried.operands, array, index, tried.observed)
        document = entries.document(found, writing, everything=everything)
    write_out(render(document, output_format, screen()[0]))
