"""What a target got wrong, and what the known mistakes would give, as the page shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convcheck.checks.attribution import diagnosed
from convcheck.checks.comparison import compare
from convcheck.checks.expected import Expected
from convcheck.checks.plan import WORK_BUDGET, gradients_of
from convcheck.explain.page.packing import packed, packed_marks, size_of
from convcheck.explain.trial import Trial
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.differences import packing_for
from convcheck.gradients.numeric.directions import OPERAND_OF, direction_count
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.mistake import Mistake, Scene, differs, unless_it_raises
from convcheck.reports.results import GRADIENTS, Diagnosis
from convcheck.reports.where import where
from convcheck.wording import counted

if TYPE_CHECKING:
    from convcheck.explain.page.case import Kept

#: Multiply-adds of a forward pass up to which the known mistakes are made on a layer.
_MOST_WORK = 3_000_000

#: How often a mistake may be made again to find the terms of what it gives, and the multiply-adds of all that.
_MOST_RUNS, _MOST_RUNS_WORK = 400, 20_000_000

#: The same for one of the many of the menu.
_MOST_RUNS_OF_MENU = 16

#: Terms of one wrong array.
_MOST_TERMS = 20_000


@dataclass(frozen=True, eq=False)
class Compared:
    """One array of a target beside what it should be.

    Attributes
    ----------
    source : str
        Where the right one is from.
    fits : bool
        Whether it is what the definition gives, whatever the target's own forward pass does.
    """

    gradient: str
    given: Array
    right: Array
    allowed: Array | float
    source: str
    fits: bool
    diagnoses: tuple[Diagnosis, ...] = ()
    note: str | None = None


@dataclass(frozen=True, eq=False)
class Judged:
    """What a target gave on a layer.

    Attributes
    ----------
    name : str
        Of the target.
    arrays : tuple of Compared
        What could be compared, the output first.
    notes : tuple of str
        What could not, and why.
    reproduce : str or None
        The command that finds it again.
    """

    name: str
    layer: Layer
    operands: Operands
    arrays: tuple[Compared, ...]
    notes: tuple[str, ...] = ()
    reproduce: str | None = None


def judge(trial: Trial, reproduce: str | None = None) -> Judged | None:
    """Compare what a target gave with what it should be; None where no code was run."""
    expected, observed, layer = trial.expected, trial.observed, trial.layer
    if expected is None or observed is None:
        return None
    name = observed.implementation.name
    if trial.refusal is not None:
        return Judged(name, layer, trial.operands, (), (trial.refusal,))
    notes = tuple(f"{array}: {fault.message}" for array, fault in observed.faults.items())
    arrays = []
    if "output" in observed.arrays:
        right, allowed = expected.definition, expected.forward_allowance
        if trial.operands is not expected.operands:
            right, allowed = expected.real_output, expected.real_output_allowance
        output = observed.arrays["output"]
        fits = compare(output, right, allowed).mismatches == 0
        arrays.append(Compared("output", output, right, allowed, "the definition", fits))
        arrays += [
            _gradient(trial, expected, gradient, observed.arrays[gradient])
            for gradient in gradients_of(layer)
            if gradient in observed.arrays
        ]
    forward_wrong = any(one.gradient == "output" and not one.fits for one in arrays)
    untouched = ("input", "weight") if forward_wrong and expected.right_but_for_bias else ()
    found = []
    for one in arrays:
        asked = not forward_wrong or one.gradient in ("output", *untouched)
        if asked and compare(one.given, one.right, one.allowed).mismatches:
            finding = diagnosed(layer, one.gradient, observed.implementation)
            one = replace(one, diagnoses=finding.diagnoses, note=finding.note)
        found.append(one)
    return Judged(name, layer, trial.operands, tuple(found), notes, reproduce)


def _gradient(trial: Trial, expected: Expected, gradient: str, given: Array) -> Compared:
    """Compare a gradient with that of the target's own forward pass, where that does not take too long."""
    layer, on_integers = trial.layer, trial.operands is expected.integers
    at = trial.operands.map(lambda array: array.astype(np.float64))
    right: Array | None = getattr(formulation(FASTEST).backward(layer, at.x, at.weight, at.grad_output), gradient)
    assert right is not None
    allowed: Array | float = 0.0 if on_integers else getattr(expected.allowed, gradient)
    fits = compare(given, right, allowed).mismatches == 0
    if expected.follows_definition and fits:
        return Compared(gradient, given, right, allowed, "the definition", fits)
    source = "the definition"
    if on_integers:
        evaluations = packing_for(layer, gradient).evaluations(direction_count(gradient, layer))
        if not expected.follows_definition:
            evaluations = getattr(at, OPERAND_OF[gradient]).size
        if 0 < evaluations * layer.multiply_adds <= WORK_BUDGET:
            right, source = expected.exact(gradient).values, "differences of the forward pass"
    return Compared(gradient, given, right, allowed, source, fits)


def errors_of(judged: Judged, kept: Kept) -> dict[str, Any]:
    """Return what the page says of a target's arrays."""
    arrays = {}
    for one in judged.arrays:
        comparison = compare(one.given, one.right, one.allowed)
        wrong = comparison.wrong
        facts: dict[str, Any] = {
            "entries": wrong.size, "count": comparison.mismatches, "source": one.source, "fits": one.fits,
            "diagnosis": [vars(diagnosis) for diagnosis in one.diagnoses], "note": one.note,
        }  # fmt: skip
        if comparison.mismatches and comparison.worst is not None:
            worst = comparison.worst
            facts |= {
                "where": where(wrong, one.gradient),
                "worst": {"index": worst.index, "given": _number(worst.analytic), "right": _number(worst.numeric)},
                "given": packed(cut(judged.layer, kept, one.gradient, one.given)),
                "right": packed(cut(judged.layer, kept, one.gradient, one.right)),
                "wrong": packed_marks(cut(judged.layer, kept, one.gradient, wrong)),
                # How many are wrong in every map: samples × channels, filters × channels.
                "counts": wrong.reshape(*wrong.shape[:2], -1).sum(axis=2).tolist() if wrong.ndim > 1 else None,
                "terms": _terms_of_diagnosed(judged, one, kept),
            }
        arrays[one.gradient] = facts
    return {"target": judged.name, "arrays": arrays, "notes": judged.notes, "reproduce": judged.reproduce}


