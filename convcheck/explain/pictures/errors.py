"""A wrong gradient beside the right one, and their difference; and what a target gets wrong on a layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convcheck.checks.comparison import compare
from convcheck.checks.expected import Expected
from convcheck.checks.plan import WORK_BUDGET, gradients_of
from convcheck.errors import UsageError
from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Panel, Story, scale_of
from convcheck.explain.trial import Trial
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.differences import packing_for
from convcheck.gradients.numeric.directions import OPERAND_OF, direction_count
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.reports.where import axis_names, where
from convcheck.wording import told_apart

#: Cells per axis that are shown around the worst entry.
_AROUND = 12

_SYMBOLS = {"output": "O", "input": "dL/dX", "weight": "dL/dW", "bias": "dL/db"}


def story(
    layer: Layer,
    gradient: str,
    analytic: Array,
    numeric: Array,
    source: str = "numeric",
    allowed: Array | float = 0.0,
) -> Story:
    """Tell where a gradient is wrong: as given, as it should be, and their difference, around the worst entry.

    Parameters
    ----------
    gradient : str
        "output", "input", "weight" or "bias".
    analytic, numeric : array
        What the backward pass gave, and what it should be; of equal shape.
    source : str
        What the second array is from.
    allowed : array or float
        By how much they may differ, per entry or for all.

    Raises
    ------
    UsageError
        If the shapes differ.
    """
    if analytic.shape != numeric.shape:
        raise UsageError(
            f"the analytic gradient has shape {analytic.shape} and "
            f"the {source} one {numeric.shape}; expected equal shapes"
        )
    with np.errstate(invalid="ignore"):
        difference = np.asarray(analytic, np.float64) - numeric
    comparison = compare(analytic, numeric, allowed)
    wrong = comparison.wrong
    worst = (0,) * wrong.ndim if comparison.worst is None else comparison.worst.index
    # One sample and channel, and some cells to each side; a bias is a strip of its filters.
    lead, names = (0 if gradient == "bias" else 2), axis_names(gradient, wrong.ndim)
    starts = [max(0, min(i - _AROUND // 2, size - _AROUND)) for i, size in zip(worst, wrong.shape, strict=True)]
    shown = tuple(range(s, min(size, s + _AROUND)) for s, size in zip(starts, wrong.shape, strict=True))[lead:]
    fixed = ", ".join(f"{name} {i}" for name, i in zip(names[:lead], worst, strict=False))

    def panel(number: str, title: str, note: str, values: Array) -> Panel:
        lines = [line for line in (fixed, note) if line]
        made = Panel.of(number, title, lines, values[worst[:lead]], shown, outlined=[worst[lead:]])
        return replace(made, names=("filters",)) if gradient == "bias" else made

    symbol = _SYMBOLS[gradient]
    given = panel("1", f"{symbol} as given (analytic)", "", analytic)
    right = panel("2", f"{symbol} as it should be ({source})", "same colours as 1", numeric)
    scale = max(scale_of(given.values), scale_of(right.values))
    summary = f"{int(wrong.sum()):,} of {wrong.size:,} entries differ"
    left, other = (
        text.replace("-", "−") for text in told_apart(*(float(array[worst]) for array in (analytic, numeric)))
    )
    return Story(
        name=f"error-{gradient}",
        title=f"{symbol} is wrong" if wrong.any() else f"{symbol} is right",
        intro=(f"{summary}: {where(wrong, gradient)}." if wrong.any() else f"{summary}.",),
        panels=(
            replace(given, scale=scale),
            replace(right, scale=scale),
            panel("3", "1 minus 2: the error", "white: right", difference),
        ),
        example=(f"Outlined: the worst entry {symbol}{sizes.at(worst)}, given {left}, expected {other}.",),
    )


def find(trial: Trial) -> tuple[list[Story], list[str]]:
    """Tell every array that a target got wrong.

    Returns
    -------
    stories : list of Story
        One per wrong array.
    notes : list of str
        What could not be drawn, and that nothing is wrong where that is so.
    """
    expected, observed, layer = trial.expected, trial.observed, trial.layer
    if expected is None or observed is None:
        return [], []
    if trial.refusal is not None:
        return [], [trial.refusal]
    notes = [f"layer {layer.name}: no map: {fault.message}" for fault in observed.faults.values()]
    stories = []
    if "output" in observed.arrays:
        output, right, allowed = observed.arrays["output"], expected.definition, expected.forward_allowance
        if trial.operands is not expected.operands:
            right, allowed = expected.real_output, expected.real_output_allowance
        if _differs(output, right, allowed):
            stories.append(story(layer, "output", output, right, "by the definition", allowed))
        for gradient in (name for name in gradients_of(layer) if name in observed.arrays):
            stories += _wrong(trial, expected, gradient, observed.arrays[gradient])
    if not stories and not notes:
        notes.append(f"layer {layer.name}: {observed.implementation.name} is right, so there is no error to draw")
    return stories, notes


def _wrong(trial: Trial, expected: Expected, gradient: str, analytic: Array) -> list[Story]:
    """Tell a wrong gradient; nothing if it is right."""
    layer, on_integers = trial.layer, trial.operands is expected.integers
    at = trial.operands.map(lambda array: array.astype(np.float64))
    right: Array | None = getattr(formulation(FASTEST).backward(layer, at.x, at.weight, at.grad_output), gradient)
    assert right is not None
    allowed: Array | float = 0.0 if on_integers else getattr(expected.allowed, gradient)
    if expected.follows_definition and not _differs(analytic, right, allowed):
        return []
    source = "built-in formulation"
    if on_integers:
        # The numeric gradient, from the target's own forward pass, where it does not take too long.
        evaluations = packing_for(layer, gradient).evaluations(direction_count(gradient, layer))
        if not expected.follows_definition:
            evaluations = getattr(at, OPERAND_OF[gradient]).size
        if 0 < evaluations * layer.multiply_adds <= WORK_BUDGET:
            right, source = expected.exact(gradient).values, "numeric"
    return [story(layer, gradient, analytic, right, source, allowed)] if _differs(analytic, right, allowed) else []


def _differs(given: Array, expected: Array, allowed: Array | float) -> bool:
    return compare(given, expected, allowed).mismatches > 0
