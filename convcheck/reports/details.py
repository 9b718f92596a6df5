"""What is said about a check that has not passed: labelled lines, and the command to see it again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from convcheck.gradients import FORMULATIONS
from convcheck.reports.results import GradientResult, LayerReport, ReportData
from convcheck.wording import GRADIENT_NAMES, VERDICTS, counted, exact


@dataclass(frozen=True)
class Finding:
    """Something that a report says beyond its rows; every format lays it out in its own way, as text it is a paragraph.

    Attributes
    ----------
    names : tuple of str
        Where it is: layer, gradient, check and implementation.
    details : tuple of (str, str)
        Labels and what they say; the texts may have line breaks.
    command : str or None
        Runs just this check again; None where there is nothing to see or no command can.
    """

    status: str
    names: tuple[str, ...]
    details: tuple[tuple[str, str], ...]
    command: str | None

    def __str__(self) -> str:
        again = (("reproduce", self.command),) if self.command else ()
        # A text of several lines, such as a traceback, stays in its column.
        lines = [f"  {label:<9}  {text}".replace("\n", "\n" + " " * 13) for label, text in (*self.details, *again)]
        return "\n".join([f"{VERDICTS[self.status]}  {' · '.join(self.names)}", *lines])


def finding(report: ReportData, layer: LayerReport, result: GradientResult) -> Finding:
    """Return all that is known about one check."""
    names = (layer.name, GRADIENT_NAMES[result.gradient], result.kind, result.implementation)
    if result.status == "failed":
        details = _failure(layer, result)
    else:
        details = [("reason", result.message or "no reason was given")]
    return Finding(result.status, names, tuple(details), command(report, layer, result))


def _failure(layer: LayerReport, result: GradientResult) -> list[tuple[str, str]]:
    lines = []
    if layer.config is not None:
        # As editors and terminals link it.
        lines.append(("config", layer.config if layer.line is None else f"{layer.config}:{layer.line}"))
    if result.worst is not None:
        lines.append(("worst", worst_entry(result)))
    compared = result.entries_checked or result.check == "projected"
    if compared:
        error, relative, allowed = map(exact, (result.max_abs_error, result.max_rel_error, result.allowed_error))
        lines += [("error", f"{error} (relative {relative}), allowed {allowed}"), ("differ", difference(result))]
    if result.message:
        # What has a wrong shape or type is not compared, so there is no place.
        lines.append(("where" if compared else "reason", result.message))
    return [*lines, *diagnosed(result)]


def diagnosed(result: GradientResult) -> list[tuple[str, str]]:
    """Return what is known of the mistake behind a result."""
    return [
        line
        for diagnosis in result.diagnosis
        for line in (("diagnosis", f"{diagnosis.name}: {diagnosis.explanation}"), ("fix", diagnosis.fix))
    ]


def worst_entry(result: GradientResult) -> str:
    """Return the worst entry's index and both its values, in a sentence; the result must have one."""
    assert result.worst is not None
    analytic, numeric = exact(result.worst.analytic), exact(result.worst.numeric)
    if result.gradient == "output":
        values = f"the forward pass gives {analytic}, the definition {numeric}"
    else:
        source = "the right one is" if result.condition else "the forward pass implies"
        values = f"the backward pass gives {analytic}, {source} {numeric}"
    return f"[{', '.join(map(str, result.worst.index))}]: {values}" if result.worst.index else f"sum: {values}"


def difference(result: GradientResult) -> str:
    """Return how much of the gradient differs."""
    if result.check == "projected":
        directions = counted(result.mismatches, "random direction")
        return f"the sum of all {result.entries:,} entries, weighted by {directions}"
    return f"{result.mismatches:,} of {counted(result.entries_checked, 'entry', 'entries')}"


def command(report: ReportData, layer: LayerReport, result: GradientResult) -> str | None:
    """Return a shell command that runs just this check of this layer, with the options of the report.

    Returns
    -------
    str or None
        Quoted for a POSIX shell. None for a layer that no command can name: it is from no config file, or its name
        cannot be selected.
    """
    chosen = selection(layer.name)
    in_file = layer.config is not None and layer.line is not None
    if chosen is None or not (in_file or report.fitted):
        return None
    # A fitted suite is found again from the target alone.
    words = ["convcheck", "verify", *([layer.config] if layer.config and in_file else []), *report.options]
    if result.implementation in FORMULATIONS:
        words += ["--formulation", result.implementation]
    words += ["-k", chosen, "--check", result.check]
    # The config file need not say the seed that was used, so the command always does.
    return shlex.join([*words, "--seed", str(layer.layer.seed)])


def selection(name: str) -> str | None:
    """Return the expression that selects the layer of this name and no other.

    Always the name in quotes, which ask for all of it: a bare name may also be part of the name of a layer that the
    config has and the report, made with ``-k`` or ``-x``, has not. None for a name with both kinds of quotes, which
    no expression can hold.
    """
    quote = next((quote for quote in "\"'" if quote not in name), None)
    return None if quote is None else f"{quote}{name}{quote}"
