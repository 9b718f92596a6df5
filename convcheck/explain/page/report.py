"""A report -> the page of what failed: of every layer the smallest case on which the code still fails, then itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from convcheck.checks.expected import Given
from convcheck.checks.observed import Observed
from convcheck.errors import ConvcheckError, UsageError
from convcheck.explain import MEGABYTES
from convcheck.explain.judged import judge
from convcheck.explain.page.case import NUMBERS, Shown, limit_of
from convcheck.explain.page.html import page_of
from convcheck.explain.pictures.selection import Selection, require_real
from convcheck.explain.trial import Trial, target_of, trial
from convcheck.layer.data import Operands
from convcheck.layer.layer import Layer
from convcheck.reports.details import commands
from convcheck.reports.formats.html import STYLE, facts, title
from convcheck.reports.results import GradientResult, LayerReport, ReportData, Smallest
from convcheck.suites.config import Suite, load
from convcheck.targets.process.limits import Limits
from convcheck.targets.target import Target

#: Layers that failed and are shown.
_MOST_LAYERS = 6


def report_page(
    report: ReportData, target: str | None, device: str | None, limits: Limits, fitted: Suite | None = None
) -> str | None:
    """Return the report as a page in which what failed can be touched; None where there is nothing to touch.

    Parameters
    ----------
    target, device, limits
        As they were given for the report.
    fitted : Suite, optional
        The suite that was fitted to the target, where there was no config.
    """
    failed = [layer for layer in report.layers if _bad(layer)]
    shown: list[Shown] = []
    notes: list[str] = []
    targets: dict[str | None, Target | None] = {}
    for layer in failed[:_MOST_LAYERS]:
        try:
            if layer.config not in targets:
                suite = fitted or (load(layer.config) if layer.config else None)
                targets[layer.config] = None if suite is None else target_of(suite, target, device, None, limits)
            code = targets[layer.config]
            if code is not None:
                shown += _cases(report, layer, code)
        except ConvcheckError as error:
            notes.append(f"{layer.name} cannot be shown: {str(error).splitlines()[0]}")
    if not shown:
        return None
    more = [layer.name for layer in failed[_MOST_LAYERS:]]
    if more:
        notes.append(f"Below are the first {_MOST_LAYERS} layers that failed; convcheck visualize shows the others.")
    try:
        return page_of(
            shown, limit_of(MEGABYTES), title=title(report), facts=facts(report, " ".join(notes)), style=STYLE
        )
    except UsageError:
        return None


def _bad(layer: LayerReport) -> list[GradientResult]:
    return [result for result in layer.results if result.status in ("failed", "error")]


def _cases(report: ReportData, layer: LayerReport, code: Target) -> Iterator[Shown]:
    """Yield the smallest case of a layer, and the layer on the numbers on which it failed."""
    require_real(layer.layer)
    bad = [result for result in _bad(layer) if result.condition is None]
    case = layer.smallest
    # One pass shows nothing of a second derivative.
    if case is not None and case.condition is None and case.along is None:
        of_case = [result for result in bad if result.gradient == case.gradient]
        yield _smallest(case, code, layer.name, *_commands(report, layer, of_case))
    if not bad:
        return
    # Integers where they show it, as in the table of the report.
    on_reals = not any(result.on_integers for result in bad)
    tried = trial(layer.layer, code, "real" if on_reals else None)
    reproduce, explain = _commands(report, replace(layer, smallest=None), bad)
    yield Shown(
        layer.name, tried.layer, tried.operands, Selection.of(tried.layer),
        f"{NUMBERS['real' if on_reals else 'integers']}, seed {layer.layer.seed}", judge(tried, reproduce), explain,
    )  # fmt: skip


def _commands(report: ReportData, layer: LayerReport, results: list[GradientResult]) -> tuple[str | None, str | None]:
    """Return the commands that find it again, and that explain any entry; None where there is none."""
    told = {label: command for result in results for label, command in commands(report, layer, result)}
    words = shlex.split(told.get("explain", ""))
    if words:
        at = words.index("--entry")
        del words[at : at + 2]
    return told.get("reproduce"), shlex.join(words) or None


def _smallest(case: Smallest, code: Target, name: str, reproduce: str | None, explain: str | None) -> Shown:
    """Run the code on the smallest case once more."""
    layer = Layer(**{**case.layer, "name": name})
    arrays: dict[str, Any] = {
        key: None if values is None else np.array(values, layer.dtype) for key, values in case.operands.items()
    }
    operands = Operands(**arrays)
    code.begin()
    expected = Given(layer, code, None, operands)
    tried = Trial(layer, operands, expected, Observed.of(code, layer, operands))
    index, gradient = case.index, case.gradient
    entry = f"{gradient}[{','.join(map(str, index))}]" if index else None
    chosen = Selection.of(layer, entry=entry)
    return Shown(
        f"{name}: the smallest case", layer, operands, chosen, "those on which it was found to fail still",
        judge(tried, reproduce), explain, smallest=". ".join(text for text in (case.what, case.note) if text),
        entry=(gradient, index) if index else None,
    )  # fmt: skip
