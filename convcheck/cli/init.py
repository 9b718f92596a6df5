"""``convcheck init``: the files to start from."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class _Form(StrEnum):
    OBJECT = "object"
    CACHE = "cache"
    LAYER = "layer"
    TORCH = "torch"
    JAX = "jax"


class _Ci(StrEnum):
    GITHUB = "github"
    GITLAB = "gitlab"
    NONE = "none"


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write; made if it is not there.")] = Path(),
    form: Annotated[
        _Form,
        typer.Option(
            help="The form of your code: an object with forward and backward, two functions with a cache, a layer "
            "object, a PyTorch function, or a JAX function."
        ),
    ] = _Form.OBJECT,
    ci: Annotated[_Ci, typer.Option(help="The CI system to write a job for.")] = _Ci.GITHUB,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Write a config, a skeleton of the code to check and a CI job to start from."""
    from convcheck.cli.output import write_whole
    from convcheck.errors import UsageError
    from convcheck.suites.starter import FORMS, starter_files

    files = {folder / name: text for name, text in starter_files(form, None if ci is _Ci.NONE else ci).items()}
    there = [str(path) for path in files if path.exists() or path.is_symlink()]
    if there and not force:
        raise UsageError(f"{', '.join(there)} already there; nothing was written; overwrite with --force")
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {path.parent}: {error.strerror or error}") from error
        write_whole(path, text)
    typer.echo("\n".join(f"wrote {path}" for path in files))
    typer.echo(_next_steps(folder, FORMS[form].edit))


def _next_steps(folder: Path, edit: str) -> str:
    enter = [] if folder.resolve() == Path.cwd() else [f"  cd {shlex.quote(str(folder))}"]
    steps = [
        "",
        "next:",
        *enter,
        "  convcheck verify",
        "",
        f"The skeleton passes. Replace {edit} in my_conv.py",
        "by your own code, describe your layers in convcheck.yaml, and run it again.",
    ]
    return "\n".join(steps)
