"""A run of a target under a condition, and what there was to be run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed, Trial
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.targets.calling import PLAIN, How
from convcheck.targets.target import Target

#: Runs that are asked for before what came of the first of them is looked at.
_AHEAD = 16


class LeftOutError(Exception):
    """A condition cannot be made on a layer; the message is the reason."""


@dataclass(frozen=True, eq=False)
class Ran:
    """A forward and backward pass under a condition, and what came of it.

    Attributes
    ----------
    expected : Expected
        The layer that was run, which may be another than the one that is checked.
    seen : callable
        Returns what came of it, for which it may have to wait.
    how : How
        How it was called.
    alone : bool
        Whether this run shows by itself what is wrong, whatever ran before it.
    regime : str or None
        Of its data, where these are of another condition.
    awaited : bool
        Whether what is run next depends on it: all else that was asked for can be judged before that is waited for.
    unserved : Layer or None
        Of a run of another layer than the one that is checked, a further one like it that the code has never served.
    """

    expected: Expected
    operands: Operands
    seen: Callable[[], Observed]
    how: How = PLAIN
    alone: bool = True
    regime: str | None = None
    awaited: bool = False
    unserved: Layer | None = None

    @cached_property
    def observed(self) -> Observed:
        """What came of it."""
        return self.seen()


#: What stands for a run that was asked for.
Asked = TypeVar("Asked")

#: A run, or why there is none, with its condition.
Named = tuple[str, Ran | LeftOutError]


def run(expected: Expected, target: Target, at: Operands, how: How = PLAIN) -> Ran:
    """Run a target by itself."""
    trial = Trial(target, expected.layer, lambda: target.both(expected.layer, at, how), how)
    return Ran(expected, at, trial.ahead(), how)


def awaited(run: Named) -> bool:
    """Whether what is run next depends on a run."""
    return isinstance(run[1], Ran) and run[1].awaited


def ahead(
    runs: Iterable[Asked], target: Target, layer: Layer, awaited: Callable[[Asked], bool] = lambda run: False
) -> Iterator[Asked]:
    """Yield runs some time after they were asked for, so that those of another process go on meanwhile."""
    waiting: deque[Asked] = deque()
    most = _AHEAD if target.ahead(layer) else 0
    for run in runs:
        waiting.append(run)
        while len(waiting) > (0 if awaited(run) else most):
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()
