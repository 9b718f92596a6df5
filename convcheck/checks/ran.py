"""A run of a target under a condition, and what there was to be run."""

from __future__ import annotations

from dataclasses import dataclass

from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed
from convcheck.layer.data import Operands
from convcheck.targets.calling import PLAIN, How
from convcheck.targets.target import Target


class LeftOutError(Exception):
    """A condition cannot be made on a layer; the message is the reason."""


@dataclass(frozen=True, eq=False)
class Ran:
    """A forward and backward pass under a condition, and what came of it.

    Attributes
    ----------
    expected : Expected
        The layer that was run, which may be another than the one that is checked.
    how : How
        How it was called.
    alone : bool
        Whether this run shows by itself what is wrong, whatever ran before it.
    regime : str or None
        Of its data, where these are of another condition.
    went_on : bool
        Whether the object of the run before made it.
    """

    expected: Expected
    operands: Operands
    observed: Observed
    how: How = PLAIN
    alone: bool = True
    regime: str | None = None
    went_on: bool = False


def run(expected: Expected, target: Target, at: Operands, how: How = PLAIN) -> Ran:
    """Run a target by itself."""
    return Ran(expected, at, Observed.of(target, expected.layer, at, how), how)
