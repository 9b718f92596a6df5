"""The search for a layer and a condition on which a target fails, within what it takes.

Hypothesis draws the cases, and its database keeps those that failed: the next hunt begins with them. A case is one
layer, run forward and backward as it is or under one condition, and compared exactly with the built-in passes. What
differs is only a suspicion: the verdict on its layer is by differences, as on any other.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from convcheck.checks import conditions
from convcheck.checks.check_layer import as_taken
from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed
from convcheck.checks.ran import Ran, run
from convcheck.checks.running import Progress
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.layer.similar import SMALL, as_yaml, changed
from convcheck.mistakes.blind_spots import Comparison, shown_of
from convcheck.reports.results import Drawn, Hunt, Tried
from convcheck.targets.concurrency import one_thread_if_small
from convcheck.targets.features import FEATURES, KINDS
from convcheck.targets.probing import Probe

if TYPE_CHECKING:
    from hypothesis.database import ExampleDatabase
    from hypothesis.strategies import SearchStrategy

#: A layer and a condition, or None for the layer as it is.
Case = tuple[Layer, str | None]

#: Cases that Hypothesis draws in one go: a second's work, of which the first ones are the plainest.
_BATCH = 250

#: Samples of layers of which the code has seen none, by which it is found out what a new shape costs.
_NEW_SAMPLES = (5, 7, 11)

#: Code is compiled anew for every shape if of each of these layers the first pass takes so many times as long as a
#: later one, and so many seconds longer.
_TIMES_LONGER, _SECONDS_LONGER = 5, 0.03

#: So many batches in a row without a new case end the hunt: of code that takes little, all is soon tried.
_IN_VAIN = 3

#: Layers of which it is found out afterwards which mistakes they show, which takes some 20 ms each.
_JUDGED = 100

#: Cases that are asked for before what came of the first of them is looked at, where the code runs in another process.
_AHEAD = 8

#: What a report calls the layer as it is, under no condition.
PLAIN = "plain"

#: Layers that are told of among those that were refused, one for each reason.
_LISTED = 3

#: Sizes whose range is told.
_SIZES = ("channels", "filters", "groups", "batch", "kernel", "stride", "padding", "dilation", "input")


@dataclass
class Tally:
    """What searches have tried, so that those of several can be added up.

    Attributes
    ----------
    cases, refused : int
        Those that ran and were compared, and those that the target refused.
    layers : set of int
        Hashes of the layers of the cases: of hundreds of thousands, no more is kept.
    conditions, properties : Counter
        How often each was tried.
    sizes : dict of str to (int, int)
        Between which numbers each field was.
    judged : list of Layer
        Of which it is found out afterwards which mistakes they show.
    refusals : dict of str to Layer
        One layer for each reason.
    """

    cases: int = 0
    refused: int = 0
    layers: set[int] = field(default_factory=set)
    conditions: Counter[str] = field(default_factory=Counter)
    properties: Counter[str] = field(default_factory=Counter)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    judged: list[Layer] = field(default_factory=list)
    refusals: dict[str, Layer] = field(default_factory=dict)

    def count(self, layer: Layer, condition: str | None) -> None:
        """Count a case."""
        self.cases += 1
        self.conditions[condition or PLAIN] += 1
        self.properties.update(name for name, feature in FEATURES.items() if feature.needed_by(layer))
        for name in _SIZES:
            value = getattr(layer, name)
            numbers = [number for pair in value for number in pair] if name == "padding" else value
            self._reach(name, numbers if isinstance(numbers, (list, tuple)) else (numbers,))
        new = hash(layer) not in self.layers
        self.layers.add(hash(layer))
        if new and len(self.judged) < _JUDGED and layer.multiply_adds <= SMALL:
            self.judged.append(layer)

    def _reach(self, name: str, numbers: Sequence[int]) -> None:
        least, most = self.sizes.get(name, (numbers[0], numbers[0]))
        self.sizes[name] = min(least, *numbers), max(most, *numbers)

    def add(self, other: Tally) -> None:
        """Add what another search has tried."""
        self.cases += other.cases
        self.refused += other.refused
        self.layers |= other.layers
        self.conditions += other.conditions
        self.properties += other.properties
        for name, numbers in other.sizes.items():
            self._reach(name, numbers)
        self.judged = [*self.judged, *other.judged][:_JUDGED]
        self.refusals = other.refusals | self.refusals


class Hunter:
    """A search that ends with the first case on which the target differs.

    Parameters
    ----------
    near : sequence of Layer
        Layers to start from: tried first, and half of the others are like them.
    seconds, most : float
        After which time and how many cases it ends.
    number : int, default 0
        Of several with the same seed, each of which draws cases of its own.
    """

    def __init__(
        self, probe: Probe, near: Sequence[Layer], *, seed: int, seconds: float, most: float, max_error: float | None,
        progress: Progress, number: int = 0,
    ) -> None:  # fmt: skip
        self._probe, self._target = probe, probe.target
        self._near, self._seed, self._number = [replace(layer, seed=seed) for layer in near], seed, number
        self._seconds, self._max_error, self._progress = seconds, max_error, progress
        #: How many cases it may still grow to; another search that has found something may lower it.
        self.most = most
        self.tally = Tally()
        self._began = time.monotonic()
        #: Hashes of the cases that were drawn: of hundreds of thousands, no more is kept.
        self._drawn: set[int] = set()
        #: Cases that were asked for and not judged: code in another process runs on them meanwhile.
        self._waiting: deque[tuple[Case, list[Ran] | None]] = deque()
        #: The case on which the target differs, once there is one.
        self.suspect: Case | None = None
        self._shown = 0.0

    def search(self, beside: Callable[[Tally], Case | None] | None = None) -> Case | None:
        """Return the first case on which the target differs; None where time, cases or layers are used up.

        Parameters
        ----------
        beside : callable, optional
            Draws cases in several other processes in place of this one: returns what was found there, and adds up
            what was tried.

        Raises
        ------
        UsageError
            If Hypothesis is not installed.
        """
        from hypothesis import settings

        layers, taken = self._layers(), self._probe.taken
        # What is imported and made at the first hunt takes long and finds nothing.
        self._began = time.monotonic()
        self._progress.start(1.0)
        self._progress.layer("searching")
        database = settings().database
        key = f"convcheck hunt {self._target.name}".encode()
        known = database is not None and self._again(database, key)
        if not known and not any(self._differs((layer, None)) for layer in self._near):
            if beside is None:
                self._draw(layers)
            else:
                self.suspect = beside(self.tally)
        if self.suspect is not None:
            # A search for the smallest case leaves them as they are, since code need not take others; this code does.
            condition = self.suspect[1]
            for usual in ({"bias": True}, {"dtype": next(name for name in DTYPES if name in taken)}):
                other = changed(self.suspect[0], usual)
                if other is not None:
                    self._differs((other, condition))
            if database is not None:
                database.save(key, json.dumps([self.suspect[0].spec(), condition]).encode())
        return self.suspect

    def drawn(self) -> Case | None:
        """Return the first case on which the target differs of those that are drawn; for one of several searches."""
        layers = self._layers()
        self._began = time.monotonic()
        self._draw(layers)
        return self.suspect

    def _layers(self) -> SearchStrategy[Layer]:
        from convcheck.suites import strategies

        taken = self._probe.taken
        return strategies.layers(
            axes=[rank for rank in (1, 2, 3) if f"{rank}d" in taken], dtypes=[name for name in DTYPES if name in taken],
            kinds=KINDS & taken, near=self._near, seed=self._seed,
        )  # fmt: skip

    def _again(self, database: ExampleDatabase, key: bytes) -> bool:
        """Whether the target differs on a case that an earlier hunt kept; where it no longer does, forget the case."""
        for kept in list(database.fetch(key)):
            try:
                spec, condition = json.loads(kept)
                case = Layer(**spec), condition if condition in conditions.RUNS else None
            except (ValueError, TypeError, RecursionError):
                # Of another version, or not of ours: code under test can write there, too.
                database.delete(key, kept)
                continue
            if self._differs(case):
                return True
            database.delete(key, kept)
        return False

    def _draw(self, layers: SearchStrategy[Layer]) -> None:
        from hypothesis import Phase, Verbosity, find, settings
        from hypothesis import strategies as st
        from hypothesis.errors import NoSuchExample, Unsatisfiable

        # Half of the cases are plain.
        applicable = [name for name in conditions.RUNS if name not in self._target.inapplicable]
        cases = st.tuples(layers, st.sampled_from([*[None] * len(applicable), *applicable]))
        how = settings(
            max_examples=_BATCH, deadline=None, derandomize=False, verbosity=Verbosity.quiet, database=None,
            phases=[Phase.generate],
        )  # fmt: skip
        asked = partial(self._in_many_ways, applicable) if self._compiled_anew() else self._asked
        batch = in_vain = 0
        stream = f" {self._number}" if self._number else ""
        while self._done < 1 and self.suspect is None and in_vain < _IN_VAIN:
            before = len(self._drawn)
            with suppress(NoSuchExample, Unsatisfiable):
                find(cases, asked, settings=how, random=Random(f"{self._seed} {batch}{stream}"))
            self._judge_until(0)
            batch += 1
            in_vain = 0 if len(self._drawn) > before else in_vain + 1

    def _in_many_ways(self, applicable: Sequence[str], drawn: Case) -> bool:
        """Run the target on a case, and on all others of the same layer in which it is run on no other shapes."""
        refused = self.tally.refused
        if self._asked((drawn[0], None)):
            return True
        self._judge_until(0)
        if self.suspect is not None or self.tally.refused > refused:
            return self.suspect is not None
        others = [name for name in applicable if not conditions.RUNS[name].shapes]
        return any(self._asked((drawn[0], name)) for name in dict.fromkeys((drawn[1], *others)))

    def _compiled_anew(self) -> bool:
        """Whether the first pass of a new shape takes so long that a layer is worth all cases of its shapes."""
        for samples in _NEW_SAMPLES:
            layer = self._probe.base.alike(batch=samples)
            if self._target.unsupported(layer) or self._probe.within(layer) != layer:
                return False
            seconds = []
            for _ in range(3):
                began = time.perf_counter()
                with suppress(Exception, SystemExit), one_thread_if_small(layer):
                    if any("output" not in ran.observed.arrays for ran in self._runs(layer, None)):
                        return False
                seconds.append(time.perf_counter() - began)
            # Of the further ones the quicker: on a busy machine, any pass takes long now and then.
            first, later = seconds[0], min(seconds[1:])
            if first < later + _SECONDS_LONGER or first < _TIMES_LONGER * later:
                return False
        return True

    @property
    def _done(self) -> float:
        """The share of the search that is done."""
        return max(
            (self.tally.cases + len(self._waiting)) / self.most, (time.monotonic() - self._began) / self._seconds
        )

    def _differs(self, drawn: Case) -> bool:
        """Whether the target differs on a case; one that was drawn before is not run again."""
        before = self.suspect
        self._asked(drawn)
        self._judge_until(0)
        return self.suspect is not before

    def _asked(self, drawn: Case) -> bool:
        """Run the target on a case, without waiting for it; return whether it differs on one that ran before."""
        layer = self._probe.within(drawn[0])
        if layer is None or self._target.unsupported(layer):
            return False
        case = as_taken(layer, self._target), drawn[1]
        if hash(case) in self._drawn or self._done >= 1:
            # The last one once more, by which Hypothesis makes sure of it.
            return self.suspect is not None
        self._drawn.add(hash(case))
        runs: list[Ran] | None = None
        # What the target raises where nothing catches it: the verdict on the layer says more.
        with suppress(Exception, SystemExit), one_thread_if_small(layer):
            runs = self._runs(*case)
        self._waiting.append((case, runs))
        before = self.suspect
        self._judge_until(_AHEAD if self._target.ahead(layer) else 0)
        return self.suspect is not before

    def _runs(self, layer: Layer, condition: str | None) -> list[Ran]:
        target = self._target
        target.begin()
        expected = Expected(layer, target, self._max_error, lambda evaluations: None)
        if condition is None:
            return [run(expected, target, expected.operands)]
        return list(conditions.runs_of(condition, expected, target))

    def _judge_until(self, left: int) -> None:
        """Judge cases in the order in which they were asked for, until so many are left or one differs."""
        while len(self._waiting) > left:
            (layer, condition), runs = self._waiting.popleft()
            try:
                with one_thread_if_small(layer):
                    differs = runs is None or self._wrong(layer, condition, runs)
            except (Exception, SystemExit):
                differs = True
            if differs:
                self.suspect = layer, condition
                self._waiting.clear()

    def _wrong(self, layer: Layer, condition: str | None, runs: Sequence[Ran]) -> bool:
        """Count a case, and return whether one of its runs is wrong."""
        runs = [ran for ran in runs if condition is None or conditions.refusal_of(condition, ran) is None]
        if not runs:
            return False
        refusal = next((reason for ran in runs if (reason := _refusal(ran.observed))), None)
        if refusal is not None:
            self.tally.refused += 1
            self.tally.refusals.setdefault(refusal, layer)
            return False
        self.tally.count(layer, condition)
        done = self._done
        self._progress.advance(done - self._shown)
        self._shown = done
        for ran in runs:
            bounded = condition == "real" or not ran.expected.exact_data
            results = conditions.against_built_in(ran.expected, ran.operands, ran.observed, bounded=bounded)
            absent = self._target.absent
            if any(r.status in ("failed", "error") for name, r in results.items() if name not in absent):
                return True
        return False

    def account(self, *, at_once: bool = False) -> Hunt:
        """Return what was tried, and unless that is wanted at once, which known mistakes that could have shown.

        That takes seconds, and may run the code once more.
        """
        from convcheck.suites import strategies

        seconds, tally = time.monotonic() - self._began, self.tally
        exact = self._target.exact
        comparison = Comparison("integers" if exact else "reals", exact, self._max_error or 0.0)
        shown, missing = (set(), set()) if at_once else shown_of(tally.judged, self._probe, comparison)
        never = [FEATURES[name].words for name in FEATURES if name in self._probe.taken - tally.properties.keys()]
        had = [(FEATURES[name], number) for name, number in tally.properties.most_common()]
        if tally.refused:
            told = list(tally.refusals.items())[:_LISTED]
            never += [f"{as_yaml(layer)} ({reason})" for reason, layer in told]
        never += [f"the condition {name}" for name in conditions.RUNS if name not in tally.conditions]
        never.append(f"layers of more than {strategies.LARGEST:,} multiply-adds")
        return Hunt(
            seed=self._seed,
            cases=tally.cases,
            layers=len(tally.layers),
            refused=tally.refused,
            seconds=seconds,
            sizes=tuple(Drawn(field, *tally.sizes[field]) for field in _SIZES if field in tally.sizes),
            properties=tuple(Tried(feature.words, number) for feature, number in had if not feature.usual),
            conditions=tuple(Tried(name, number) for name, number in tally.conditions.most_common()),
            mistakes_shown=len(shown),
            mistakes=len(shown | missing),
            not_shown=tuple(sorted(missing)),
            not_tried=tuple(never),
        )


def _refusal(observed: Observed) -> str | None:
    """Return why a target does not take a layer: it says so, or its forward pass raises.

    As where it is found out what it takes: what the forward pass cannot do is a limit, what only the backward pass
    cannot do is a mistake.
    """
    fault = observed.faults.get("output")
    if observed.refusal is None and fault is not None and fault.status == "error":
        return fault.message.strip().splitlines()[-1]
    return observed.refusal
