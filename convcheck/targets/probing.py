"""What a target takes, found out by trying its forward pass on a ladder of tiny layers.

A layer that the forward pass refuses while the layers beside it run is a limit of the code, not a mistake in it. What
it computes wrongly is none of that: it stays, and the checks find it. The backward pass is run for the type of what it
gives alone: what only it cannot do is an error, and no limit.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np

from convcheck.gradients import FASTEST, ORACLE, formulation
from convcheck.gradients.numeric import rounding
from convcheck.layer.arrays import Array, is_numeric, wide
from convcheck.layer.data import Operands, integer_operands, real_operands
from convcheck.layer.fields import ASKED, COMPLEX, DTYPES, akin, known_to_numpy
from convcheck.layer.layer import Layer
from convcheck.layer.similar import Changes, as_yaml, changed
from convcheck.targets.features import FEATURES, KINDS, needed, without
from convcheck.targets.loading import last_line
from convcheck.targets.spec import TargetSpec
from convcheck.targets.target import Target

#: Seconds after which nothing more is tried, so that code which takes a second per call is still answered for.
_SECONDS = 25.0

#: So many reasons are told for which layers are refused whose options are taken each.
_LISTED = 3

#: So many plain layers, of each number of axes with and without padding, have nothing that code refuses often.
_PLAINEST = 6

#: Seconds that a call on a layer may take for the layer to be worth its checks.
_PATIENCE = 0.2

#: Seconds of a call that is so short that no suite is cut for its sake.
_QUICK = 0.05

#: Relative errors above this are no rounding of float64, whatever the algorithm.
_COARSE = 2.0**-30


class Attempt(NamedTuple):
    """What came of one forward pass.

    Attributes
    ----------
    outcome : str
        "right"; "wrong", if it gave something else than the definition; "refused", if it raised, or does not take the
        layer by its signature, or takes no notice of an option.
    reason : str
        Why it was refused, if more can be said than which layer it was.
    output : array or None
        In convcheck's order of axes.
    seconds : float
        That it took.
    """

    outcome: Literal["right", "wrong", "refused"]
    reason: str = ""
    output: Array | None = None
    seconds: float = 0.0


class _TimeUpError(Exception):
    """No time is left to try anything."""


class Probe:
    """What a target takes.

    Parameters
    ----------
    target : Target
    ends : float, optional
        When to stop, by `time.monotonic`.
    *found : str
        What was found out about it before.

    Attributes
    ----------
    usable : bool
        Whether there is a layer that it takes.
    base : Layer
        The plainest layer that the target takes; without one, the plainest of all.
    taken, refused : set of str, dict of str to str
        Features, the latter with the reason where there is one.
    ladder : dict of str to Layer
        For features that the plainest layer does not need, the layer by which they were found to be taken.
    combinations : dict of str to str
        Layers that it refuses though it takes all that they need, each with the reason, as `takes` found it.
    left_out : list of str
        What was not tried for want of time.
    seconds_per_call : float
        Of a call on a layer of which there was one before: some frameworks compile at the first.
    """

    def __init__(self, target: Target, ends: float | None = None, *found: str) -> None:
        self.target = target
        self._found = list(found)
        self.refused: dict[str, str] = {}
        self.taken: set[str] = set()
        self.left_out: list[str] = []
        self.ladder: dict[str, Layer] = {}
        self.combinations: dict[str, str] = {}
        self._attempts: dict[Layer, Attempt] = {}
        self.seconds_per_call = 0.0
        self._untried: set[str] = set()
        self._slowest = 0.0
        began = time.monotonic()
        self._ends = began + _SECONDS if ends is None else ends
        # To find a layer at all may take a third of the time; there are other ways to call the target.
        self._search_ends = began + (self._ends - began) / 3
        base = self._first_taken()
        self.usable = base is not None
        plain = _plain_layers()
        self.base = base or next((layer for layer in plain if not target.unsupported(layer)), plain[0])
        if self.usable:
            self._find_dtype()
            self._climb()
            self._try_again()

    def knowledge(self) -> dict[str, Any]:
        """Return what was found out, without the target, for another process."""
        return {name: value for name, value in vars(self).items() if name not in ("target", "_attempts")}

    @classmethod
    def known(cls, target: Target, knowledge: Mapping[str, Any]) -> Probe:
        """Return what was found out about the same target in another process."""
        probe = object.__new__(cls)
        vars(probe).update(knowledge, target=target, _attempts={})
        return probe

    @property
    def right(self) -> bool:
        """Whether the plainest layer gives what the definition gives."""
        return self.usable and self.attempt(self.base).outcome == "right"

    @property
    def found(self) -> list[str]:
        """What else was found by trying, in sentences."""
        return [*self._found, *self.target.found]

    def note(self, words: str) -> None:
        """Keep what was found out about it elsewhere."""
        self._found.append(words)

    @property
    def misses_sizes(self) -> bool:
        """Whether it raises what Python raises where an integer is taken for a sequence."""
        reasons = [attempt.reason for attempt in self._attempts.values()]
        return any(re.search(r"\bint\b.*(iterable|subscriptable|len\(\))|non-iterable int", text) for text in reasons)

    @property
    def words(self) -> list[str]:
        """What the target takes."""
        return [feature.words for name, feature in FEATURES.items() if name in self.taken and not feature.usual]

    @property
    def limits(self) -> list[str]:
        """What the target does not take, each with the last line of its exception where there is one."""
        if not self.usable:
            reasons = [attempt.reason for attempt in self._attempts.values() if attempt.reason]
            return [f"any of {len(self._attempts)} tiny layers{f' ({reasons[0]})' if reasons else ''}"]
        told = {FEATURES[name].words: reason for name, reason in self.refused.items() if name not in KINDS}
        ranks = [FEATURES[f"{rank}d"].words for rank in (1, 2, 3) if f"{rank}d" in self.refused]
        if len(ranks) == 2:
            # Without what code says of numbers of axes that it was not written for.
            one, other = (words.split()[0] for words in ranks)
            told = {f"{one} or {other} spatial axes": "", **told}
            told = {words: reason for words, reason in told.items() if words not in ranks}
        for wider, name in (("multiples-of-16", "multiples-of-8"), ("padding-not-same", "padding-neither")):
            if wider in self.refused:
                told.pop(FEATURES[name].words, None)
        texts = [f"{words}{reason and f' ({reason})'}" for words, reason in told.items()]
        # One layer for each reason that is not told of yet.
        by_reason = {reason: layer for layer, reason in reversed(self.combinations.items())}
        others = [(layer, reason) for reason, layer in reversed(by_reason.items()) if reason not in told.values()]
        return texts + [f"{layer} ({reason})" for layer, reason in others[:_LISTED]]

    def within(self, layer: Layer) -> Layer | None:
        """Return a layer as much like this one as the target takes; None if there is none."""
        return without(layer, self.refused.keys() | self._untried)

    def takes(self, layer: Layer) -> bool:
        """Whether the target's forward pass runs on a layer; where there is no time to try, as far as is known."""
        if not self.usable or not self.refused.keys().isdisjoint(needed(layer)):
            return False
        patience = _PATIENCE + 2 * self.seconds_per_call
        try:
            attempt = self.attempt(layer)
            if attempt.seconds > patience and as_yaml(layer) not in self.combinations:
                # Once more: on a busy machine, any call takes long now and then.
                del self._attempts[layer]
                attempt = self.attempt(layer)
        except _TimeUpError:
            return True
        if attempt.outcome == "refused" and attempt.reason:
            self.combinations[as_yaml(layer)] = attempt.reason
        if attempt.seconds > patience:
            self.combinations[as_yaml(layer)] = f"a call takes {attempt.seconds:.1g} s"
            return False
        return attempt.outcome != "refused"

    def attempt(self, layer: Layer) -> Attempt:
        """Run the forward pass on a layer."""
        if layer.bias and not self.target.takes_bias():
            return Attempt("refused")
        if layer not in self._attempts:
            began = time.monotonic()
            # One is tried in any case: the whole process may have been stopped for a while.
            if self._attempts and began + self._slowest > self._ends:
                raise _TimeUpError
            found = _attempted(self.target, layer)
            self._attempts[layer] = found._replace(seconds=time.monotonic() - began)
            self._slowest = max(self._slowest, self._attempts[layer].seconds)
        return self._attempts[layer]

    def _first_taken(self) -> Layer | None:
        """Return the first plain layer on which the forward pass is right, or else the first on which it runs.

        Code that refuses the usual data type may know another one only, so that the plainest are tried in all those of
        real numbers before those that are less plain.
        """
        running = None
        plain = _plain_layers()
        real = [name for name in DTYPES if name not in COMPLEX and known_to_numpy(name) is None]
        tried = [
            replace(layer, dtype=name)
            for layers in (plain[:_PLAINEST], plain[_PLAINEST:])
            for name in real
            for layer in layers
        ]
        try:
            for layer in tried:
                if layer.transposed and self.target.unsupported(layer):
                    continue
                if self._attempts and time.monotonic() > self._search_ends:
                    break
                outcome = self.attempt(layer).outcome
                if outcome == "right":
                    return layer
                if outcome == "wrong":
                    running = running or layer
        except _TimeUpError:
            pass
        return running

    def _find_dtype(self) -> None:
        """Notice code that computes in another type than it was given."""
        output = self.attempt(self.base).output
        given = "" if output is None else output.dtype.name
        inside = given if given in DTYPES and given != self.base.dtype else _computed_in(self.target, self.base)
        if inside and inside != self.base.dtype:
            verb = "gives" if given == inside else "computes in"
            self.refused[self.base.dtype] = f"it {verb} {inside} whatever comes in"
            self.base = replace(self.base, dtype=inside)

    def _climb(self) -> None:
        """Try every feature on top of the plainest layer."""
        try:
            self.taken |= set(needed(self.base))
            self._find_ranks()
            # Where the padding is a word, some options go with one of the words only.
            bare = changed(self.base, {"padding": 0})
            bases = [self.base] if bare is None or bare == self.base else [self.base, bare]
            # A layer that is refused is told against a feature only where all else that it needs is taken for sure; in
            # the end, of those that go together on every layer, against the first.
            for sure in (True, True, False):
                for name, feature in FEATURES.items():
                    if name not in self.taken and name not in self.refused and name not in ASKED:
                        layers = [changed(base, changes) for base in bases for changes in feature.added(base)]
                        self._try(name, layers, sure=sure)
        except _TimeUpError:
            open_ = [name for name in FEATURES if name not in {*self.taken, *self.refused, *ASKED}]
            self.left_out = [FEATURES[name].words for name in open_]
        # What needs a refused thing as well on every layer that was thought of.
        self._untried = FEATURES.keys() - self.taken - self.refused.keys() - set(ASKED)

    def _try(self, name: str, layers: list[Layer | None], *, sure: bool = True) -> None:
        reasons = []
        for layer in layers:
            others = [] if layer is None else [other for other in needed(layer) if other != name]
            if layer is None or not FEATURES[name].needed_by(layer) or any(other in self.refused for other in others):
                continue
            attempt = self.attempt(layer)
            given = self._given(layer, attempt) if name in DTYPES else name
            if given != name:
                self.refused[name] = f"it gives {given} whatever comes in"
                return
            if attempt.outcome != "refused":
                self.taken |= {name, *others}
                self.ladder[name] = layer
                return
            if not sure or all(other in self.taken for other in others):
                reasons.append(attempt.reason)
        if reasons:
            self.refused[name] = reasons[0]

    def _given(self, layer: Layer, attempt: Attempt) -> str:
        """Return the type of what comes back, of the gradients too: arrays that are made anew are of the usual one."""
        operands = integer_operands(layer)
        if attempt.output is None or operands is None:
            return layer.dtype
        try:
            gradients = self.target.run(layer, operands).backward()
        except Exception:
            return attempt.output.dtype.name
        types = [np.asarray(array).dtype.name for array in gradients if array is not None]
        return next((name for name in [attempt.output.dtype.name, *types] if name != layer.dtype), layer.dtype)

    def _find_ranks(self) -> None:
        for rank in (2, 1, 3):
            size = self.base.input[0]
            per_axis = {
                field: [getattr(self.base, field)[0]] * rank
                for field in ("kernel", "stride", "padding", "dilation", "output_padding")
            }
            layer = changed(self.base, {**per_axis, "input": [size] * rank})
            if f"{rank}d" not in self.taken:
                self._try(f"{rank}d", [layer])

    def _try_again(self) -> None:
        attempt = self.attempt(self.base)
        first, taken = attempt.output, [attempt.seconds]
        # The first call may import and compile; on a busy machine, any other takes long now and then.
        while len(taken) < 2 or (min(taken) > _QUICK and len(taken) < 3):
            began = time.monotonic()
            again = _attempted(self.target, self.base).output
            taken.append(time.monotonic() - began)
        self.seconds_per_call = min(taken)
        if first is not None and again is not None and first.tobytes() != again.tobytes():
            self._found.append("two equal calls of forward give different outputs")


