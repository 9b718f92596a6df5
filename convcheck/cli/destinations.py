"""Where the report goes and in which format: standard output, files, and the summary of a GitHub job."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from convcheck.errors import UsageError

if TYPE_CHECKING:
    from convcheck.reports.report import Report

#: Ending of a file's name -> its format.
FORMAT_OF_ENDING = {".xml": "junit", ".json": "json", ".md": "markdown", ".txt": "table"}

_DEFAULT_FORMAT = "table"


@dataclass(frozen=True)
class Destinations:
    """Where the report goes.

    Attributes
    ----------
    screen : str or None
        Format for standard output; None to write nothing there.
    files : tuple of (Path, str)
        Each file and its format.
    summary : Path or None
        File to which the report is appended as Markdown.
    """

    screen: str | None
    files: tuple[tuple[Path, str], ...]
    summary: Path | None

    def write(self, report: Report) -> None:
        """Write the report everywhere."""
        from convcheck.cli.files import write_whole
        from convcheck.cli.output import screen, write_out
        from convcheck.reports.formats import render

        width, color = screen()
        for path, format_ in self.files:
            write_whole(path, render(report, format_, width=width))
        if self.screen is not None:
            write_out(render(report, self.screen, width=width, color=color))
        if self.summary is not None:
            _append(self.summary, render(report, "markdown"))
        if self.files:
            verdict = "passed" if report.passed else "FAILED"
            typer.echo(f"{verdict}; the report is in {', '.join(str(path) for path, _ in self.files)}", err=True)


def choose_destinations(output_format: str | None, outputs: Sequence[Path]) -> Destinations:
    """Decide where the report goes, and complain now about what could not be written later.

    The ending of a file's name decides on its format; where it says nothing, ``output_format`` does. Standard output
    gets ``output_format`` unless one of the files has it.

    Raises
    ------
    UsageError
        If a file cannot be written, has no known format or is given twice.
    """
    from convcheck.cli.files import require_writable

    files: list[tuple[Path, str]] = []
    for path in outputs:
        if path.resolve() in [other.resolve() for other, _ in files]:
            raise UsageError(f"--output {path} is given twice; expected a file of its own for each report")
        require_writable(path)
        files.append((path, _format_of(path, output_format)))
    screen = output_format or (None if files else _DEFAULT_FORMAT)
    if screen in [format_ for _, format_ in files]:
        screen = None
    summary = os.environ.get("GITHUB_STEP_SUMMARY") if output_format == "github" else None
    return Destinations(screen, tuple(files), Path(summary) if summary else None)


def _format_of(path: Path, output_format: str | None) -> str:
    found = FORMAT_OF_ENDING.get(path.suffix.lower(), output_format)
    if found is None:
        endings = ", ".join(f"{ending} ({name})" for ending, name in FORMAT_OF_ENDING.items())
        raise UsageError(
            f"--output {path}: the ending does not say in which format; expected one of {endings}, or --output-format"
        )
    return found


def _append(path: Path, text: str) -> None:
    # The verdict is what the job is for: a summary that cannot be written must not hide it.
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        typer.echo(f"warning: cannot append to $GITHUB_STEP_SUMMARY, {path}: {error.strerror or error}", err=True)
