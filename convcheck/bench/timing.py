"""Timing several pieces of work fairly: in turn, so that a machine whose speed drifts slows all of them alike.

Libraries leave threads behind that spin for a while in wait of more work, and would take a core from whoever is next.
So every turn begins with a pause in which they fall asleep, and with a run that is not counted, which wakes its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

__all__ = ["Timing", "time_in_turn"]

#: Seconds: longer than the usual thread pools spin.
_PAUSE = 0.05


@dataclass(frozen=True)
class Timing:
    """Seconds that one piece of work took in each round.

    Attributes
    ----------
    seconds : tuple of float
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """The fastest and the slowest round, in seconds."""
        return min(self.seconds), max(self.seconds)


def time_in_turn(work: Mapping[str, Callable[[], object]], rounds: int, slow: float = 2.0) -> dict[str, Timing]:
    """Time every piece of work once per round.

    Parameters
    ----------
    work : mapping of str to callable
    rounds : int
    slow : float, default 2.0
        What takes longer than this many seconds in its first run is not run again: that run counts.

    Returns
    -------
    dict of str to Timing
        In the order of ``work``.
    """
    first = {name: _seconds(run) for name, run in work.items()}
    quick = [name for name, seconds in first.items() if seconds <= slow]
    counted: dict[str, list[float]] = {name: [] for name in quick}
    for _ in range(rounds):
        for name in quick:
            time.sleep(_PAUSE)
            work[name]()
            counted[name].append(_seconds(work[name]))
    return {name: Timing(tuple(counted.get(name) or [first[name]])) for name in work}


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
