"""Where results go: standard output, files that are written whole or not at all, the summary of a GitHub job."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from convcheck.errors import ConvcheckError, Parameter, UsageError

if TYPE_CHECKING:
    from convcheck.reports.report import Report
    from convcheck.reports.results import LayerReport

_DEFAULT_FORMAT = "table"

#: The format that is written layer by layer, while the run goes on.
_GROWING = "jsonl"

#: Parameters whose option has another name.
_OPTIONS = {"select": "-k", "checks": "--check", "formulations": "--formulation"}


def message_of(error: ConvcheckError) -> str:
    """Return an error's message as the command line says it: a parameter is an option."""
    return "".join(_option(part) if isinstance(part, Parameter) else str(part) for part in error.args)


def _option(parameter: Parameter) -> str:
    option = _OPTIONS.get(parameter.name, "--" + parameter.name.replace("_", "-"))
    value = parameter.value
    if value is None:
        return option
    if isinstance(value, str):
        quote = "'" if '"' in value else '"'
        return f"{option} {quote}{value}{quote}"
    return f"{option} {','.join(map(str, value)) if isinstance(value, tuple) else value}"


def screen() -> tuple[int, bool]:
    """Return the columns of standard output, and whether it shows colours.

    ``COLUMNS``, ``NO_COLOR``, ``FORCE_COLOR`` and ``TERM=dumb`` are honoured.
    """
    from rich.console import Console

    console = Console(file=sys.stdout)
    return console.width, console.color_system is not None and not console.no_color


def write_out(text: str, out: TextIO | None = None) -> None:
    """Write a result to standard output; a reader that has gone away, such as ``head``, is no error."""
    out = sys.stdout if out is None else out
    try:
        out.write(text)
        out.flush()
    except OSError as error:
        # What is still buffered would raise again when Python flushes it at its end.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        if not isinstance(error, BrokenPipeError):
            raise UsageError(f"cannot write to standard output: {error.strerror or error}") from error


@contextmanager
def _standard_output() -> Iterator[TextIO]:
    """Give standard output as it is now, also where its descriptor is made another's meanwhile."""
    try:
        copy = os.dup(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):
        # It has no descriptor, as in a notebook.
        yield sys.stdout
        return
    with open(copy, "w", encoding="utf-8") as out:
        yield out


def write(text: str, output: Path | None) -> None:
    """Write a result to a file, or to standard output where there is none."""
    if output is None:
        write_out(text)
    else:
        write_whole(output, text)


def require_writable(path: Path) -> None:
    """Complain now if a file could not be written later, after long work.

    Raises
    ------
    UsageError
        If ``path`` is a folder, or its folder is missing, or either may not be written.
    """
    try:
        folder = path.resolve().parent
        path.exists()
    except (OSError, RuntimeError) as error:
        # A name that is too long, links that lead to each other.
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot write {path}: {reason}; expected another name") from error
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder; expected the name of a file")
    if not folder.is_dir():
        raise UsageError(f"cannot write {path}: the folder {folder} does not exist; create it first")
    if path.exists():
        if not os.access(path, os.W_OK):
            raise UsageError(f"cannot write {path}: the file is there and may not be written")
        if not path.is_file():
            return
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write {path}: the folder {folder} may not be written")


