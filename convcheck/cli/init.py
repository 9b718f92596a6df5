"""``convcheck init``: the files to start from."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from convcheck.cli import completion
from convcheck.suites.starter import CI_FILES, FORMS, LANGUAGES, NO_CI, Language, starter_files


def _one_of(names: Collection[str], name: str) -> str:
    if name not in names:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(names)}")
    return name


def _known_form(name: str) -> str:
    return _one_of(FORMS, name)


def _known_ci(name: str) -> str:
    return _one_of([*CI_FILES, NO_CI], name)


def _known_language(name: str | None) -> str | None:
    return None if name is None else _one_of(LANGUAGES, name)


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write; made if it is not there.")] = Path(),
    form: Annotated[
        str,
        typer.Option(
            metavar="FORM",
            autocompletion=completion.forms,
            callback=_known_form,
            help=f"The form of your code: {', '.join(f'{name} ({form.words})' for name, form in FORMS.items())}.",
        ),
    ] = "object",
    language: Annotated[
        str | None,
        typer.Option(
            metavar="LANGUAGE",
            autocompletion=completion.languages,
            callback=_known_language,
            help=f"The language of a program or library: {', '.join(LANGUAGES)}; {LANGUAGES[0]} by default.",
        ),
    ] = None,
    ci: Annotated[
        str,
        typer.Option(
            metavar="SYSTEM",
            autocompletion=completion.ci_systems,
            callback=_known_ci,
            help=f"The CI system to write a job for: {', '.join(CI_FILES)}, or {NO_CI}.",
        ),
    ] = "github",
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Write a config, a skeleton of the code to check and a CI job to start from."""
    from convcheck.cli.output import write_whole
    from convcheck.errors import Parameter, UsageError

    chosen = FORMS[form]
    if language is not None and language not in (chosen.languages or ["python"]):
        others = [name for name, other in FORMS.items() if language in other.languages]
        raise UsageError(
            Parameter("language", language), f" is not for the form {form}; expected one of "
            f"{', '.join(chosen.languages or ['python'])}, or one of these forms: {', '.join(others)}",
        )  # fmt: skip
    written = starter_files(form, None if ci == NO_CI else ci, language)
    files = {folder / name: text for name, text in written.items()}
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
    typer.echo(_next_steps(folder, chosen.edit, chosen.language(language)))


def _next_steps(folder: Path, edit: str, code: Language) -> str:
    enter = [] if folder.resolve() == Path.cwd() else [f"  cd {shlex.quote(str(folder))}"]
    again = "build and run it again" if code.build else "run it again"
    steps = [
        "",
        "next:",
        *enter,
        *([f"  {code.build}"] if code.build else []),
        "  convcheck verify",
        "",
        f"The skeleton passes. Replace {edit} in {code.file}",
        f"by your own code, describe your layers in convcheck.yaml, and {again}.",
    ]
    return "\n".join(steps)
