"""How far long work has come, on standard error."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Progress:
    """A bar with the time that is left, on a terminal; silent anywhere else.

    A context manager; leaves nothing behind on the screen. Work has any unit: only its share of the total counts.

    Parameters
    ----------
    quiet : bool, default False
        Whether it is silent on a terminal too.
    pace : float, optional
        Work that is foreseen to be done in a second, from which the time that is left follows until some is done.
    """

    def __init__(self, *, quiet: bool = False, pace: float | None = None) -> None:
        self._quiet = quiet
        self._pace = pace
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        # Asked first, since FORCE_COLOR makes rich take a log file for a terminal.
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar(self._pace)
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


def seconds_left(total: float, done: float, elapsed: float, pace: float | None) -> float | None:
    """Foresee how long the rest will take: as what is done took, and what is foreseen counts as two seconds of that."""
    weight = 0.0 if pace is None else 2.0
    worked = done + weight * (pace or 0.0)
    return max(0.0, total - done) * (elapsed + weight) / worked if worked else None


def _bar(pace: float | None) -> RichProgress | None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.table import Column
    from rich.text import Text

    class Left(ProgressColumn):
        def render(self, task: Task) -> Text:
            left = seconds_left(task.total or 0.0, task.completed, task.elapsed or 0.0, pace)
            shown = "-:--:--" if left is None else str(timedelta(seconds=int(left + 0.5)))
            return Text(shown, style="progress.remaining")

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        return None
    name = TextColumn(
        "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", max_width=30)
    )
    columns = (name, BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left:"), Left())
    return Progress(*columns, console=console, transient=True)
