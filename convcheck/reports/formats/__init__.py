"""Report -> text, one module per format; pure functions that print nothing.

A new format is a new module with ``render(report, *, width, color) -> str`` and one entry in `FORMATS`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from convcheck.errors import UsageError

if TYPE_CHECKING:
    from convcheck.reports.results import ReportData

#: Format -> the module that writes it, imported when it is used.
FORMATS = {
    "table": "convcheck.reports.formats.table",
    "json": "convcheck.reports.formats.json",
    "junit": "convcheck.reports.formats.junit",
    "github": "convcheck.reports.formats.github",
    "markdown": "convcheck.reports.formats.markdown",
}


class _Format(Protocol):
    """What the module of a format offers."""

    def render(self, report: ReportData, *, width: int | None = None, color: bool = False) -> str: ...


def render(report: ReportData, format: str, *, width: int | None = None, color: bool = False) -> str:  # noqa: A002
    """Write a report as text.

    Parameters
    ----------
    report : ReportData
    format : str
        A key of `FORMATS`.
    width : int, optional
        Columns to lay out for; only formats that are read on a screen use it.
    color : bool, default False
        Whether to add colours, as ANSI escape sequences; only formats that are read on a screen use it.

    Returns
    -------
    str
        The text, with a line break at its end.

    Raises
    ------
    UsageError
        If there is no such format.
    """
    if format not in FORMATS:
        raise UsageError(f"output format {format!r} is unknown; expected one of {', '.join(FORMATS)}")
    module = cast(_Format, import_module(FORMATS[format]))
    return module.render(report, width=width, color=color)
