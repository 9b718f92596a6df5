"""What a target gave on a layer beside what it should be, and the mistakes behind the difference."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from convcheck.checks.attribution import diagnosed
from convcheck.checks.comparison import compare
from convcheck.checks.expected import Expected
from convcheck.checks.plan import WORK_BUDGET, gradients_of
from convcheck.explain.trial import Trial
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.differences import packing_for
from convcheck.gradients.numeric.directions import OPERAND_OF, direction_count
from convcheck.layer.arrays import Array
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.reports.results import Diagnosis

#: Where what is right is from, if not from the target's own forward pass.
DEFINITION = "the definition"


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
        arrays.append(Compared("output", output, right, allowed, DEFINITION, fits))
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
        return Compared(gradient, given, right, allowed, DEFINITION, fits)
    source = DEFINITION
    if on_integers:
        evaluations = packing_for(layer, gradient).evaluations(direction_count(gradient, layer))
        if not expected.follows_definition:
            evaluations = getattr(at, OPERAND_OF[gradient]).size
        if 0 < evaluations * layer.multiply_adds <= WORK_BUDGET:
            right, source = expected.exact(gradient).values, "differences of the forward pass"
    return Compared(gradient, given, right, allowed, source, fits)