def _number(value: float) -> float | str:
    """Return what JSON can hold."""
    return value if np.isfinite(value) else str(value)


def cut(layer: Layer, kept: Kept, gradient: str, array: Any) -> Any:
    """Return the part of an array that the page has."""
    match gradient:
        case "input":
            return kept.x(array)
        case "output":
            return kept.output(array)
        case "weight":
            return kept.weight(layer, array)
        case _:
            return kept.bias(array)


def _terms_of_diagnosed(judged: Judged, one: Compared, kept: Kept) -> dict[str, Any] | None:
    """Return the terms of a wrong array, where it is exactly what one known mistake gives."""
    scene = Scene(judged.layer, judged.operands)
    if len({diagnosis.name for diagnosis in one.diagnoses}) != 1:
        return None
    for mistake in MISTAKES:
        if mistake.name != one.diagnoses[0].name:
            continue
        for wrong in unless_it_raises(mistake.wrong, scene, one.gradient):
            if not differs(np.asarray(wrong.array, np.float64), np.asarray(one.given, np.float64)):
                return terms_of(mistake, wrong.variant, scene, one.gradient, wrong.array, kept, _MOST_RUNS)
    return None


def terms_of(
    mistake: Mistake, variant: str, scene: Scene, gradient: str, array: Array, kept: Kept, most: int
) -> dict[str, Any] | None:
    """Return which entries of dL/dO a wrong gradient is made of, and with which factors.

    What a mistake gives is linear in dL/dO, so that one entry alone gives its terms. None where it is not, and where it
    would take too long.

    Returns
    -------
    dict or None
        By the place of a wrong entry in its whole array: places in dL/dO and factors in turns.
    """
    layer, grad_output = scene.layer, scene.grad_output
    places = np.flatnonzero(grad_output)
    work = places.size * layer.multiply_adds
    if gradient == "output" or places.size > most or work > _MOST_RUNS_WORK:
        return None
    parts = []
    for place in places:
        alone = np.zeros_like(grad_output)
        alone.flat[place] = grad_output.flat[place]
        made = unless_it_raises(mistake.wrong, scene.with_arrays(grad_output=alone), gradient)
        part = next((wrong.array for wrong in made if wrong.variant == variant), None)
        if part is None or part.shape != array.shape:
            return None
        parts.append(np.asarray(part, np.float64))
    with np.errstate(invalid="ignore"):
        whole = sum(parts[1:], parts[0]) if parts else None
    if whole is None or not np.isfinite(whole).all() or differs(whole, np.asarray(array, np.float64)):
        return None
    there = np.zeros(array.shape, bool)
    cut(layer, kept, gradient, there)[...] = True
    wanted = np.flatnonzero(there & (np.asarray(array) != scene.answer(gradient)))
    factors = np.stack(
        [part.ravel()[wanted] / grad_output.flat[place] for part, place in zip(parts, places, strict=True)]
    )
    if np.count_nonzero(factors) > _MOST_TERMS:
        return None
    return {
        str(entry): [number for k in np.flatnonzero(column) for number in (int(places[k]), _plain(column[k]))]
        for entry, column in zip(wanted, factors.T, strict=True)
    }


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else float(value)


def mistakes_on(layer: Layer, operands: Operands, kept: Kept, limit: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what the known mistakes would make of a layer, and what of it is left out.

    Every mistake comes once before any comes in a second form.

    Parameters
    ----------
    limit : int
        Bytes that they may take.
    """
    if layer.multiply_adds > _MOST_WORK:
        return [], ["The known mistakes are not made on a layer this large; on a smaller one of its kind they are."]
    scene = Scene(layer, operands)
    waiting = [_forms(mistake, scene, kept) for mistake in MISTAKES if mistake.behaviour is None]
    found: list[dict[str, Any]] = []
    left, used = 0, 0
    while waiting:
        further = []
        for forms in waiting:
            made = next(forms, None)
            if made is None:
                continue
            further.append(forms)
            size = size_of(made)
            if used + size > limit:
                left += 1
            else:
                found.append(made)
                used += size
        waiting = further
    order = [mistake.name for mistake in MISTAKES]
    found.sort(key=lambda made: (order.index(made["name"]), GRADIENTS.index(made["gradient"])))
    more = "Of what the known mistakes give"
    return found, [f"{more}, {counted(left, 'form')} would be too much; --page-limit N makes room."] if left else []


def _forms(mistake: Mistake, scene: Scene, kept: Kept) -> Iterator[dict[str, Any]]:
    """Yield every form of a mistake that shows, and does not look like another one of it."""
    seen: set[tuple[str, bytes]] = set()
    for gradient in GRADIENTS:
        right = scene.answer(gradient)
        for variant, array in unless_it_raises(mistake.wrong, scene, gradient):
            key = gradient, array.tobytes()
            if key in seen or array.shape != right.shape or not differs(array, right):
                continue
            seen.add(key)
            yield {
                "name": mistake.name, "variant": variant, "gradient": gradient,
                "given": packed(cut(scene.layer, kept, gradient, array)),
                "terms": terms_of(mistake, variant, scene, gradient, array, kept, _MOST_RUNS_OF_MENU),
            }  # fmt: skip
