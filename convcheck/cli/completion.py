"""What a shell offers behind a command: suites, files, layers, checks, conditions, dtypes, formats, and other names.

The shell runs convcheck for every press of Tab, so a mistake here must give nothing rather than an error.
"""

from __future__ import annotations

import glob

import typer

from convcheck.suites.starter import CI_FILES, FORMS, LANGUAGES, NO_CI


def configs(incomplete: str) -> list[str]:
    """Return the suites that ship with convcheck, then the config files and folders that begin like this."""
    from convcheck.suites import shipped as suites

    found = [name for name in suites.names() if name.startswith(incomplete)]
    begun = glob.escape(incomplete)
    files = [path for ending in ("yaml", "yml") for path in glob.glob(f"{begun}*.{ending}")]
    return [*found, *sorted(files), *sorted(glob.glob(f"{begun}*/"))]


def layers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the layers of the configs that are already on the line, or of the default one."""
    from convcheck.errors import ConvcheckError
    from convcheck.suites.config import load
    from convcheck.suites.shipped import default_source

    names: list[str] = []
    # A line that ends in an option without its value is not parsed: its words are then all arguments. What is no config
    # among them cannot be loaded.
    words = [word for word in ctx.args if not word.startswith("-")]
    given = ctx.params.get("configs") or [ctx.params.get("config")]
    for source in [source for source in given if source] or words or [default_source()]:
        try:
            names += [layer.name for layer in load(source).layers]
        except ConvcheckError:
            continue
    return [name for name in dict.fromkeys(names) if name.casefold().startswith(incomplete.casefold())]


def checks(incomplete: str) -> list[str]:
    """Return the kinds of check."""
    from convcheck.reports.results import CHECKS

    return [name for name in CHECKS if name.startswith(incomplete)]


def conditions(incomplete: str) -> list[str]:
    """Return the conditions under which code is run."""
    from convcheck.mistakes.conditions import CONDITIONS

    return [name for name in CONDITIONS if name.startswith(incomplete)]


def dtypes(incomplete: str) -> list[str]:
    """Return the data types in which a layer can be checked."""
    from convcheck.layer.fields import DTYPES

    return [name for name in DTYPES if name.startswith(incomplete)]


def formats(incomplete: str) -> list[str]:
    """Return the output formats."""
    from convcheck.reports.formats import FORMATS

    return [name for name in FORMATS if name.startswith(incomplete)]


def formulations(incomplete: str) -> list[str]:
    """Return the built-in formulations."""
    from convcheck.gradients import FORMULATIONS

    return [name for name in FORMULATIONS if name.startswith(incomplete)]


def mistakes(incomplete: str) -> list[str]:
    """Return the names of the known mistakes, then what else a report gives a name to."""
    from convcheck.mistakes import MISTAKES, OTHER_NAMES

    names = [mistake.name for mistake in MISTAKES] + [other.name for other in OTHER_NAMES]
    return [name for name in names if name.startswith(incomplete)]


def forms(incomplete: str) -> list[str]:
    """Return the forms of target that `init` has a skeleton of."""
    return [name for name in FORMS if name.startswith(incomplete)]


def languages(incomplete: str) -> list[str]:
    """Return the languages in which `init` has a skeleton of a program or library."""
    return [name for name in LANGUAGES if name.startswith(incomplete)]


def ci_systems(incomplete: str) -> list[str]:
    """Return the CI systems that `init` writes a job for."""
    return [name for name in (*CI_FILES, NO_CI) if name.startswith(incomplete)]


def import_formats(incomplete: str) -> list[str]:
    """Return the formats that `import` reads."""
    from convcheck.suites.importing import FORMATS

    return [name for name in FORMATS if name.startswith(incomplete)]


def pictures(incomplete: str) -> list[str]:
    """Return the kinds of pictures."""
    from convcheck.explain.pictures.stories import kinds

    return [name for name in kinds() if name.startswith(incomplete)]


def notations(incomplete: str) -> list[str]:
    """Return the notations."""
    from convcheck.explain.sums.notation import LIST, NOTATIONS

    return [name for name in (*NOTATIONS, LIST) if name.startswith(incomplete)]
