"""The search for the smallest case of a failure: first the layer, then its data.

It is greedy: a step is taken where the target then still fails, and it ends where no single step does. What a trial is,
and when two failures are the same, those say who search: `smallest` for gradients, `second` for derivatives of them.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np

from convcheck.checks.check_layer import as_taken
from convcheck.layer.arrays import Array, nested
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.layer.plainer import STEPS
from convcheck.layer.similar import changed, shrunk
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.conditions import CONDITIONS
from convcheck.mistakes.crashes import CRASHES
from convcheck.mistakes.tricks import TRICKS
from convcheck.reports.details import headline
from convcheck.reports.results import GradientResult, Smallest
from convcheck.targets.target import Target

#: Trials that one failure may take.
MOST_RUNS = 3000

#: Small layers are tried with so many draws of data: of few numbers, two happen to be equal now and then.
_DRAWS = 3

#: Multiply-adds up to which a layer is small in that sense.
_FEW = 1000

#: A size above this is said to matter, where the code is right on the next smaller one.
_REMARKABLE = 4

#: Sizes that can matter, and what they count.
_SIZES = {
    "channels": "channels", "filters": "filters", "batch": "samples", "kernel": "taps", "input": "input samples",
}  # fmt: skip

_ARRAYS = ("x", "weight", "bias", "grad_output")

#: How entries are made plainer: zeros; ones; of complex numbers, the real ones, and i where that does not do.
_PLAIN: tuple[Callable[[Array], Array], ...] = (
    np.zeros_like,
    lambda array: (array != 0).astype(array.dtype),
    lambda array: array.real.astype(array.dtype),
    lambda array: np.where(array.imag != 0, np.asarray(1j, array.dtype), array) if array.dtype.kind == "c" else array,
)

#: A case with more numbers than this is nothing to look at.
_MOST_ENTRIES = 20_000

#: Names that say what was done wrong; a resemblance does not.
KNOWN = frozenset({*(mistake.name for mistake in MISTAKES), *CRASHES, *CONDITIONS, *TRICKS})

#: What is wrong with a result that has NaN or infinity where it must not.
NOT_FINITE = "not finite"

#: A layer with data on which the target fails, and what else the search must know of it.
_C = TypeVar("_C")


class _EndedError(Exception):
    """There is no time, or there are no runs, for another trial."""


class Search(ABC, Generic[_C]):
    """The search for the smallest case of one failure of a target on a layer.

    Parameters
    ----------
    names : collection of str
        By which the failure is known.
    ends : float
        Until when it may take, of `time.monotonic`.

    Attributes
    ----------
    by_name : bool
        Whether every case must be explained by the mistake that the failure is known as.
    case : object or None
        The smallest case so far.
    """

    def __init__(
        self, target: Target, layer: Layer, names: Collection[str], max_error: float | None, ends: float
    ) -> None:
        self.target = target
        self.layer = as_taken(layer, target)
        self.max_error = max_error
        self.ends = ends
        self.runs = 0
        self.by_name = any(mistake.name in names for mistake in MISTAKES if mistake.behaviour is None)
        self.case: _C | None = None
        self._names = names
        self._outcomes: dict[Layer, tuple[str, _C | None]] = {}

    def smallest(self) -> Smallest | None:
        """Return the smallest case; None where the failure does not show in a single run."""
        notes: list[str] = []
        try:
            self.start()
            self.shrink_layer()
            notes += self._remarkable_sizes()
            self.shrink_data()
        except _EndedError:
            notes.append("the search ended early: a smaller case may fail too")
        if self.case is None or sum(array.size for array in self.arrays().values()) > _MOST_ENTRIES:
            return None
        return self.told(self.case, notes)

    def start(self) -> None:
        """Find the failure again, on a small layer of the same kind or on the layer itself."""
        for by_name in (True, False) if self.by_name else (False,):
            self.by_name = by_name
            self._outcomes.clear()
            for layer in self.starts():
                if self.takes(layer):
                    return

    def starts(self) -> Iterator[Layer]:
        """Yield the layers on which the search may start."""
        yield from dict.fromkeys((shrunk(self.layer), self.layer))

    def shrink_layer(self) -> None:
        """Take steps to plainer layers until none leads to one on which the target fails."""
        before = None
        while self.case is not None and self.layer != before:
            before = self.layer
            for step in STEPS:
                while any(self.takes(layer) for layer in step(self.layer)):
                    pass

    def shrink_data(self) -> None:
        """Make entries zeros, ones, real numbers and i until no further one can be made so."""
        before = None
        while self.case is not None and self.case is not before and self.data_matter:
            before = self.case
            for one in self.single_ones():
                if self.takes_array("grad_output", one):
                    break
            for name in self.arrays():
                for plain in _PLAIN:
                    self._set(name, plain)

    @property
    def data_matter(self) -> bool:
        """Whether the data alone make the case fail, and not what ran before."""
        return True

    def single_ones(self) -> Iterator[Array]:
        """Yield every grad_output that is a single 1, unless it is one already, or less than that."""
        given = self.arrays()["grad_output"]
        if np.count_nonzero(given) <= 1 and given.max() in (0, 1):
            return
        for place in range(given.size):
            one = np.zeros_like(given)
            one.flat[place] = 1
            yield one

    def _set(self, name: str, plain: Callable[[Array], Array]) -> None:
        """Make as many entries of an array as possible plainer, in ever smaller portions."""
        array = self.arrays()[name]
        places = np.flatnonzero(plain(array) != array)
        portion = places.size
        while portion:
            for start in range(0, places.size, portion):
                plainer = self.arrays()[name].copy()
                some = places[start : start + portion]
                plainer.flat[some] = plain(plainer.flat[some])
                self.takes_array(name, plainer)
            left = self.arrays()[name].flat[places]
            places = places[plain(left) != left]
            portion = min(portion // 2, places.size)

    def takes(self, layer: Layer) -> bool:
        """Whether the target fails on a layer; that layer is then the smallest one so far."""
        outcome, case = self.tried(layer)
        if outcome == "fails":
            self.layer, self.case = layer, case
        return outcome == "fails"

    def tried(self, layer: Layer) -> tuple[str, _C | None]:
        """Return whether the target "fails" or "passes" on a layer, or does something "else" such as to refuse it."""
        if layer not in self._outcomes:
            # Not another draw of one seed: these are then the data of `verify` too.
            seeds = range(layer.seed, layer.seed + (_DRAWS if layer.multiply_adds <= _FEW else 1))
            outcomes = []
            for seed in seeds:
                outcomes.append(self.run_on(replace(layer, seed=seed)))
                if outcomes[-1][0] == "fails":
                    break
            failed = outcomes[-1][0] == "fails"
            self._outcomes[layer] = next((one for one in outcomes if one[0] != "passes" and not failed), outcomes[-1])
        return self._outcomes[layer]

    def count(self) -> None:
        """Count a trial; raise where there is no time, or no number, left for it."""
        if self.runs >= MOST_RUNS or time.monotonic() >= self.ends:
            raise _EndedError
        self.runs += 1

    def _remarkable_sizes(self) -> Iterator[str]:
        """Yield the sizes without which it does not fail, where they are not small."""
        if self.case is None:
            return
        for field, noun in _SIZES.items():
            value = getattr(self.layer, field)
            step = self.layer.groups if field in ("channels", "filters") else 1
            for axis, size in enumerate(value if isinstance(value, tuple) else (value,)):
                if size // step <= _REMARKABLE or self._outcome_with(field, axis, size - step) != "passes":
                    continue
                what = f"{noun} along axis {axis}" if isinstance(value, tuple) and len(value) > 1 else noun
                others = (size + step, 2 * (size - step))
                right = [number for number in others if self._outcome_with(field, axis, number) == "passes"]
                if right:
                    yield f"fails with {size} {what}, not with {' and '.join(map(str, (size - step, *right)))}"
                else:
                    yield f"fails from {size} {what} on"

    def _outcome_with(self, field: str, axis: int, number: int) -> str:
        value = getattr(self.layer, field)
        other_value = [*value[:axis], number, *value[axis + 1 :]] if isinstance(value, tuple) else number
        other = changed(self.layer, {field: other_value})
        return "else" if other is None else self.tried(other)[0]

    def lost_name(self, names: Collection[str]) -> Iterator[str]:
        """Say where the smallest case is not known by the names that the failure has, but by others."""
        if set(names) != set(self._names):
            called = f"is {' and '.join(names)}" if names else "has no name"
            yield f"{' and '.join(self._names)} on the layer itself; this case alone {called}"

    @abstractmethod
    def arrays(self) -> Mapping[str, Array]:
        """Return the data of the smallest case so far, in the order in which they are made plainer."""

    @abstractmethod
    def takes_array(self, name: str, array: Array) -> bool:
        """Whether the target fails with another array; that one is then of the smallest case."""

    @abstractmethod
    def run_on(self, layer: Layer) -> tuple[str, _C | None]:
        """Run the target as it was run when it failed, on a layer's own data; return what `tried` does."""

    @abstractmethod
    def told(self, case: _C, notes: list[str]) -> Smallest | None:
        """Return the case with the verdict by differences; None where they do not confirm it."""


def kind_of(result: GradientResult) -> str:
    """Return what is wrong: a value, one that is not finite, or what else, such as the name of an exception."""
    if result.entries_checked or result.check == "projected":
        return "wrong value" if np.isfinite(result.max_abs_error) else NOT_FINITE
    # An exception by its name, a wrong shape or type without its numbers.
    said = headline(result).partition(";")[0].partition(":")[0]
    return "".join(character for character in said if character.isalpha() or character in " _.").strip()


def as_lists(operands: Operands) -> dict[str, Any]:
    """Return some data as nested lists by name, None for a bias that is not there."""
    arrays = arrays_in(operands)
    return {name: nested(arrays[name]) if name in arrays else None for name in _ARRAYS}


def arrays_in(operands: Operands) -> dict[str, Array]:
    """Return the arrays of some data by name."""
    named = {name: getattr(operands, name) for name in _ARRAYS}
    return {name: array for name, array in named.items() if array is not None}