def probed(spec: TargetSpec, make: Callable[[TargetSpec], Target]) -> tuple[TargetSpec, Probe]:
    """Find out what a target takes; where its mapping gives no order of axes, in the order that fits.

    Parameters
    ----------
    make : callable
        Returns the target of a mapping.

    Returns
    -------
    (TargetSpec, Probe)
        The mapping, with the order of axes, and what the target takes.
    """
    target = make(spec)
    # That a framework takes long to be imported says nothing of calls.
    ends = time.monotonic() + _SECONDS
    probe = Probe(target, ends)
    if probe.right and (probe.base.filters, probe.base.channels, probe.base.kernel[0]) == (3, 2, 3):
        return spec, probe
    if not probe.usable and not spec.tuples and probe.misses_sizes:
        per_axis, of_sizes = probed(replace(spec, tuples=True), make)
        if of_sizes.usable:
            of_sizes.note("sizes as one number per axis: tuples: true")
            return per_axis, of_sizes
    if probe.right and "several-channels" not in probe.taken:
        # Code that knows one channel only may know as many as there are filters, each for itself.
        depthwise = replace(spec, supports=(*spec.supports, "groups"))
        candidate = make(depthwise)
        if any(_attempted(candidate, layer).outcome == "right" for layer in _grouped(candidate)):
            return depthwise, Probe(candidate, ends, "every channel has its own filter")
    fitting: list[tuple[TargetSpec, Target]] = []
    for words, changes in _variants(spec, probe.target):
        if time.monotonic() > ends - _SECONDS / 3:
            probe.left_out.append("other orders of axes")
            break
        other = replace(spec, **changes)
        candidate = make(other)
        attempts = [_attempted(candidate, layer) for layer in _plainest(candidate)]
        if any(attempt.outcome == "right" for attempt in attempts):
            return other, Probe(candidate, ends, words)
        if any(attempt.outcome == "wrong" and not attempt.reason for attempt in attempts):
            fitting.append((other, candidate))
    # Wrong in any way, and the shape fits in one alone.
    if len(fitting) == 1 and (not probe.usable or probe.attempt(probe.base).reason):
        other, candidate = fitting[0]
        return other, Probe(candidate, ends, f"layout {other.layout}, weight_layout {other.weight_layout}")
    return spec, probe


