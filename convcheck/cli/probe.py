"""``convcheck probe``: what code takes, found out by trying."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convcheck.cli.running import Device, InProcess, Memory, Timeout, limits_of, start_worker_ahead


def probe(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Code to try: module:name, path/to/file.py:name, or a mapping such as "
            "'{forward: f.py:conv_forward, backward: f.py:conv_backward}'.",
        ),
    ],
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the suite that fits, and the target, as a config.")
    ] = None,
    device: Device = None,
    timeout: Timeout = None,
    memory: Memory = None,
    in_process: InProcess = False,
) -> None:
    """Find out what code takes by trying its forward pass on tiny layers, and which suite fits.

    Exit status: 0 if there is a layer that it takes, 1 if there is none, 2 for a wrong option or target.
    """
    if not in_process:
        start_worker_ahead()
    import textwrap

    from convcheck.cli.output import require_writable, screen, write_out, write_whole
    from convcheck.suites.fitting import as_config, fit
    from convcheck.targets.isolation import output_to_stderr
    from convcheck.wording import counted, visible

    if save is not None:
        require_writable(save)
    with output_to_stderr():
        fitted = fit(target, device=device, limits=limits_of(timeout, memory, in_process))
    found, suite = fitted.probe, fitted.suite
    if save is not None and found.usable:
        write_whole(save, as_config(fitted, save.parent))
    lines = [("takes", ", ".join(found.words) or "none of the layers that were tried")]
    lines += [("does not take", limit) for limit in found.limits]
    lines += [("found", words) for words in found.found]
    lines += [("left out", words) for words in found.left_out]
    if found.usable:
        lines.append(("suite", f"{counted(len(suite.layers), 'layer')}: {', '.join(x.name for x in suite.layers)}"))
    text = [visible(fitted.spec.named)]
    for (label, words), above in zip(lines, [("", ""), *lines], strict=False):
        head = "" if label == above[0] else label
        text += textwrap.wrap(
            visible(words), max(screen()[0], 40), initial_indent=f"  {head:<15}  ", subsequent_indent=" " * 19,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    write_out("\n".join(text) + "\n")
    if save is not None and found.usable:
        number = counted(len(fitted.suite.layers), "layer")
        typer.echo(f"wrote {number} to {save}; check them with: convcheck verify {save}", err=True)
    raise typer.Exit(0 if found.usable else 1)
