"""How far long work has come, on standard error."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

#: Seconds over which the speed is averaged; all of a run, since layers differ in speed.
_SPEED_PERIOD = 24 * 3600.0


class Progress:
    """A bar with the time that is left, on a terminal; silent anywhere else.

    A context manager; leaves nothing behind on the screen. Work has any unit: only its share of the total counts.

    Parameters
    ----------
    quiet : bool, default False
        Whether it is silent on a terminal too.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        # Asked first, since FORCE_COLOR makes rich take a log file for a terminal.
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, total_work: float) -> None:
        """Begin, with the work foreseen."""
        if self._bar is not None:
            self._task = self._bar.add_task("", total=total_work)
            self._bar.start()

    def layer(self, name: str) -> None:
        """A layer begins."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=name)

    def advance(self, work: float) -> None:
        """Some work is done."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, work)


def _bar() -> RichProgress | None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        return None
    name = TextColumn(
        "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", max_width=30)
    )
    columns = (name, BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, speed_estimate_period=_SPEED_PERIOD)