def _grouped(target: Target) -> list[Layer]:
    layers = (layer for layer in _plain_layers() if layer.groups > 1 and layer.batch == 2)
    return [layer for layer in layers if not target.unsupported(layer)]


def _plainest(target: Target) -> list[Layer]:
    """Return the plainest layers that a target may take, with and without padding and a bias."""
    sizes = (2, 3, 2, 1)
    layers = [one for one in _plain_layers() if (one.batch, one.filters, one.channels, one.groups) == sizes]
    return [layer for layer in layers if set(layer.kernel) == {3} and not target.unsupported(layer)]


def _variants(spec: TargetSpec, target: Target) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield other ways to call a target, in words and as keys: another order of axes, code that pads by itself."""
    layouts: list[tuple[str, dict[str, Any]]] = [("", {})]
    if spec.layout is None and spec.weight_layout is None:
        pairs = product(("NCHW", "NHWC", "CHW", "HWC"), ("OIHW", "HWIO", "OHWI", "IOHW", "HWOI", "IHWO"))
        layouts += [
            (f"layout {one}, weight_layout {other}", {"layout": one, "weight_layout": other}) for one, other in pairs
        ]
    pads = {"supports": (*spec.supports, "padding")}
    for words, changes in layouts[1:]:
        yield words, changes
    # Code without a word for padding may pad all the same.
    if not any(any(map(any, layer.padding)) for layer in _plainest(target)):
        for words, changes in layouts:
            yield ", ".join(filter(None, ["padding same by itself", words])), {**changes, **pads}


@cache
def _plain_layers() -> tuple[Layer, ...]:
    """Return tiny layers, from what nearly all code takes to what particular code wants."""
    plain: Changes = {"channels": 2, "filters": 3, "kernel": 3}
    kinds: list[Changes] = [
        {},
        {"filters": 2},
        {"channels": 3, "filters": 3, "groups": 3},
        {"channels": 1, "filters": 2},
        {"channels": 1, "filters": 1},
        {"channels": 8, "filters": 8},
        {"channels": 16, "filters": 16},
        {"kernel": 1},
        {"kernel": 2},
    ]
    layers = []
    for transposed, batch, bias, kind, rank in product((False, True), (2, 1), (True, False), kinds, (2, 1, 3)):
        kernel = kind.get("kernel", 3)
        for padding in ("same", 0) if kernel % 2 else (0,):
            size = 5 if padding == "same" else 4 + kernel // 2
            own = {"batch": batch, "bias": bias, "padding": padding, "input": [size] * rank}
            layers.append(Layer(**{**plain, **kind, **own, "transposed": transposed}))
    return tuple(layers)


def _attempted(target: Target, layer: Layer) -> Attempt:
    layer = replace(layer, bias=layer.bias and target.takes_bias())
    if target.unsupported(layer):
        return Attempt("refused")
    operands = integer_operands(layer) or real_operands(layer)
    target.begin()
    try:
        output = np.array(target.forward(layer, operands.x, operands.weight, operands.bias))
    except (Exception, SystemExit) as error:
        return Attempt("refused", last_line(error))
    if not is_numeric(output, layer.dtype):
        return Attempt("wrong", "what it gives is no array of numbers")
    if output.shape == layer.output_shape:
        definition = formulation(ORACLE).forward(layer, operands.x, operands.weight, operands.bias)
        allowed = rounding.output_errors(layer, operands, formulation(FASTEST).forward, exact=target.exact)
        if bool((np.abs(wide(output) - definition) <= allowed).all()):
            return Attempt("right", "", output)
    options = target.unsaid | target.untold
    ignored = _ignored(layer, operands, output, options) if options else None
    if ignored is not None:
        return Attempt("refused", f"it takes no notice of the {ignored}")
    if output.shape == layer.output_shape:
        return Attempt("wrong", "", output)
    reason = f"it gives an output of shape {output.shape} in place of {layer.output_shape}"
    return Attempt("refused", reason) if target.untold else Attempt("wrong", reason, output)


def _ignored(layer: Layer, operands: Operands, output: Array, unsaid: Collection[str]) -> str | None:
    """Return the options, of some, of which an output that is not the definition's knows nothing; None if none."""
    first = {name: [getattr(layer, name)[0]] * len(layer.input) for name in ("stride", "padding", "dilation")}
    before = [pair[0] for pair in layer.padding]
    # What the target is told by a parameter of its own, it must take notice of.
    own: tuple[str, Changes] = ("", {})
    strides = [own, ("stride", {"stride": 1}), ("stride of the other axes", {"stride": first["stride"]})]
    dilations = [own, ("dilation", {"dilation": 1}), ("dilation of the other axes", {"dilation": first["dilation"]})]
    paddings = [
        own,
        ("padding", {"padding": 0}),
        ("padding", {"padding": "same"}),
        ("padding behind", {"padding": before}),
        ("padding of the other axes", {"padding": before[0]}),
    ]
    # Those that forget least come first.
    options = {"stride": strides, "dilation": dilations, "padding": paddings}
    choices = [ways if name in unsaid else [own] for name, ways in options.items()]
    for trial in sorted(product(*choices), key=lambda trial: sum(bool(words) for words, _ in trial)):
        other = changed(layer, {name: value for _, changes in trial for name, value in changes.items()})
        if other is not None and other != layer and other.output_shape == output.shape:
            definition = formulation(ORACLE).forward(other, operands.x, operands.weight, operands.bias)
            if np.array_equal(definition, output):
                return ", the ".join(words for words, _ in trial if words)
    return None


def _computed_in(target: Target, layer: Layer) -> str | None:
    """Return the narrower type in which a right forward pass computes, though what it gives is of the layer's own."""
    narrower = [name for name in akin(layer.dtype) if DTYPES[name].precision < DTYPES[layer.dtype].precision]
    operands = real_operands(layer)
    forward = formulation(FASTEST).forward
    definition = forward(layer, operands.x, operands.weight, operands.bias)
    try:
        output = wide(np.asarray(target.forward(layer, operands.x, operands.weight, operands.bias)))
    except Exception:
        return None
    if output.shape != definition.shape:
        return None
    error = np.abs(output - definition)
    if error.max(initial=0) <= _COARSE * np.abs(definition).max(initial=0):
        return None
    for name in narrower:
        coarse = replace(layer, dtype=name)
        allowed = rounding.output_errors(coarse, operands.map(lambda array: array.astype(name)), forward)  # noqa: B023
        # The data were rounded on their way in, which changes a product twice.
        data = 4 * DTYPES[name].roundoff * np.abs(definition).max(initial=0)
        if (error <= allowed + data * layer.channels).all():
            return name
    return None
