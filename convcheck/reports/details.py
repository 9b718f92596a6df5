"""What is said about one failed check, as labelled lines that every text format lays out in its own way."""

from __future__ import annotations

from convcheck.reports.results import GradientResult, LayerReport
from convcheck.wording import counted, exact


def failure_lines(layer: LayerReport, result: GradientResult) -> list[tuple[str, str]]:
    """Return labels and what they say about a failed check; the texts may have line breaks."""
    lines = [("config", where)] if (where := place(layer)) else []
    if result.worst is not None:
        lines.append(("worst", worst_entry(result)))
    compared = result.entries_checked or result.check == "projected"
    if compared:
        error, relative, allowed = map(exact, (result.max_abs_error, result.max_rel_error, result.allowed_error))
        lines += [("error", f"{error} (relative {relative}), allowed {allowed}"), ("differ", difference(result))]
    if result.message:
        # What has a wrong shape or type is not compared, so there is no place.
        lines.append(("where" if compared else "reason", result.message))
    for diagnosis in result.diagnosis:
        lines += [("diagnosis", f"{diagnosis.name}: {diagnosis.explanation}"), ("fix", diagnosis.fix)]
    return lines


def place(layer: LayerReport) -> str | None:
    """Return the config file and line of a layer, as editors and terminals link them; None where there is no file."""
    if layer.config is None:
        return None
    return layer.config if layer.line is None else f"{layer.config}:{layer.line}"


def worst_entry(result: GradientResult) -> str:
    """Return the worst entry's index and both its values, in a sentence; the result must have one."""
    assert result.worst is not None
    analytic, numeric = exact(result.worst.analytic), exact(result.worst.numeric)
    if result.gradient == "output":
        values = f"the forward pass gives {analytic}, the definition {numeric}"
    else:
        values = f"the backward pass gives {analytic}, the forward pass implies {numeric}"
    return f"[{', '.join(map(str, result.worst.index))}]: {values}" if result.worst.index else f"sum: {values}"


def difference(result: GradientResult) -> str:
    """Return how much of the gradient differs."""
    if result.check == "projected":
        directions = counted(result.mismatches, "random direction")
        return f"the sum of all {result.entries:,} entries, weighted by {directions}"
    return f"{result.mismatches:,} of {counted(result.entries_checked, 'entry', 'entries')}"
