"""Report -> text, one module per format; pure functions that print nothing.

A new format is a new module here and nothing else. Its name is the format's, the first line of its docstring ("The
report as ...") stands in the documentation, and it has

- ``render(report) -> str``: the text, with a line break at its end; if the module says ``SCREEN = True``, it also takes
  ``width``, the columns to lay out for, ``color``, whether to add ANSI escape sequences, and ``quiet``;
- ``ENDINGS``, if it is written to files: the endings of their names, such as ``(".json",)``.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import TYPE_CHECKING

from convcheck.errors import UsageError

if TYPE_CHECKING:
    from convcheck.reports.results import ReportData

#: Every format, in alphabetical order; its module is imported when it is used.
FORMATS = tuple(sorted(module.name for module in iter_modules(__path__)))


def render(
    report: ReportData,
    format: str,  # noqa: A002
    *,
    width: int | None = None,
    color: bool = False,
    quiet: bool = False,
) -> str:
    """Write a report as text.

    Parameters
    ----------
    format : str
        One of `FORMATS`.
    width : int, optional
        Columns to lay out for; only formats that are read on a screen use it.
    color : bool, default False
        Whether to add colours, as ANSI escape sequences; only formats that are read on a screen use it.
    quiet : bool, default False
        Whether to tell the verdict and what was found alone; only formats that are read on a screen use it.

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
    module = module_of(format)
    screen = {"width": width, "color": color, "quiet": quiet} if hasattr(module, "SCREEN") else {}
    text: str = module.render(report, **screen)
    return text


def module_of(format: str) -> ModuleType:  # noqa: A002
    """Return the module of a format."""
    return import_module(f"{__name__}.{format}")


def format_of_ending() -> dict[str, str]:
    """Return the format that a file's ending stands for, for every ending; imports all formats."""
    return {ending: name for name in FORMATS for ending in getattr(module_of(name), "ENDINGS", ())}
