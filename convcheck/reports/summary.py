"""What a report says of the whole: the outcome and the totals, gathered for every text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from convcheck.reports.results import SKIPPED_BY_HAND, Hunt, ReportData
from convcheck.wording import at_most, counted, duration, exact, visible

#: The statuses, from what decides most to what decides least.
GRAVEST_FIRST = ("failed", "error", "inconclusive", "passed", "skipped")

NO_LAYER = "no layer was verified"

NOTHING_CHECKED = "no gradient was checked, so the layer has not passed"

#: So many layers are named where something holds for more of them.
NAMED = 4


def outcome(report: ReportData) -> str:
    """Return what stands behind the verdict: ``2 layers of suite.yaml``, ``1 of 2 layers of suite.yaml``."""
    if not report.layers:
        return NO_LAYER
    if report.hunt is not None:
        if not report.hunt.cases:
            return "the plainest layer, before any case was tried"
        cases = f"{counted(report.hunt.cases, 'case')} in {duration(report.hunt.seconds)}"
        if report.unchecked:
            found = "a layer found" if any(not layer.passed for layer in report.layers) else "nothing found"
            return f"{cases}: {found}; the run was interrupted"
        return f"{cases}: nothing found" if report.passed else f"a layer found by {cases}"
    total = f"{counted(len(report.layers), 'layer')} of {visible(report.config)}"
    if failed := sum(not layer.passed for layer in report.layers):
        return f"{failed:,} of {total}"
    if report.passed:
        return total
    if report.unchecked:
        return f"{total} passed; the run was interrupted"
    return f"{total} passed, with {counted(len({spot.name for spot in report.blind_spots}), 'blind spot')}"


def some_layers(names: Sequence[str]) -> str:
    """Return the first of some layers by name, and how many more there are."""
    shown, more = ", ".join(map(visible, names[:NAMED])), len(names) - NAMED
    return f"{shown} and {counted(more, 'more layer')}" if more > 0 else shown


def totals(report: ReportData) -> list[tuple[str, str]]:
    """Return what was checked and how, as labels and what they say."""
    # A gradient counts once, with its gravest status, however many checks and implementations it had.
    gravest: dict[tuple[int, str], str] = {}
    for number, layer in enumerate(report.layers):
        for result in layer.results:
            if result.gradient != "output":
                before = gravest.get((number, result.gradient), result.status)
                gravest[number, result.gradient] = min(before, result.status, key=GRAVEST_FIRST.index)
    statuses = Counter(sorted(gravest.values(), key=GRAVEST_FIRST.index))
    lines = [("gradients", ", ".join(f"{number:,} {status}" for status, number in statuses.items()) or "none")]
    if report.common is not None:
        lines.append(("in common", report.common))
    if report.unchecked:
        named = some_layers(report.unchecked)
        lines.append(("not checked", f"{counted(len(report.unchecked), 'layer')}: {named}"))

    # Entries that were compared one by one, with zero tolerance or with the derived one: once per check and
    # implementation. Entries of gradients that were checked by projection: once.
    compared: Counter[str] = Counter()
    projected: dict[tuple[int, str], int] = {}
    odds = 0.0
    for number, layer in enumerate(report.layers):
        for result in layer.results:
            if result.status not in ("passed", "failed"):
                continue
            exactly = result.allowed_error == 0 and result.check != "central"
            gated = report.max_error is not None and result.gradient != "output"
            how = "exactly" if exactly else "within the gate" if gated else "within the rounding bound"
            compared[how] += result.entries_checked
            if result.check == "projected":
                projected[number, result.gradient] = result.entries
                odds = max(odds, result.false_pass_probability or 0.0)
    amounts = [f"{counted(number, 'entry', 'entries')} {how}" for how, number in sorted(compared.items()) if number]
    if amounts:
        lines.append(("compared", ", ".join(amounts)))
    if projected:
        gradients = f"{counted(len(projected), 'gradient')} of {sum(projected.values()):,} entries"
        lines.append(("projected", f"{gradients}; a wrong one passes with probability at most {at_most(odds)}"))

    made: dict[str, Counter[str]] = {}
    for result in (result for layer in report.layers for result in layer.results if result.accumulates):
        name = "forward" if result.gradient == "output" else f"grad_{result.gradient}"
        made.setdefault(name, Counter())[result.accumulates or ""] += 1
    if made:
        several = {
            name: [f"{words} ({counted(n, 'layer')})" if len(found) > 1 else words for words, n in found.items()]
            for name, found in made.items()
        }
        lines.append(("accumulates", "in: " + "; ".join(f"{name} {', '.join(all_)}" for name, all_ in several.items())))
    if report.hunt is not None:
        lines += _hunted(report.hunt)
    if power := report.power:
        shown = f"{power.mistakes_shown} of {counted(power.mistakes, 'known mistake')} would have shown in every form"
        if power.beyond_limits:
            shown = shown.replace(" would have", " that can be made within the limits would have")
        if power.judged_on_smaller:
            shown += f" ({counted(power.judged_on_smaller, 'layer')} judged on smaller ones of the same kind)"
        entries = f"{counted(power.entries_compared_exactly, 'entry', 'entries')} compared exactly"
        checked: dict[tuple[int, str, str], bool] = {}
        for number, layer in enumerate(report.layers):
            for result in layer.results:
                if result.passed and result.gradient != "output":
                    key = (number, result.implementation, result.gradient)
                    checked[key] = checked.get(key, False) or result.on_integers
        chance = f"at most {at_most(power.false_pass_probability)}" if power.false_pass_probability else "none"
        if report.max_error is not None:
            chance = "certain for one within the gate"
        elif not all(checked.values()):
            chance = "certain for one within the rounding bound"
        lines.append(
            ("ruled out", f"{shown}; {entries}; chance that a gradient wrong on these layers and data passed: {chance}")
        )
        if power.beyond_limits:
            lines.append(("not shown", f"within the limits some forms of {', '.join(power.beyond_limits)} cannot show"))
    lines.append(("target" if report.checked == report.target else "checked", visible(report.checked)))
    for label, start, texts in (
        ("limits", "does not take: ", report.limits),
        ("found", "", report.found),
        ("left out", "", report.left_out),
    ):
        if texts:
            lines.append((label, start + visible("; ".join(texts))))
    if report.max_error is not None:
        lines.append(("gate", f"relative error at most {exact(report.max_error)}"))
    of_conditions = [result for layer in report.layers for result in layer.results if result.condition]
    for label, pairs in (
        ("refused", {r.condition: r.refused for r in of_conditions if r.refused}),
        ("skipped", {r.condition: r.message for r in of_conditions if r.message == SKIPPED_BY_HAND}),
    ):
        if pairs:
            lines.append((label, visible("; ".join(f"{condition}: {words}" for condition, words in pairs.items()))))
    evaluations = sum(result.evaluations for layer in report.layers for result in layer.results)
    counts = f"{evaluations:,} of the forward pass"
    if spared := sum(any(result.spared for result in layer.results) for layer in report.layers):
        counts += (
            f"; left out where the code gave on {counted(spared, 'layer')} what it gave on an equal one, bit for bit"
        )
    return [
        *lines,
        ("evaluations", counts),
        ("time", duration(report.elapsed_seconds)),
    ]


def _hunted(hunt: Hunt) -> list[tuple[str, str]]:
    """Return what a hunt tried and what not, as labels and what they say."""
    sizes = ", ".join(
        f"{drawn.field} {drawn.least}"
        if drawn.least == drawn.most
        else f"{drawn.field} {drawn.least} to {drawn.most:,}"
        for drawn in hunt.sizes
    )
    total = hunt.mistakes
    shown = f"{hunt.mistakes_shown} of {counted(total, 'known mistake')} would have shown in every form"
    if hunt.not_shown:
        shown += f"; some form of {', '.join(hunt.not_shown)} would not"
    lines = [
        ("hunted", f"{counted(hunt.cases, 'case')} on {counted(hunt.layers, 'layer')} from seed {hunt.seed}"),
        ("sizes", sizes or "none"),
        ("layers with", "; ".join(f"{tried.what} ({tried.cases:,})" for tried in hunt.properties) or "nothing"),
        ("conditions", ", ".join(f"{tried.what} ({tried.cases:,})" for tried in hunt.conditions) or "none"),
        *([("shown", shown)] if total else []),
        ("not tried", visible("; ".join(hunt.not_tried))),
    ]
    if hunt.refused:
        lines.insert(1, ("refused", f"{counted(hunt.refused, 'further case')}, in which the forward pass raised"))
    return lines
