"""A wrong gradient beside the right one, and their difference; and what a target gets wrong on a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from convcheck.checks.comparison import compare
from convcheck.errors import UsageError
from convcheck.explain.judged import DEFINITION, Compared, judge
from convcheck.explain.pictures import sizes
from convcheck.explain.pictures.panel import Index, Panel, Story, near, overview, scale_of
from convcheck.explain.pictures.window import input_kinds
from convcheck.explain.trial import Trial
from convcheck.layer.arrays import Array
from convcheck.layer.layer import Layer
from convcheck.reports.where import axis_names, where
from convcheck.wording import told_apart

#: Characters of a number that fit into a cell; longer ones are in the words below.
_FITTING = 8

#: Wrong entries that are written out with all their digits, and slices that a table of them has per direction.
_WRITTEN, _SLICES = 4, 24

_SYMBOLS = {"output": "O", "input": "dL/dX", "weight": "dL/dW", "bias": "dL/db"}


def story(
    layer: Layer,
    gradient: str,
    analytic: Array,
    numeric: Array,
    source: str = "numeric",
    allowed: Array | float = 0.0,
    why: Sequence[str] = (),
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
    why : sequence of str
        What is known of the mistake, and how to mend it.

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
    lead, names = (0 if gradient == "bias" else 2), axis_names(gradient, wrong.ndim, transposed=layer.transposed)
    slice_, place = worst[:lead], worst[lead:]
    shown = near(wrong.shape[lead:], place)
    fixed = ", ".join(f"{name} {i}" for name, i in zip(names[:lead], worst, strict=False))
    marks = {index: not wrong[(*slice_, *index)] for index in np.ndindex(*wrong.shape[lead:])}
    # Numbers that look alike but are not get so many digits that they do not.
    pairs = {
        index: told_apart(float(analytic[(*slice_, *index)]), float(numeric[(*slice_, *index)]))
        for index in product(*shown)
        if not marks[index]
    }

    # What no window reads is hatched wherever X is shown; arrays of other layers are compared too.
    kinds = input_kinds(layer) if gradient == "input" and wrong.shape[lead:] == layer.input else None

    def panel(number: str, title: str, note: str, values: Array, which: int | None) -> Panel:
        lines = [line for line in (fixed, note) if line]
        made = Panel.of(number, title, lines, values[slice_], shown, kinds=kinds, outlined=[place])
        texts = {} if which is None else {index: _minus(pair[which]) for index, pair in pairs.items()}
        made = replace(made, marks=marks, texts={i: text for i, text in texts.items() if len(text) <= _FITTING})
        return replace(made, names=("filters",)) if gradient == "bias" else made

    symbol = _SYMBOLS[gradient]
    given = panel("1", f"{symbol} as given (analytic)", "", analytic, 0)
    right = replace(panel("2", f"{symbol} as it should be ({source})", "same colours as 1", numeric, 1), marks={})
    scale = max(scale_of(given.values), scale_of(right.values))
    error = panel("3", "1 minus 2: the error", "colours by the logarithm: the smallest error shows", difference, None)
    errors = np.abs(difference[slice_][np.isfinite(difference[slice_]) & wrong[slice_]])
    least = float(errors[errors > 0].min(initial=np.inf))
    least = 0.0 if np.isinf(least) else least
    panels = [replace(given, scale=scale), replace(right, scale=scale), replace(error, least=least)]
    if given.partial:
        title = f"All errors of {fixed or symbol}"
        panels.append(replace(overview(error, difference[slice_], "4", title, marks), least=least))
    if lead and wrong[slice_].sum() < wrong.sum():
        panels.append(_slices(wrong, names, worst, str(len(panels) + 1)))
    summary = f"{int(wrong.sum()):,} of {wrong.size:,} entries differ"
    return Story(
        name=f"error-{gradient}",
        title=f"{symbol} is wrong" if wrong.any() else f"{symbol} is right",
        intro=(
            f"{summary}: {where(wrong, gradient, transposed=layer.transposed)}." if wrong.any() else f"{summary}.",
            *why,
        ),
        panels=tuple(panels),
        example=_written(symbol, worst, analytic, numeric, wrong),
        entry=f"{gradient}{sizes.at(worst)}",
    )


def _written(symbol: str, worst: Index, analytic: Array, numeric: Array, wrong: NDArray[np.bool_]) -> tuple[str, ...]:
    """Write the worst entry, and the first of the other wrong ones, with so many digits that they can be told apart."""
    others = [index for index in zip(*map(np.ndarray.tolist, np.nonzero(wrong)), strict=True) if index != worst]
    lines = []
    for index in [worst, *others[: _WRITTEN - 1]]:
        left, right = map(_minus, told_apart(float(analytic[index]), float(numeric[index])))
        lines.append(f"{symbol}{sizes.at(index)}, given {left}, expected {right}")
    rest = len(others) - len(lines) + 1
    also = [f"Also wrong: {'; '.join(lines[1:])}{f'; and {rest:,} more' if rest > 0 else ''}."] if lines[1:] else []
    return f"Outlined: the worst entry {lines[0]}.", *also


def _slices(wrong: NDArray[np.bool_], names: Sequence[str], worst: Index, number: str) -> Panel:
    """Count the wrong entries of every slice, so that none is overlooked that the other panels do not show."""
    counts = wrong.sum(axis=tuple(range(2, wrong.ndim))).astype(np.float64)
    around = near(counts.shape, worst[:2], (_SLICES, _SLICES))
    title = f"Wrong entries by {names[0]} and {names[1]}"
    made = Panel.of(number, title, [sizes.times(counts.shape)], counts, around, outlined=[worst[:2]])
    labels = tuple(tuple(map(str, shown)) for shown in around)
    return replace(made.labelled((labels[0], labels[1]), (f"{names[0]}s", f"{names[1]}s")), counts=True)


def _minus(text: str) -> str:
    return text.replace("-", "−")


def find(trial: Trial) -> tuple[list[Story], list[str]]:
    """Tell every array that a target got wrong.

    Returns
    -------
    stories : list of Story
        One per wrong array.
    notes : list of str
        What could not be drawn, and that nothing is wrong where that is so.
    """
    judged = judge(trial)
    if judged is None:
        return [], []
    if trial.refusal is not None:
        return [], [trial.refusal]
    layer = judged.layer
    notes = [f"layer {layer.name}: no map: {note}" for note in judged.notes]
    wrong = [one for one in judged.arrays if compare(one.given, one.right, one.allowed).mismatches]
    forward_is_wrong = any(one.gradient == "output" for one in wrong)
    stories = [
        story(layer, one.gradient, one.given, one.right, one.source, one.allowed, _why(one, forward_is_wrong))
        for one in wrong
    ]
    if not stories and not notes:
        notes.append(f"layer {layer.name}: {judged.name} is right, so there is no error to draw")
    return stories, notes


def _why(one: Compared, forward_is_wrong: bool) -> list[str]:
    """Say which mistake it is, as a report does, and how to mend it; and when it is the forward pass that is wrong."""
    told = [f"{each.name}: {each.explanation} Fix: {each.fix}" for each in one.diagnoses]
    told += [f"{one.note[0].upper()}{one.note[1:]}."] if one.note else []
    if one.gradient == "output":
        return ["The forward pass itself is wrong: it is not the layer that the config describes.", *told]
    if told or not forward_is_wrong:
        return told or ["No known mistake gives these numbers."]
    if one.fits:
        return ["It fits the layer that the config describes. It is the forward pass that is wrong: mend that."]
    of = "the layer that the config describes" if one.source == DEFINITION else "the forward pass as it is"
    return [f"The forward pass is wrong too: mend that first. What is right here is that of {of}."]
