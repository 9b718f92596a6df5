"""``convcheck protocol-check``: whether a program speaks the protocol of targets in any language."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convcheck.cli.running import KeepCase


def protocol_check(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND...",
            help="The program and its arguments, as in the mapping {command: [./my_conv, --fast]}.",
        ),
    ],
    limit: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long each answer may take before the program is stopped.")
    ] = 5.0,
    keep_case: KeepCase = None,
) -> None:
    """Try a program on tiny requests, and say what it does wrong with the protocol (docs/protocol.md).

    Options of convcheck's own come before the program. Exit status: 0 if it does nothing wrong, 1 if it does, 2 if it
    cannot be started.
    """
    import textwrap

    from convcheck.cli.output import require_writable_folder, screen, write_out
    from convcheck.errors import Parameter, UsageError
    from convcheck.targets.programs.cases import Cases
    from convcheck.targets.programs.process import named
    from convcheck.targets.programs.trials import tried
    from convcheck.wording import counted, visible

    if not 0 < limit < float("inf"):
        raise UsageError(Parameter("limit", limit), " is not allowed; expected a positive number of seconds")
    if keep_case is not None:
        require_writable_folder(keep_case)
    wrong = 0
    width = max(screen()[0], 60)
    write_out(f"{visible(named(command))}\n")
    for trial in tried(command, Path(), limit, None if keep_case is None else Cases(keep_case)):
        wrong += trial.status == "wrong"
        write_out(f"  {trial.status:<11}  {trial.name}\n")
        for line in visible(trial.reason).splitlines():
            text = textwrap.fill(
                line, width, initial_indent=" " * 15, subsequent_indent=" " * 15, break_long_words=False,
                break_on_hyphens=False,
            )  # fmt: skip
            write_out(f"{text}\n")
    if wrong:
        write_out(f"FAILED  {counted(wrong, 'trial')} went wrong\n")
    else:
        target = f"{{command: [{', '.join(command)}]}}"
        write_out(f"PASSED  whether its numbers are right: convcheck verify --target '{visible(target)}'\n")
    raise typer.Exit(1 if wrong else 0)
