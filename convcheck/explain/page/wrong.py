"""What a target got wrong, and what the known mistakes would give, as the page shows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from convcheck.checks.comparison import compare
from convcheck.explain.judged import Compared, Judged
from convcheck.explain.page.packing import Kept, packed, packed_marks, size_of
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.mistake import Mistake, Scene, differs, unless_it_raises
from convcheck.reports.results import GRADIENTS
from convcheck.reports.where import where
from convcheck.wording import counted

#: Multiply-adds of a forward pass up to which the known mistakes are made on a layer.
_MOST_WORK = 3_000_000

#: How often a mistake may be made again to find the terms of what it gives, and the multiply-adds of all that.
_MOST_RUNS, _MOST_RUNS_WORK = 400, 20_000_000

#: The same for one of the many of the menu.
_MOST_RUNS_OF_MENU = 16

#: Terms of one wrong array.
_MOST_TERMS = 20_000


def errors_of(judged: Judged, kept: Kept) -> dict[str, Any]:
    """Return what the page says of a target's arrays."""
    arrays = {}
    for one in judged.arrays:
        comparison = compare(one.given, one.right, one.allowed)
        wrong = comparison.wrong
        facts: dict[str, Any] = {
            "entries": wrong.size, "count": comparison.mismatches, "source": one.source, "fits": one.fits,
            "diagnosis": [vars(diagnosis) for diagnosis in one.diagnoses], "note": one.note,
            # Not what it resembles only.
            "mistakes": sorted({each.name for each in one.diagnoses} & {mistake.name for mistake in MISTAKES}),
        }  # fmt: skip
        if comparison.mismatches and comparison.worst is not None:
            worst = comparison.worst
            facts |= {
                "where": where(wrong, one.gradient),
                "worst": {"index": worst.index, "given": _number(worst.analytic), "right": _number(worst.numeric)},
                "given": packed(kept.cut(judged.layer, one.gradient, one.given)),
                "right": packed(kept.cut(judged.layer, one.gradient, one.right)),
                "wrong": packed_marks(kept.cut(judged.layer, one.gradient, wrong)),
                # How many are wrong in every map: samples × channels, filters × channels.
                "counts": wrong.reshape(*wrong.shape[:2], -1).sum(axis=2).tolist() if wrong.ndim > 1 else None,
                "terms": _terms_of_diagnosed(judged, one, kept),
            }
        arrays[one.gradient] = facts
    return {"target": judged.name, "arrays": arrays, "notes": judged.notes, "reproduce": judged.reproduce}


def _number(value: complex) -> float | str:
    """Return what JSON can hold."""
    return value.real if np.isfinite(value) else str(value)


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
    kept.cut(layer, gradient, there)[...] = True
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
                "given": packed(kept.cut(scene.layer, gradient, array)),
                "terms": terms_of(mistake, variant, scene, gradient, array, kept, _MOST_RUNS_OF_MENU),
            }  # fmt: skip
