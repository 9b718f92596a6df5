"""Observed wrong gradient -> the mistakes that reproduce it.

On integer data a wrong gradient is a fingerprint: it is compared, for equality, with what every known mistake gives on
the same data. Where several give the same, the code under test is run on other layers, on which they differ. Where none
does, two mistakes at once are tried, and then what the gradient has in common with the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from convcheck.layer.arrays import Array, is_numeric
from convcheck.layer.data import Operands, integer_operands
from convcheck.layer.fields import DTYPES
from convcheck.layer.layer import Layer
from convcheck.layer.similar import as_yaml, neighbours, shrunk
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.mistake import Mistake, Scene, WrongArrays, WrongResult, both_made, differs, unless_it_raises
from convcheck.mistakes.resemblance import resemblances
from convcheck.reports.results import Diagnosis

#: Runs the code under test: rerun(layer, operands) -> what it returned, by gradient; what it did not return is missing.
Rerun = Callable[[Layer, Operands], Mapping[str, Array]]

#: Runs of the code under test that separating tied mistakes may take.
_MOST_RERUNS = 12

#: Multiply-adds up to which a layer that is right once it is shrunk is tried as it is: about a second.
_FULL_SIZE = 4_000_000

#: More pairs than this agree with a gradient only where it has so few entries that anything agrees.
_MOST_PAIRS = 3


@dataclass(frozen=True)
class Finding:
    """What was found out about a wrong gradient.

    Attributes
    ----------
    diagnoses : tuple of Diagnosis
        The mistake; several where they are tied, or were made together. Empty where nothing is known.
    note : str or None
        How they relate, and on which layer they were found.
    """

    diagnoses: tuple[Diagnosis, ...]
    note: str | None = None


@dataclass(frozen=True)
class _Suspect:
    """One or two mistakes, each in a certain form."""

    mistakes: tuple[Mistake, ...]
    variants: tuple[str, ...]

    @property
    def words(self) -> str:
        return " and ".join(
            f"{mistake.name} ({variant})" if variant else mistake.name
            for mistake, variant in zip(self.mistakes, self.variants, strict=True)
        )

    def diagnoses(self, layer: Layer) -> tuple[Diagnosis, ...]:
        forms = zip(self.mistakes, self.variants, strict=True)
        return tuple(mistake.diagnosis(variant, layer) for mistake, variant in forms)


def diagnose(layer: Layer, gradient: str, rerun: Rerun) -> Finding:
    """Find the mistake behind a wrong gradient.

    Parameters
    ----------
    layer : Layer
        On which the gradient was found to be wrong. A large one is shrunk first, which bounds the cost.
    gradient : str
        "output", "input", "weight" or "bias".
    rerun : callable
        Runs the code under test on a layer and arrays.
    """
    small = shrunk(layer)
    operands = integer_operands(small)
    if operands is None:
        return Finding((), "no integers keep the sums of this layer exact, so nothing can be compared for equality")
    scene = Scene.of(small, operands)
    observed = _observe(rerun, scene, gradient)
    if observed is None:
        return Finding((), None)
    place = None if small is layer else f"found on a smaller layer of the same kind: {as_yaml(small)}"
    searches = [_single, _pairs, _recognized]
    if not differs(observed, scene.answer(gradient)):
        right = Finding((), place and f"right on a smaller layer of the same kind: {as_yaml(small)}")
        operands = None if small is layer or layer.multiply_adds > _FULL_SIZE else integer_operands(layer)
        if operands is None:
            return right
        # Now and then shrinking hides a mistake: one is looked for on the layer itself, two would take too long.
        small, scene, place = layer, Scene.of(layer, operands), None
        searches.remove(_pairs)
        observed = _observe(rerun, scene, gradient)
        if observed is None or not differs(observed, scene.answer(gradient)):
            return right
    suspects: list[_Suspect] = []
    for search in searches:
        suspects = suspects or list(search(scene, gradient, observed))
    if not suspects:
        return Finding(tuple(unless_it_raises(resemblances, scene, gradient, observed)), place)
    left, layers = _separated(suspects, small, gradient, rerun)
    return _told(left, small, layers, place)


def explains(name: str, layer: Layer, operands: Operands, gradient: str, observed: Array) -> bool:
    """Whether the known mistake of a name, in some form, makes the observed gradient; no other name explains one."""
    known = next((mistake for mistake in MISTAKES if mistake.name == name and mistake.behaviour is None), None)
    if known is None:
        return False
    scene, observed = Scene.of(layer, operands), _as_in_scene(observed, gradient)
    made = (wrong.array for wrong in unless_it_raises(known.wrong, scene, gradient))
    recognized = unless_it_raises(known.recognized, scene, gradient, observed)
    return any(_same(observed, array, scene) for array in made) or bool(recognized)


def _observe(rerun: Rerun, scene: Scene, gradient: str) -> Array | None:
    observed = rerun(scene.layer, scene.given).get(gradient)
    return None if observed is None or not is_numeric(observed, scene.layer.dtype) else _as_in_scene(observed, gradient)


def _as_in_scene(observed: Array, gradient: str) -> Array:
    return observed.conj() if gradient == "output" else observed


def _forms(mistakes: tuple[Mistake, ...], scene: Scene, gradient: str) -> list[tuple[tuple[str, ...], Array]]:
    """Return (form of each, what they make together) for one mistake or two; nothing where they raise."""
    if len(mistakes) == 2:
        first, second = mistakes
        return unless_it_raises(both_made, first, second, scene, gradient)
    return [((wrong.variant,), wrong.array) for wrong in unless_it_raises(mistakes[0].wrong, scene, gradient)]


def _single(scene: Scene, gradient: str, observed: Array) -> Iterator[_Suspect]:
    """Every mistake that gives the observed gradient."""
    for mistake in MISTAKES:
        if mistake.behaviour is None:
            for variants, array in _forms((mistake,), scene, gradient):
                if _same(observed, array, scene):
                    yield _Suspect((mistake,), variants)


def _pairs(scene: Scene, gradient: str, observed: Array) -> Iterator[_Suspect]:
    """Two mistakes at once; pairs of which one alone is enough do not occur, since none alone was."""
    known = [mistake for mistake in MISTAKES if mistake.behaviour is None and mistake.combines]
    orders = list(permutations(known, 2))
    # Every mistake on the wrong arrays of another, then every result spoiled by another.
    pairs: list[tuple[Mistake, Mistake]] = [pair for pair in orders if isinstance(pair[0], WrongArrays)]
    pairs += [
        (first, second)
        for second, first in orders
        if isinstance(second, WrongResult) and not isinstance(first, WrongArrays)
    ]
    found: set[frozenset[str]] = set()
    for pair in pairs:
        names = frozenset(mistake.name for mistake in pair)
        for variants, array in [] if names in found else _forms(pair, scene, gradient):
            if _same(observed, array, scene):
                yield _Suspect(pair, variants)
                found.add(names)
                break
        if len(found) == _MOST_PAIRS:
            return


def _recognized(scene: Scene, gradient: str, observed: Array) -> Iterator[_Suspect]:
    """Every mistake that is known by a rule: any factor, any entry that is not finite."""
    for mistake in MISTAKES:
        if gradient in mistake.gradients:
            for variant in unless_it_raises(mistake.recognized, scene, gradient, observed):
                yield _Suspect((mistake,), (variant,))


def _same(observed: Array, made: Array, scene: Scene) -> bool:
    """Whether a mistake made the observed gradient: equal, or, for fractions, equal up to their rounding."""
    if observed.shape != made.shape:
        return False
    if np.array_equal(observed, made, equal_nan=True):
        return True
    if np.array_equal(made, np.rint(made)) or not np.isfinite(made).all():
        return False
    # A mean may be taken before or after the sum; each term and each addition rounds once.
    terms = scene.grad_output.size + scene.weight.size
    layer = scene.layer
    rounded = 2 * terms * DTYPES[layer.sums].roundoff + DTYPES[layer.dtype].roundoff
    allowed = rounded * float(np.abs(made).max())
    return bool((np.abs(observed - made) <= allowed).all())


def _separated(
    suspects: list[_Suspect], layer: Layer, gradient: str, rerun: Rerun
) -> tuple[list[_Suspect], list[Layer]]:
    """Run the code under test on layers on which the suspects differ, until one is left or none can be told apart."""
    used: list[Layer] = []
    for _, candidate in neighbours(layer):
        if len({suspect.words for suspect in suspects}) == 1 or len(used) == _MOST_RERUNS:
            break
        operands = integer_operands(candidate)
        if operands is None:
            continue
        scene = Scene.of(candidate, operands)
        made = {mistakes: dict(_forms(mistakes, scene, gradient)) for mistakes in {s.mistakes for s in suspects}}
        # The right answer where a mistake cannot be made.
        expected = [made[s.mistakes].get(s.variants, scene.answer(gradient)) for s in suspects]
        if not any(differs(array, expected[0]) for array in expected):
            continue
        used.append(candidate)
        observed = _observe(rerun, scene, gradient)
        if observed is None:
            continue
        left = [suspect for suspect, array in zip(suspects, expected, strict=True) if _same(observed, array, scene)]
        # Code that is wrong in yet another way there tells nothing.
        suspects = left or suspects
    return suspects, used


def _told(suspects: Sequence[_Suspect], layer: Layer, layers: Sequence[Layer], place: str | None) -> Finding:
    """Put what is left into words."""
    by_words = {suspect.words: suspect for suspect in suspects}
    first, *others = by_words.values()
    notes = [] if place is None else [place]
    if others:
        listed = ", and with ".join(other.words for other in others)
        notes.append(f"tied: consistent with {first.words}, and with {listed}; no layer tried tells them apart")
    elif layers:
        notes.append(f"told apart from what looks the same here by a run on {as_yaml(layers[-1])}")
    if len(first.mistakes) > 1:
        notes.append(f"{len(first.mistakes)} mistakes at once")
    diagnoses = dict.fromkeys(diagnosis for suspect in by_words.values() for diagnosis in suspect.diagnoses(layer))
    return Finding(tuple(diagnoses), "; ".join(notes) or None)
