"""What a target gets wrong on a layer, as stories to draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convcheck.checks.expected import Case
from convcheck.checks.observed import Outcome
from convcheck.checks.plan import WORK_BUDGET, gradients_of
from convcheck.errors import TargetError
from convcheck.explain.pictures import errors
from convcheck.explain.pictures.panel import Story
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.differences import packing_for
from convcheck.gradients.numeric.directions import OPERAND_OF, direction_count
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.targets.target import Implementation


@dataclass(frozen=True)
class Findings:
    """What was found.

    Attributes
    ----------
    stories : tuple of Story
        One per wrong array.
    notes : tuple of str
        What could not be drawn, and that nothing is wrong where that is so.
    """

    stories: tuple[Story, ...]
    notes: tuple[str, ...]


def find(layer: Layer, implementation: Implementation) -> Findings:
    """Run a target on the data on which `verify` checks it, and compare every array.

    Raises
    ------
    TargetError
        If the target raises, or breaks its contract.
    """
    case = Case(layer, implementation, None, lambda evaluations: None)
    outcome = Outcome.of(implementation, layer, case.operands)
    if outcome.refusal is not None:
        return Findings((), (f"layer {layer.name}: {implementation.name} does not take it: {outcome.refusal}",))
    raised = next((fault for fault in outcome.faults.values() if fault.status == "error"), None)
    if raised:
        raise TargetError(f"layer {layer.name}: {implementation.name} raised\n{raised.message}")
    notes = [f"layer {layer.name}: no map: {fault.message}" for fault in outcome.faults.values()]
    stories = []
    if "output" in outcome.arrays and _differs(outcome.arrays["output"], case.definition, case.forward_allowance):
        stories.append(errors.story(layer, "output", outcome.arrays["output"], case.definition, "by the definition"))
    if "output" in outcome.arrays:
        for gradient in (name for name in gradients_of(layer) if name in outcome.arrays):
            story = _compare(case, gradient, outcome.arrays[gradient])
            stories += [story] if story else []
    if not stories and not notes:
        notes.append(f"layer {layer.name}: {implementation.name} is right, so there is no error to draw")
    return Findings(tuple(stories), tuple(notes))


def _compare(case: Case, gradient: str, analytic: Array) -> Story | None:
    """Return the story of a wrong gradient; None if it is right."""
    at, layer = case.operands, case.layer
    expected: Array | None = getattr(formulation(FASTEST).backward(layer, at.x, at.weight, at.grad_output), gradient)
    assert expected is not None
    allowed: Array | float = 0.0 if case.integers is not None else getattr(case.allowed, gradient)
    if case.follows_definition and not _differs(analytic, expected, allowed):
        return None
    source = "built-in formulation"
    if case.integers is not None and _affordable(case, gradient):
        expected, source = case.exact(gradient).values, "numeric"
    if not _differs(analytic, expected, allowed):
        return None
    return errors.story(layer, gradient, analytic, expected, source)


def _affordable(case: Case, gradient: str) -> bool:
    evaluations = packing_for(case.layer, gradient).evaluations(direction_count(gradient, case.layer))
    if not case.follows_definition:
        evaluations = getattr(case.operands, OPERAND_OF[gradient]).size
    return evaluations * case.layer.multiply_adds <= WORK_BUDGET


def _differs(given: Array, expected: Array, allowed: Array | float) -> bool:
    with np.errstate(invalid="ignore"):
        return not bool((np.abs(np.asarray(given, np.float64) - expected) <= allowed).all())
