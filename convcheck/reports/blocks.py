"""A report as blocks: everything that has not passed, each mistake told once with all the layers that it is on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from convcheck.layer.properties import in_common
from convcheck.reports.details import (
    MOST_LEGIBLE_FIRST,
    NO_REASON,
    Details,
    Finding,
    finding,
    headline,
    place,
    smallest,
    what,
)
from convcheck.reports.results import GRADIENTS, GradientResult, LayerReport, ReportData
from convcheck.reports.summary import GRAVEST_FIRST, NAMED, NOTHING_CHECKED, some_layers
from convcheck.wording import GRADIENT_NAMES, counted

#: So many layers are listed by name.
_LISTED = 20

#: So many places that differ from the one shown get a line of their own.
_OTHERS = 4

#: A number, or a shape: what messages of one kind differ in.
_NUMBERS = re.compile(r"0x[0-9a-f]+|[(\[]?\d[\d., ×x]*[)\]]?")

Place = tuple[LayerReport, GradientResult]


@dataclass(frozen=True)
class Block:
    """One mistake, or one reason, and everything that it holds for.

    Attributes
    ----------
    places : tuple of (LayerReport, GradientResult)
        In the order of the report; none for layers of which nothing was checked.
    telling : (LayerReport, GradientResult) or None
        The one that is shown: small, and in whole numbers where possible.
    finding : Finding
        What is said.
    """

    finding: Finding
    layers: tuple[LayerReport, ...]
    places: tuple[Place, ...] = ()
    telling: Place | None = None

    @property
    def bad(self) -> bool:
        """Whether it is a reason for which layers have not passed."""
        return self.finding.status != "skipped"


def blocks_of(report: ReportData) -> list[Block]:
    """Return what has not passed: what failed, first by the names of known mistakes, then the reasons of the rest.

    Of a gradient that failed both on real and on integer data, only the latter, which says the same in whole numbers.
    """
    groups: dict[tuple[str, ...], list[Place]] = {}
    for layer in report.layers:
        for result in told(layer):
            groups.setdefault(_kind(result), []).append((layer, result))
    blocks = [_block(report, places) for places in groups.values()]
    # A layer can fail without any result that says so.
    unchecked = tuple(layer for layer in report.layers if not layer.passed and all(r.acceptable for r in layer.results))
    if unchecked:
        names = (some_layers([layer.name for layer in unchecked]),)
        blocks.append(Block(Finding("failed", names, (("reason", NOTHING_CHECKED),)), unchecked))
    return sorted(blocks, key=_order)


def told(layer: LayerReport) -> list[GradientResult]:
    """Return the results of a layer that blocks are made of."""
    exactly = {(r.implementation, r.gradient) for r in layer.results if r.status == "failed" and r.check == "exact"}
    return [
        result
        for result in layer.results
        if not result.passed
        and not (
            result.status == "failed"
            and result.check == "central"
            and (result.implementation, result.gradient) in exactly
        )
    ]


def _kind(result: GradientResult) -> tuple[str, ...]:
    """Return what results share that are told together: the mistake, or else the reason but for its numbers."""
    names = [diagnosis.name for diagnosis in result.diagnosis]
    if result.status != "failed":
        return result.status, _NUMBERS.sub("#", result.message or NO_REASON), *names
    if names:
        return "failed", result.implementation, *names
    reason = "" if _compared(result) else _NUMBERS.sub("#", result.message or "")
    return "failed", result.implementation, "", result.gradient, reason


def _order(block: Block) -> tuple[int, bool, tuple[str, ...]]:
    """The gravest first; what has a name before what has none, in the order of the catalogue."""
    codes = tuple(diagnosis.code for diagnosis in block.telling[1].diagnosis) if block.telling else ()
    return GRAVEST_FIRST.index(block.finding.status), not codes, codes


def _compared(result: GradientResult) -> bool:
    return bool(result.entries_checked) or result.check == "projected"


def _block(report: ReportData, places: list[Place]) -> Block:
    telling = min(places, key=_legibility)
    layers = tuple({id(layer): layer for layer, _ in places}.values())
    shown = finding(report, *telling)
    if len(places) == 1:
        return Block(shown, layers, tuple(places), telling)
    listed = shown.status != "skipped" and len(layers) > NAMED
    names = (
        counted(len(layers), "layer") if listed else some_layers([layer.name for layer in layers]),
        ", ".join(GRADIENT_NAMES[gradient] for gradient in _gradients(result for _, result in places)),
        ", ".join(dict.fromkeys(result.kind for _, result in places)),
        ", ".join(dict.fromkeys(result.implementation for _, result in places)),
    )
    layer, result = telling
    details = [*what(result)]
    if shown.status != "skipped":
        details += _extent(places, layers, listed)
        details += _in_common(report, places, layers)
        if shown.status == "failed" or len(layers) > 1:
            details.append(("shown on", ", ".join((layer.name, GRADIENT_NAMES[result.gradient], result.kind))))
        details += [*place(layer, result), *smallest(places), *_others(places, telling)]
    return Block(replace(shown, names=names, details=tuple(details)), layers, tuple(places), telling)


def _legibility(one: Place) -> tuple[bool, bool, int, int, int]:
    """Orders places from the one that is read most easily: whole numbers, a small layer."""
    layer, result = one
    legible = MOST_LEGIBLE_FIRST.index(result.check)
    size = layer.layer.multiply_adds
    return not _compared(result), not result.on_integers, legible, size, GRADIENTS.index(result.gradient)


def _gradients(results: Iterable[GradientResult]) -> list[str]:
    return sorted({result.gradient for result in results}, key=GRADIENTS.index)


def _extent(places: list[Place], layers: tuple[LayerReport, ...], listed: bool) -> Details:
    """Return the layers by name, where they are to be listed, and which gradients are not concerned on all of them."""
    lines = [_listed([layer.name for layer in layers])] if listed else []
    for gradient in _gradients(result for _, result in places):
        concerned = {id(layer) for layer, result in places if result.gradient == gradient}
        # A layer without a bias lacks nothing.
        checked = [layer for layer in layers if any(result.gradient == gradient for result in layer.results)]
        others = [layer.name for layer in checked if id(layer) not in concerned]
        if others:
            named = [layer.name for layer in checked if id(layer) in concerned]
            extent = f"only on {_listed(named)}" if len(named) < len(others) else f"not on {_listed(others)}"
            lines.append(f"{GRADIENT_NAMES[gradient]} {extent}")
    return (("layers", "\n".join(lines)),) if lines else ()


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {counted(more, 'more layer')}" if more > 0 else "")


def _in_common(report: ReportData, places: list[Place], layers: tuple[LayerReport, ...]) -> Iterator[tuple[str, str]]:
    """Yield what the layers have, and those not on which the same gradients are right; unless the report says it."""
    gradients = {result.gradient for _, result in places}
    right = [
        layer.layer
        for layer in report.layers
        if all(result.acceptable for result in layer.results if result.gradient in gradients)
        and any(result.passed for result in layer.results if result.gradient in gradients)
    ]
    common = in_common([layer.layer for layer in layers], right, ("wrong", "right"))
    failing = sum(not all(result.acceptable for result in layer.results) for layer in report.layers)
    if common and (report.common is None or len(layers) < failing):
        yield "in common", common


def _others(places: list[Place], telling: Place) -> Details:
    """Return how other places differ from the one that is shown, as far as they do."""
    shown = _short(telling[1])
    found: dict[str, list[str]] = {}
    for layer, result in places:
        text = _short(result)
        if text != shown and layer.name not in (names := found.setdefault(text, [])):
            names.append(layer.name)
    lines = [f"{some_layers(names)}: {text}" for text, names in found.items()]
    more = len(lines) - _OTHERS
    if more > 0:
        lines = [*lines[:_OTHERS], f"and {more:,} more"]
    return (("others", "\n".join(lines)),) if lines else ()


def _short(result: GradientResult) -> str:
    """Return what one place has of its own."""
    if result.status != "failed":
        return headline(result)
    if result.diagnosis:
        return " ".join(diagnosis.explanation for diagnosis in result.diagnosis)
    return (result.message or "").partition(";")[0]
