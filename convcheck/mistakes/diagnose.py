"""Observed wrong gradient -> the mistakes that reproduce it.

On integer data a wrong gradient is a fingerprint: it is compared, for equality, with what every known mistake gives on
the same data. Where several give the same, the code under test is run on other layers, on which they differ. Where none
does, two mistakes at once are tried, and then what the gradient has in common with the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands, integer_operands
from convcheck.layer.layer import Layer
from convcheck.layer.similar import as_yaml, neighbours, shrunk
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.mistake import Mistake, WrongArrays, WrongResult, differs
from convcheck.mistakes.resemblance import resemblances
from convcheck.mistakes.scene import Scene
from convcheck.reports.results import Diagnosis

#: Runs the code under test: rerun(layer, operands) -> what it returned, by gradient; what it did not return is missing.
Rerun = Callable[[Layer, Operands], Mapping[str, Array]]

#: Runs of the code under test that separating tied mistakes may take.
_MOST_RERUNS = 12

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
    """One or two mistakes, in a certain form."""

    mistakes: tuple[Mistake, ...]
    variants: tuple[str, ...]

    @property
    def words(self) -> str:
        return " and ".join(
            f"{mistake.name} ({variant})" if variant else mistake.name
            for mistake, variant in zip(self.mistakes, self.variants, strict=True)
        )

    @property
    def diagnoses(self) -> tuple[Diagnosis, ...]:
        return tuple(
            Diagnosis(mistake.code, mistake.name, _explained(mistake, variant), mistake.fix)
            for mistake, variant in zip(self.mistakes, self.variants, strict=True)
        )


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

    Returns
    -------
    Finding
    """
    small = shrunk(layer)
    operands = integer_operands(small)
    if operands is None:
        return Finding((), "no integers keep the sums of this layer exact, so nothing can be compared for equality")
    place = None if small is layer else f"found on a smaller layer of the same kind: {as_yaml(small)}"
    scene = Scene(small, operands)
    observed = _observe(rerun, scene, gradient)
    if observed is None:
        return Finding((), None)
    if not differs(observed, scene.answer(gradient)):
        right = None if place is None else f"right on a smaller layer of the same kind: {as_yaml(small)}"
        return Finding((), right)
    suspects: list[_Suspect] = []
    for search in (_single, _pairs, _recognized):
        suspects = suspects or list(search(scene, gradient, observed))
    if not suspects:
        return Finding(tuple(resemblances(scene, gradient, observed)), place)
    left, layers = _separated(suspects, small, gradient, rerun)
    return _told(left, layers, place)


def _observe(rerun: Rerun, scene: Scene, gradient: str) -> Array | None:
    # Numbers that the code under test was given must not change what it is compared with.
    observed = rerun(scene.layer, scene.operands.map(lambda array: array.copy())).get(gradient)
    return None if observed is None or observed.dtype.kind not in "fiu" else observed


def _single(scene: Scene, gradient: str, observed: Array) -> Iterator[_Suspect]:
    """Every mistake that gives the observed gradient."""
    for mistake in MISTAKES:
        if mistake.behaviour is None:
            for wrong in mistake.wrong(scene, gradient):
                if _same(observed, wrong.array, scene):
                    yield _Suspect((mistake,), (wrong.variant,))


def _recognized(scene: Scene, gradient: str, observed: Array) -> Iterator[_Suspect]:
    """Every mistake that is known by a rule: any factor, any entry that is not finite."""
    for mistake in MISTAKES:
        variant = mistake.recognizes(scene, gradient, observed) if gradient in mistake.gradients else None
        if variant is not None:
            yield _Suspect((mistake,), (variant,))


def _pairs(scene: Scene, gradient: str, observed: Array) -> Iterator[_Suspect]:
    """Two mistakes at once; pairs of which one alone is enough do not occur, since none alone was."""
    found: dict[frozenset[str], _Suspect] = {}
    for suspect, array in _combined(scene, gradient):
        names = frozenset(mistake.name for mistake in suspect.mistakes)
        if names not in found and _same(observed, array, scene):
            found[names] = suspect
            if len(found) == _MOST_PAIRS:
                break
    yield from found.values()


def _combined(scene: Scene, gradient: str) -> Iterator[tuple[_Suspect, Array]]:
    """Every mistake on wrong arrays, and every mistake with its result spoiled."""
    known = [mistake for mistake in MISTAKES if mistake.behaviour is None and mistake.combines]
    for first in known:
        if isinstance(first, WrongArrays) and gradient in first.gradients:
            for variant, changed in first.scenes(scene, gradient):
                for second in known:
                    if second is not first:
                        for wrong in second.wrong(changed, gradient):
                            yield _Suspect((first, second), (variant, wrong.variant)), wrong.array
    for second in known:
        if isinstance(second, WrongResult) and gradient in second.gradients:
            for first in known:
                if first is not second:
                    for wrong in first.wrong(scene, gradient):
                        for variant, spoiled in second.results(scene, gradient, wrong.array):
                            yield _Suspect((first, second), (wrong.variant, variant)), spoiled


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
    allowed = terms * np.finfo(scene.layer.dtype).eps * float(np.abs(made).max(initial=0))
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
        scene = Scene(candidate, operands)
        made = [_made(suspect, scene, gradient) for suspect in suspects]
        if not any(one is not made[0] and _unlike(one, made[0]) for one in made):
            continue
        used.append(candidate)
        observed = _observe(rerun, scene, gradient)
        if observed is None:
            continue
        left = [
            suspect
            for suspect, array in zip(suspects, made, strict=True)
            if array is not None and _same(observed, array, scene)
        ]
        # Code that is wrong in yet another way there tells nothing.
        suspects = left or suspects
    return suspects, used


def _unlike(one: Array | None, other: Array | None) -> bool:
    return (one is None) != (other is None) or (one is not None and other is not None and differs(one, other))


def _made(suspect: _Suspect, scene: Scene, gradient: str) -> Array | None:
    """Return what a suspect gives in another scene, in the same form."""
    if len(suspect.mistakes) == 1:
        (mistake,), (variant,) = suspect.mistakes, suspect.variants
        return next((wrong.array for wrong in mistake.wrong(scene, gradient) if wrong.variant == variant), None)
    return next((array for other, array in _combined(scene, gradient) if other == suspect), None)


def _told(suspects: Sequence[_Suspect], layers: Sequence[Layer], place: str | None) -> Finding:
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
    diagnoses = dict.fromkeys(diagnosis for suspect in by_words.values() for diagnosis in suspect.diagnoses)
    return Finding(tuple(diagnoses), "; ".join(notes) or None)


def _explained(mistake: Mistake, variant: str) -> str:
    return f"{mistake.explanation[:-1]} ({variant})." if variant else mistake.explanation
