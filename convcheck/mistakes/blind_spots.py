"""What a passing suite has ruled out, and which known mistakes it could not have shown.

A mistake is visible on a layer if the wrong gradient that it makes differs from the right one on the layer's integer
data. Large layers are judged on a small one of the same kind, so all of this takes a moment. Mistakes that no single
result betrays, such as state kept between calls, do not depend on the layers and are left out of the account.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from convcheck.layer.data import integer_operands
from convcheck.layer.layer import Layer
from convcheck.layer.similar import as_yaml, neighbours, revealing, shrunk
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.mistake import Scene, unless_it_raises
from convcheck.reports.report import Report
from convcheck.reports.results import BlindSpot, LayerReport, Power

#: One form of a mistake: its name, the gradient that it spoils, and the variant.
Form = tuple[str, str, str]

#: A layer that could be added to a suite: how it differs, and what it is.
_Candidate = tuple[str, Layer]


def assessed(report: Report) -> Report:
    """Return the report with its statement of power and its blind spots.

    Parameters
    ----------
    report : Report
        One that passed; any other is returned as it is, since it makes no claim.
    """
    if not report.passed:
        return report
    shown = {form for layer in report.layers for form in _shown_and_checked(layer)}
    ranks = sorted({len(layer.layer.input) for layer in report.layers})
    known = shown | {form for rank in ranks for _, layer in revealing(rank) for form in shown_by(layer)}
    missing = known - shown
    names = {name for name, _, _ in known}
    checks = [result for layer in report.layers for result in layer.results if result.passed]
    power = Power(
        entries_compared_exactly=sum(
            r.entries_checked for r in checks if r.allowed_error == 0 and r.check != "central"
        ),
        false_pass_probability=max((r.false_pass_probability or 0.0 for r in checks), default=0.0),
        mistakes_shown=len(names - {name for name, _, _ in missing}),
        mistakes=len(names),
    )
    return replace(report, power=power, blind_spots=_blind_spots(missing, known, report.layers))


@lru_cache(maxsize=1024)
def shown_by(layer: Layer) -> frozenset[Form]:
    """Return the forms of known mistakes that are visible on a layer."""
    small = shrunk(layer)
    operands = integer_operands(small)
    if operands is None:
        return frozenset()
    scene = Scene(small, operands)
    return frozenset(
        (mistake.name, gradient, variant)
        for mistake in MISTAKES
        if mistake.behaviour is None
        for gradient in mistake.gradients
        for variant in unless_it_raises(mistake.visible, scene, gradient)
    )


def _shown_and_checked(report: LayerReport) -> Iterable[Form]:
    """Forms that are visible on a layer, in gradients that were compared there; being skipped shows nothing."""
    checked = {result.gradient for result in report.results if result.passed}
    return (form for form in shown_by(_plain(report.layer)) if form[1] in checked)


def _plain(layer: Layer) -> Layer:
    """Return the layer without what does not matter here, so that equal layers are judged once."""
    return replace(shrunk(layer), name="layer", seed=0)


def _blind_spots(missing: set[Form], known: set[Form], layers: Sequence[LayerReport]) -> tuple[BlindSpot, ...]:
    """Name every missing form with a layer that shows it, as few layers as a greedy choice needs."""
    spots: dict[tuple[str, str, str], set[Form]] = {}
    left = set(missing)
    # A single change to a layer of the suite is preferred to a layer of another kind.
    for candidates in (_changed(layers), _unlike(layers)):
        showing = {candidate: shown_by(candidate[1]) & missing for candidate in candidates}
        while left and showing:
            change, layer = best = max(showing, key=lambda candidate: len(showing[candidate] & left))
            closed = showing[best] & left
            if not closed:
                break
            left -= closed
            for form in closed:
                spots.setdefault((form[0], change, as_yaml(layer)), set()).add(form)
    codes = {mistake.name: mistake.code for mistake in MISTAKES}
    return tuple(
        BlindSpot(codes[name], name, _in_words(forms, known), change, layer)
        for (name, change, layer), forms in sorted(spots.items(), key=lambda item: codes[item[0][0]])
    )


def _in_words(forms: set[Form], known: set[Form]) -> tuple[str, ...]:
    """Name the gradients, and of those of which some forms are seen, the forms that are not."""
    words = []
    for name, gradient in sorted({form[:2] for form in forms}):
        unseen = {form for form in forms if form[:2] == (name, gradient)}
        label = gradient if gradient == "output" else f"grad_{gradient}"
        every = unseen == {form for form in known if form[:2] == (name, gradient)}
        words += [label] if every else [f"{label}: {variant}" for _, _, variant in sorted(unseen)]
    return tuple(words)


def _changed(layers: Sequence[LayerReport]) -> list[_Candidate]:
    """Layers that differ in one respect from the most telling layer of each rank."""
    best: dict[int, Layer] = {}
    for report in layers:
        layer = replace(_plain(report.layer), dtype="float64")
        rank = len(layer.input)
        if rank not in best or len(shown_by(layer)) > len(shown_by(best[rank])):
            best[rank] = layer
    return [candidate for layer in best.values() for candidate in neighbours(layer)]


def _unlike(layers: Sequence[LayerReport]) -> list[_Candidate]:
    return [candidate for rank in sorted({len(item.layer.input) for item in layers}) for candidate in revealing(rank)]