def require_writable_folder(folder: Path) -> None:
    """Complain now if files could not be written into a folder later; the folder need not exist yet.

    Raises
    ------
    UsageError
        If it is a file, or it may not be written, or it could not be made.
    """
    nearest = folder.resolve()
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UsageError(f"cannot write into {folder}: {nearest} is no folder; expected the name of a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write into {folder}: the folder {nearest} may not be written")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, a text as UTF-8, so that it is at no time incomplete.

    The content is written beside the file and takes its place at the end. A file that was there keeps its permissions,
    a link stays a link. What is no regular file, such as ``/dev/stderr`` or a pipe, is written to directly.

    Raises
    ------
    UsageError
        If the file cannot be written; what was there is then as it was.
    """
    require_writable(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    place = path.resolve()
    beside = place.with_name(f".convcheck-{secrets.token_hex(8)}.tmp")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        try:
            # Opened like any new file, so that the user's umask decides on its permissions.
            with open(beside, "xb") as file:
                file.write(data)
            if place.exists():
                shutil.copymode(place, beside)
            os.replace(beside, place)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def write_picture(folder: Path, layer: str, name: str | None, ending: str, data: bytes) -> Path:
    """Write a picture of a layer, or its page, into a folder, which is made if it is not there; return its path.

    Raises
    ------
    UsageError
        If the folder cannot be made, or the file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    # What is special in paths or shells becomes an underscore; different names stay different files.
    stem = re.sub(r"[^\w.-]", "_", layer).lstrip(".-")[:80]
    if stem != layer:
        stem += "-" + hashlib.sha256(layer.encode()).hexdigest()[:6]
    path = folder / f"{stem}{'' if name is None else '-' + name}.{ending}"
    write_whole(path, data)
    return path


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
    quiet : bool
        Whether a table on standard output is cut down to the verdict and what was found.
    """

    screen: str | None
    files: tuple[tuple[Path, str], ...]
    summary: Path | None
    quiet: bool = False

    @contextmanager
    def lines(self) -> Iterator[Callable[[LayerReport], None] | None]:
        """Give what writes a layer to standard output at once, where the format is one that grows; else None.

        It is where standard output was when this began, whatever the code under test makes of it.
        """
        if self.screen != _GROWING:
            yield None
            return
        from convcheck.reports.formats.jsonl import layer_line

        with _standard_output() as out:
            yield lambda report: write_out(layer_line(report), out)

    def write(self, report: Report, page: Callable[[], str | None] = lambda: None) -> None:
        """Write the report everywhere; ``page`` makes the page of what failed, which stands in HTML files."""
        from convcheck.reports.formats import render

        width, color = screen()
        for path, format_ in self.files:
            touched = page() if format_ == "html" and not report.passed else None
            write_whole(path, touched or render(report, format_, width=width))
        if self.screen == _GROWING:
            from convcheck.reports.formats.jsonl import last_line

            write_out(last_line(report))
        elif self.screen is not None:
            write_out(render(report, self.screen, width=width, color=color, quiet=self.quiet))
        if self.summary is not None:
            # The verdict is what the job is for: a summary that cannot be written must not hide it.
            try:
                with self.summary.open("a", encoding="utf-8") as file:
                    file.write(render(report, "markdown"))
            except OSError as error:
                place = f"$GITHUB_STEP_SUMMARY, {self.summary}"
                typer.echo(f"warning: cannot append to {place}: {error.strerror or error}", err=True)
        if self.files:
            verdict = "passed" if report.passed else "FAILED"
            typer.echo(f"{verdict}; the report is in {', '.join(str(path) for path, _ in self.files)}", err=True)


def refuse_inputs(outputs: Sequence[Path], *inputs: str | Path) -> None:
    """Complain where a file that is written is one that is read.

    Parameters
    ----------
    *inputs : str or Path
        Files, code such as ``file.py:name``, or a mapping of the kind.

    Raises
    ------
    UsageError
    """
    files = [name for text in inputs for name in [str(text), *re.findall(r"[^\s{},:'\"]+\.\w+", str(text))]]
    read = {os.path.realpath(name) for name in files if os.path.isfile(name)}
    for output in outputs:
        if os.path.realpath(output) in read:
            raise UsageError(f"cannot write {output}: this run reads it; expected another file")


def choose_destinations(output_format: str | None, outputs: Sequence[Path], *, quiet: bool = False) -> Destinations:
    """Decide where the report goes, and complain now about what could not be written later.

    The ending of a file's name decides on its format; where it says nothing, ``output_format`` does. Standard output
    gets ``output_format`` unless one of the files has it.

    Raises
    ------
    UsageError
        If a file cannot be written, has no known format or is given twice.
    """
    from convcheck.reports.formats import format_of_ending

    known = format_of_ending() if outputs else {}
    files: list[tuple[Path, str]] = []
    for path in outputs:
        require_writable(path)
        if path.resolve() in [other.resolve() for other, _ in files]:
            raise UsageError(f"--output {path} is given twice; expected a file of its own for each report")
        found = known.get(path.suffix.lower(), output_format)
        if found is None:
            endings = ", ".join(f"{ending} ({name})" for ending, name in known.items())
            raise UsageError(
                f"--output {path}: the ending does not say in which format; expected one of {endings}, or "
                "--output-format"
            )
        files.append((path, found))
    on_screen = output_format or (None if files else _DEFAULT_FORMAT)
    if on_screen in [format_ for _, format_ in files]:
        on_screen = None
    summary = os.environ.get("GITHUB_STEP_SUMMARY") if output_format == "github" else None
    return Destinations(on_screen, tuple(files), Path(summary) if summary else None, quiet)
