"""``convcheck explain``: one entry term by term, or a layer's derivation."""

from __future__ import annotations

from typing import Annotated

import typer

from convcheck.cli import completion


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
        typer.Option(metavar="NAME", autocompletion=completion.layers, help="The layer; needed if there are several."),
    ] = None,
    entry: Annotated[
        str | None,
        typer.Option(metavar="ENTRY", help="Such as 'input[0,1,2,2]'; also weight[...], bias[...], output[...]."),
    ] = None,
    output_format: Annotated[str, typer.Option(metavar="FORMAT", help="How to write: text, latex, markdown.")] = "text",
    notation: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Write as one of the teaching texts does: T0, T1, T2, T3, T4.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of the data, in place of the layer's own.")
    ] = None,
) -> None:
    """Explain an entry of a gradient term by term; without --entry, derive the layer's backward pass.

    Exit status: 0, or 2 for a wrong option or config.
    """
    from convcheck.checks import memory
    from convcheck.cli.output import write_out
    from convcheck.explain.pictures.data import example_operands
    from convcheck.explain.sums import derivation, render
    from convcheck.explain.sums import entry as entries
    from convcheck.explain.sums.notation import notation as find_notation
    from convcheck.explain.sums.terms import explain as find_terms
    from convcheck.explain.sums.terms import parse_entry
    from convcheck.suites.select import choose

    writing = find_notation(notation)
    _, (one,) = choose(config, [layer] if layer is not None else [], seed, several=False)
    if entry is None:
        document = derivation.document(one, writing)
    else:
        array, index = parse_entry(entry, one)
        memory.require([(f"layer {one.name}", one)])
        document = entries.document(find_terms(one, example_operands(one), array, index), writing)
    write_out(render(document, output_format))
