"""What a passing suite has ruled out, and which known mistakes it could not have shown.

A mistake is visible on a layer if the comparison that was made there would have found it: on integers, if the wrong
gradient differs at all; under a gate, if it differs by more; on real numbers alone, if by more than the bound. Large
layers are judged on small ones whose sizes stand to each other as theirs do (`convcheck.layer.similar`). Mistakes that
no single result betrays, such as state kept between calls, do not depend on the layers and are left out of the account.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric import rounding
from convcheck.layer.arrays import Array, wide
from convcheck.layer.data import SHORT, integer_operands, real_operands, short_sums
from convcheck.layer.layer import Layer
from convcheck.layer.similar import as_yaml, changed, neighbours, revealing, shrunk, triable
from convcheck.mistakes import MISTAKES, mistake
from convcheck.mistakes.conditions import CONDITIONS, UNTRIED, Untried
from convcheck.mistakes.mistake import Scene, differs, unless_it_raises
from convcheck.reports.report import Report
from convcheck.reports.results import GRADIENTS, BlindSpot, LayerReport, Power
from convcheck.targets.probing import Probe

#: One form of a mistake: its name, the gradient that it spoils, and the variant.
Form = tuple[str, str, str]

#: A layer that could be added to a suite: how it differs, and what it is.
_Candidate = tuple[str, Layer]


class Comparison(NamedTuple):
    """What the gradients of a layer were compared on, and what was allowed.

    Attributes
    ----------
    data : str
        "integers", on which nothing is allowed; "reals", within the bound of the backward pass; "central", within that
        of the differences.
    exact : bool
        False for an algorithm that rounds by transforms, whose bounds are wider.
    gate : float
        The largest relative error allowed, in place of the bounds; 0 without a gate.
    """

    data: str = "integers"
    exact: bool = True
    gate: float = 0.0


def assessed(report: Report, probes: Sequence[Probe] = ()) -> Report:
    """Return the report with its statement of power and its blind spots.

    Parameters
    ----------
    report : Report
        One that passed; any other is returned as it is, since it makes no claim.
    probes : sequence of Probe
        What the code under test takes: nothing else is asked for. None for convcheck's own formulations.
    """
    if not report.passed:
        return report
    claims = [(layer.layer, set(_shown_and_checked(layer, report.max_error or 0.0))) for layer in report.layers]
    layers = [layer for layer, _ in claims]
    shown = set[Form]().union(*(forms for _, forms in claims))
    anywhere = shown | possible(layers)
    known = shown | possible(layers, probes) if probes else anywhere
    missing = known - shown
    names = {name for name, _, _ in known}
    checks = [result for layer in report.layers for result in layer.results if result.passed]
    power = Power(
        entries_compared_exactly=sum(
            r.entries_checked for r in checks if r.on_integers and (r.gradient == "output" or not report.max_error)
        ),
        false_pass_probability=max((r.false_pass_probability or 0.0 for r in checks), default=0.0),
        mistakes_shown=len(names - {name for name, _, _ in missing}),
        mistakes=len(names),
        beyond_limits=tuple(sorted({name for name, _, _ in anywhere - known})),
        judged_on_smaller=sum(bool(forms) and shrunk(layer) is not layer for layer, forms in claims),
    )
    checked = [layer.layer for layer in report.layers if layer.passed]
    conditions = {r.condition for layer in report.layers for r in layer.results if r.condition and r.passed}
    spots = _blind_spots(missing, known, layers, probes) + _untried(checked, probes, conditions)
    spots += _refused(report.layers) + _not_differentiated(report.layers)
    return replace(report, power=power, blind_spots=spots)


def possible(layers: Sequence[Layer], probes: Sequence[Probe] = ()) -> frozenset[Form]:
    """Return the forms that can show on layers with as many axes as these, and that the code under test takes."""
    return frozenset[Form]().union(*(shown_by(layer) for _, layer in _taken(_unlike(layers), probes)))


def covering(
    candidates: Iterable[Layer], wanted: Set[Form], taken: Callable[[Layer], bool] = lambda layer: True
) -> list[tuple[Layer, Set[Form]]]:
    """Return few layers on which all forms show that are wanted, each with those that no earlier one shows.

    The greedy cover: again and again the layer that shows most of what is left, of equal ones the first.

    Parameters
    ----------
    taken : callable
        Whether the code under test takes a layer; asked only of those that are needed.
    """
    showing = {layer: shown_by(layer) for layer in candidates}
    left = set(wanted)
    chosen: list[tuple[Layer, Set[Form]]] = []
    while left and showing:
        best = max(showing, key=lambda layer: len(showing[layer] & left))
        forms = showing.pop(best) & left
        if not forms:
            break
        if taken(best):
            chosen.append((best, forms))
            left -= forms
    return chosen


def proposed(layers: Sequence[Layer], missing: Set[Form]) -> list[tuple[Layer, Set[Form], tuple[Untried, ...]]]:
    """Return the fewest layers to add to a suite: what each shows that no other does, and what was never tried.

    Parameters
    ----------
    missing : set of Form
        What the suite does not show.
    """
    added: list[tuple[Layer, Set[Form], tuple[Untried, ...]]] = [
        (layer, forms, ()) for layer, forms in covering((c for _, c in (*_changed(layers), *_unlike(layers))), missing)
    ]
    plainest = plain(min(layers, key=lambda layer: layer.multiply_adds))
    for untried in UNTRIED:
        if any(untried.shown_by(layer) for layer in (*layers, *(layer for layer, _, _ in added))):
            continue
        # An added layer that can be changed so, and still shows what it is there for; else one more.
        for place, (layer, forms, tried) in enumerate(added):
            other = changed(layer, untried.change)
            if other and forms <= shown_by(other) and all(each.shown_by(other) for each in (*tried, untried)):
                added[place] = (other, forms, (*tried, untried))
                break
        else:
            added.append((replace(plainest, **untried.change), frozenset(), (untried,)))
    return added


def shown_of(layers: Iterable[Layer], probe: Probe, comparison: Comparison) -> tuple[set[str], set[str]]:
    """Return the names of known mistakes that layers show in every form, and of those that they do not.

    What can be made is what shows on some layer within the limits.
    """
    telling = [candidate for rank in (1, 2, 3) if f"{rank}d" in probe.taken for candidate in revealing(rank)]
    known = {form for _, layer in _taken(telling, [probe]) for form in shown_by(layer)}
    shown: set[Form] = set()
    for layer in layers:
        if known <= shown:
            break
        shown |= shown_by(plain(layer, comparison), comparison)
    missing = {name for name, _, _ in known - shown}
    return {name for name, _, _ in known | shown} - missing, missing


def _taken(candidates: Iterable[_Candidate], probes: Sequence[Probe]) -> list[_Candidate]:
    """Return the candidates as the code under test takes them, without those that it does not."""
    kept: dict[Layer, str] = {}
    for words, layer in candidates:
        like = _like(layer, probes)
        if like is not None:
            kept.setdefault(plain(like), words)
    return [(words, layer) for layer, words in kept.items()]


def _like(layer: Layer, probes: Sequence[Probe]) -> Layer | None:
    """Return a layer as the code under test takes it; None where it does not."""
    like: Layer | None = layer
    for probe in probes:
        like = None if like is None else probe.within(like)
    return like if like is None or all(probe.takes(like) for probe in probes) else None


@lru_cache(maxsize=1024)
def shown_by(
    layer: Layer,
    comparison: Comparison = Comparison(),  # noqa: B008 - immutable
    wanted: frozenset[tuple[str, str]] | None = None,
) -> frozenset[Form]:
    """Return the forms of known mistakes that a comparison shows on a layer.

    A large layer is judged on a small one only where any difference shows; else nothing is claimed of it, nor of one
    that is too large for that and like no small one.

    Parameters
    ----------
    wanted : frozenset of (str, str), optional
        The mistakes and gradients that are looked at; all of them by default.
    """
    small = shrunk(layer)
    if not triable(small) or (small is not layer and comparison != Comparison()):
        return frozenset()
    backward, forward = formulation(FASTEST).backward, formulation(FASTEST).forward
    if comparison.data == "integers":
        operands = integer_operands(small)
        allowed: Mapping[str, Array | float] = dict.fromkeys(GRADIENTS, 0.0)
        if operands is None:
            return frozenset()
    else:
        operands = real_operands(small)
        if comparison.data == "reals":
            operands = short_sums(small, operands, SHORT if comparison.exact else 1)
            bounds = rounding.backward_errors(small, operands, backward, exact=comparison.exact)
        elif comparison.exact:
            bounds = rounding.allowed_errors(small, operands, forward, backward)
        else:
            bounds = rounding.transformed(small, operands, forward, backward)[1]
        output = rounding.output_errors(small, operands, forward, exact=comparison.exact)
        allowed = {**bounds._asdict(), "output": output}
    scene = Scene(small, operands)
    return frozenset(
        (mistake.name, gradient, wrong.variant)
        for mistake in MISTAKES
        if mistake.behaviour is None
        for gradient in mistake.gradients
        if (gradient != "bias" or small.bias) and (wanted is None or (mistake.name, gradient) in wanted)
        for wrong in unless_it_raises(mistake.wrong, scene, gradient)
        if _shows(
            wrong.array, scene.answer(gradient), allowed[gradient], 0.0 if gradient == "output" else comparison.gate
        )
    )


def _shows(wrong: Array, right: Array, allowed: Array | float, gate: float) -> bool:
    """Whether a comparison takes a wrong array for wrong."""
    if isinstance(allowed, float) and allowed == gate == 0:
        return differs(wrong, right)
    if wrong.shape != right.shape or not np.isfinite(wrong).all():
        return True
    error = np.abs(wide(wrong) - right)
    if gate:
        return bool(error.max(initial=0) > gate * max(np.abs(wrong).max(initial=0), np.abs(right).max(initial=0)))
    return bool((error > allowed).any())


def _shown_and_checked(report: LayerReport, gate: float) -> Iterable[Form]:
    """Forms that the comparisons of a layer show, each gradient by the sharpest one that was made of it."""
    for gradient in GRADIENTS:
        passed = [r for r in report.results if r.passed and r.gradient == gradient and r.check != "double"]
        if not passed:
            continue
        if any(result.on_integers for result in passed):
            comparison = Comparison("integers", gate=gate)
        else:
            # Where integers would be exact and were not compared, the target is said to round on them.
            rounds = integer_operands(report.layer) is not None
            data = "reals" if any(result.check == "conditions" for result in passed) else "central"
            comparison = Comparison(data, not rounds, gate)
        yield from (form for form in shown_by(plain(report.layer, comparison), comparison) if form[1] == gradient)


def _untried(
    checked: Sequence[Layer], probes: Sequence[Probe], conditions: Collection[str | None] = ()
) -> tuple[BlindSpot, ...]:
    """Name the circumstances in which no layer was checked, and that the code under test takes.

    Those that are conditions too are tried where these were.
    """
    plainest = plain(min(checked, key=lambda layer: layer.multiply_adds))
    if not triable(plainest):
        # What it lacks is told of another layer, which can be tried.
        plainest = plain(revealing(len(plainest.input))[0][1])
    spots = []
    for untried in UNTRIED:
        tried = untried.words.name.removeprefix("untried-") in conditions
        if not tried and not any(map(untried.shown_by, checked)):
            layer = _like(replace(plainest, **untried.change), probes)
            if layer is not None and untried.shown_by(layer):
                words = untried.words
                spots.append(BlindSpot(words.code, words.name, (words.title,), untried.lacking, as_yaml(layer)))
    return tuple(spots)


def _refused(layers: Sequence[LayerReport]) -> tuple[BlindSpot, ...]:
    """Name the conditions under which the code refuses to be called; what layers it takes is among its limits."""
    of_layers = {untried.words.name.removeprefix("untried-") for untried in UNTRIED}
    every = (r for layer in layers for r in layer.results if r.condition and r.condition not in of_layers)
    said = {str(r.condition): r.refused for r in every if r.refused}
    return tuple(
        BlindSpot(CONDITIONS[name].code, name, (words,), f"a run under {name}, which the code refuses", "")
        for name, words in said.items()
    )


def _not_differentiated(layers: Sequence[LayerReport]) -> tuple[BlindSpot, ...]:
    """Name why code that could be asked for second derivatives gives none."""
    skipped = (r for layer in layers for r in layer.results if r.check == "double" and r.status == "skipped")
    said = tuple(dict.fromkeys(str(r.message) for r in skipped))
    if not said:
        return ()
    known = mistake("graph-broken")
    return (BlindSpot(known.code, known.name, said, "a second derivative of the code", ""),)


def plain(layer: Layer, comparison: Comparison = Comparison()) -> Layer:  # noqa: B008 - immutable
    """Return the layer without what does not matter here, so that equal layers are judged once."""
    # How large a difference is depends on the data, which only the layer's own seed and sizes give.
    return replace(shrunk(layer), name="layer", seed=0) if comparison == Comparison() else replace(layer, name="layer")


def _blind_spots(
    missing: Set[Form], known: Set[Form], layers: Sequence[Layer], probes: Sequence[Probe]
) -> tuple[BlindSpot, ...]:
    """Name every missing form with a layer that shows it: of those that show most of a mistake, the plainest."""
    spots: dict[tuple[str, str, str], set[Form]] = {}
    left = set(missing)
    wanted = frozenset((name, gradient) for name, gradient, _ in missing)
    # A single change to a layer of the suite is preferred to a layer of another kind.
    for candidates in (_changed, _unlike):
        if not left:
            break
        taken = _taken(candidates(layers), probes)
        showing = [(*candidate, shown_by(candidate[1], wanted=wanted) & missing) for candidate in taken]
        proposed: list[int] = []
        while left:
            # Of each mistake the plainest candidate that shows most of it, or one that was proposed before and does.
            best: dict[str, tuple[int, set[Form]]] = {}
            for name in {form[0] for form in left}:
                forms = {form for form in left if form[0] == name}
                shown = {place: forms & showing[place][2] for place in (*proposed, *range(len(showing)))}
                most = max(map(len, shown.values()), default=0)
                if most:
                    best[name] = next((place, some) for place, some in shown.items() if len(some) == most)
            if not best:
                break
            name, (place, some) = min(best.items(), key=lambda item: (item[1][0] not in proposed, item[1][0], item[0]))
            change, layer, _ = showing[place]
            spots[name, change, as_yaml(layer)] = some
            proposed.append(place)
            left -= some
    codes = {mistake.name: mistake.code for mistake in MISTAKES}
    return tuple(
        BlindSpot(codes[name], name, in_words(forms, known), change, layer)
        for (name, change, layer), forms in sorted(spots.items(), key=lambda item: codes[item[0][0]])
    )


def in_words(forms: Set[Form], known: Set[Form]) -> tuple[str, ...]:
    """Name the gradients, and of those of which some forms are seen, the forms that are not."""
    words = []
    for name, gradient in sorted({form[:2] for form in forms}):
        unseen = {form for form in forms if form[:2] == (name, gradient)}
        label = gradient if gradient == "output" else f"grad_{gradient}"
        every = unseen == {form for form in known if form[:2] == (name, gradient)}
        words += [label] if every else [f"{label}: {variant}" for _, _, variant in sorted(unseen)]
    return tuple(words)


def _changed(layers: Sequence[Layer]) -> list[_Candidate]:
    """Layers that differ in one respect from the most telling layer of each rank."""
    best: dict[int, Layer] = {}
    for own in layers:
        layer = replace(plain(own), dtype="float64")
        rank = len(layer.input)
        if rank not in best or len(shown_by(layer)) > len(shown_by(best[rank])):
            best[rank] = layer
    return [candidate for layer in best.values() for candidate in neighbours(layer)]


def _unlike(layers: Sequence[Layer]) -> list[_Candidate]:
    kinds = sorted({(len(layer.input), layer.transposed, layer.padding_mode) for layer in layers})
    return [
        candidate
        for rank, transposed, mode in kinds
        for candidate in revealing(rank, transposed=transposed, padding_mode=mode)
    ]
