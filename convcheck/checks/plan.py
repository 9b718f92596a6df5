"""Which check of which gradient runs on a layer, decided from its sizes before anything is computed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from convcheck.gradients.numeric.differences import packing_for
from convcheck.gradients.numeric.directions import direction_count
from convcheck.gradients.numeric.projection import draw_size
from convcheck.layer.data import integer_magnitude
from convcheck.layer.layer import Layer

#: What runs where nothing is asked for; `projected` stands in where `exact` costs too much.
DEFAULT_CHECKS = ("forward", "central", "exact", "conditions", "double")

#: Multiply-adds that one check of one gradient may take, unless completeness is asked for: about a second's work. Work
#: is counted and time is not, so that what is left out is the same on every machine.
WORK_BUDGET = 2e10

#: Calls of a target that one check of one gradient may take: code that is looked at before it is fast must not run for
#: hours.
TARGET_CALLS = 1000

#: Said of layers whose data have zeros.
_NO_DIRECTION = "no direction keeps the sums exact, so that every entry was compared with the built-in backward pass"

#: Said of what does not fit.
TOO_MUCH = "the complete {} check is beyond the work budget; --complete makes it"


@dataclass(frozen=True)
class Step:
    """One check of one gradient.

    Attributes
    ----------
    evaluations : int
        Forward passes that it takes; 0 if it is skipped, or compares with the built-in backward pass.
    note : str or None
        Why another check was planned than asked for.
    """

    gradient: str
    check: str
    evaluations: int
    note: str | None = None
    skipped: bool = False


def gradients_of(layer: Layer) -> tuple[str, ...]:
    """Gradients that a layer has: "input", "weight" and, with a bias, "bias"."""
    return ("input", "weight", "bias") if layer.bias else ("input", "weight")


def plan(layer: Layer, checks: Collection[str], affordable: float) -> tuple[Step, ...]:
    """Plan the checks of all gradients of a layer.

    Parameters
    ----------
    checks : collection of str
        The kinds asked for.
    affordable : float
        Evaluations that one check may take; infinite for completeness.
    """
    return _planned(layer, tuple(checks), affordable)


# Asked for several times of each layer: what it takes, what there is to show, and for every implementation.
@lru_cache(maxsize=256)
def _planned(layer: Layer, checks: tuple[str, ...], affordable: float) -> tuple[Step, ...]:
    return tuple(
        step for gradient in gradients_of(layer) for step in _plan_gradient(layer, gradient, checks, affordable)
    )


def _plan_gradient(layer: Layer, gradient: str, checks: Collection[str], affordable: float) -> list[Step]:
    packing = packing_for(layer, gradient) if integer_magnitude(layer) else None
    exact = packing.evaluations(direction_count(gradient, layer)) if packing else 0
    central = 2 * direction_count(gradient, layer)
    steps, stand_in = [], None
    if "central" in checks:
        if central <= affordable:
            steps.append(Step(gradient, "central", central))
        else:
            note = TOO_MUCH.format("central")
            steps.append(Step(gradient, "central", 0, note, skipped=True))
            stand_in = note
    if "exact" in checks:
        stand_in = None
        if not exact:
            note = f"no integers keep the sums of this layer exact in {layer.dtype}"
            steps.append(Step(gradient, "exact", 0, note, skipped=True))
        elif exact <= affordable:
            steps.append(Step(gradient, "exact", exact))
        else:
            stand_in = TOO_MUCH.format("exact")
    if stand_in or "projected" in checks:
        steps.append(_projected(layer, gradient, stand_in))
    return steps


def _projected(layer: Layer, gradient: str, note: str | None) -> Step:
    size, draws = draw_size(layer)
    if size:
        return Step(gradient, "projected", draws, note)
    if integer_magnitude(layer):
        return Step(gradient, "projected", 0, "; ".join(part for part in (note, _NO_DIRECTION) if part))
    reason = f"no integer direction keeps the sums of this layer exact in {layer.dtype}"
    return Step(gradient, "projected", 0, reason, skipped=True)
