"""The report as GitHub workflow commands: annotations on the lines of the config."""

from __future__ import annotations

from collections.abc import Iterator

from convcheck.reports.blocks import Block, blocks_of
from convcheck.reports.results import LayerReport, ReportData
from convcheck.reports.summary import NO_LAYER, outcome
from convcheck.wording import GRADIENT_NAMES, looks_like_path, visible

#: GitHub shows at most ten error annotations of one step and drops the others without a word
#: (https://github.com/actions/toolkit/blob/main/docs/problem-matchers.md).
_MOST = 10


def render(report: ReportData) -> str:
    """Write a report as workflow commands.

    One ``::error`` with all about each mistake, on the layer that shows it best, then one in short on the other layers
    that it is on; ten at most, then how many more there are, a ``::warning`` where no code of the user's was checked,
    then the verdict.
    """
    bad = [block for block in blocks_of(report) if block.bad]
    errors = [_error(block) for block in bad] + [error for block in bad for error in _other_errors(block)]
    lines = errors[:_MOST]
    more = len(errors) - _MOST
    if more > 0:
        lines.append(f"::notice title=convcheck::{more:,} more; see the log or the summary of this job")
    if not report.layers:
        lines.append(f"::error title=convcheck::{NO_LAYER}")
    if report.checked != report.target:
        # It is green whatever becomes of the repository's code, which is worth a mark where all else is green too.
        lines.append(f"::warning title=convcheck::checked: {_escaped(visible(report.checked))}")
    if report.common is not None:
        lines.append(f"::notice title=convcheck::{_escaped(report.common)}")
    verdict = "PASSED" if report.passed else "FAILED"
    lines.append(f"convcheck: {verdict} {outcome(report)}".replace("\n", " "))
    return "\n".join(lines) + "\n"


def _error(block: Block) -> str:
    return _annotation(block, block.telling[0] if block.telling else block.layers[0], str(block.finding))


def _other_errors(block: Block) -> Iterator[str]:
    """Yield what stands on the lines of the other layers; nothing where they have none."""
    if block.telling is None:
        return
    shown, result = block.telling
    for layer in block.layers:
        if layer is not shown and _line_of(layer):
            name = ", ".join(diagnosis.name for diagnosis in result.diagnosis) or result.status
            yield _annotation(block, layer, f"{name}, as layer {shown.name}")


def _annotation(block: Block, layer: LayerReport, text: str) -> str:
    found = {result.gradient for other, result in block.places if other is layer}
    about = ", ".join(name for gradient, name in GRADIENT_NAMES.items() if gradient in found) or "gradients"
    properties = {**_line_of(layer), "title": f"convcheck: {layer.name}, {about}"}
    given = ",".join(f"{key}={_escaped_property(visible(value))}" for key, value in properties.items())
    return f"::error {given}::{_escaped(visible(text))}"


def _line_of(layer: LayerReport) -> dict[str, str]:
    """Return where a layer stands; a suite that ships with convcheck is no file of the repository that is checked."""
    if layer.config is None or not looks_like_path(layer.config):
        return {}
    return {"file": layer.config, **({} if layer.line is None else {"line": str(layer.line)})}


# What the commands give a meaning to, as https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
# has it. The percent sign first, since the others become one.
def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
