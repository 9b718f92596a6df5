"""The report as GitHub workflow commands: annotations on the lines of the config."""

from __future__ import annotations

from convcheck.reports.cases import Case, bad_cases
from convcheck.reports.results import ReportData
from convcheck.reports.summary import NO_LAYER, outcome
from convcheck.wording import looks_like_path, visible

#: GitHub shows at most ten error annotations of one step and drops the others without a word
#: (https://github.com/actions/toolkit/blob/main/docs/problem-matchers.md).
_MOST = 10


def render(report: ReportData) -> str:
    """Write a report as workflow commands.

    One ``::error`` per gradient that has not passed, ten at most, then how many more there are, a ``::warning`` where
    no code of the user's was checked, then the verdict.
    """
    bad = bad_cases(report)
    lines = [_error(case) for case in bad[:_MOST]]
    more = len(bad) - _MOST
    if more > 0:
        lines.append(f"::notice title=convcheck::{more:,} more; see the log or the summary of this job")
    if not report.layers:
        lines.append(f"::error title=convcheck::{NO_LAYER}")
    if report.checked != report.target:
        # It is green whatever becomes of the repository's code, which is worth a mark where all else is green too.
        lines.append(f"::warning title=convcheck::checked: {_escaped(visible(report.checked))}")
    verdict = "PASSED" if report.passed else "FAILED"
    lines.append(f"convcheck: {verdict} {outcome(report)}".replace("\n", " "))
    return "\n".join(lines) + "\n"


def _error(case: Case) -> str:
    properties = {}
    # A suite that ships with convcheck is no file of the repository that is checked.
    if case.layer.config is not None and looks_like_path(case.layer.config):
        properties["file"] = case.layer.config
        if case.layer.line is not None:
            properties["line"] = str(case.layer.line)
    properties["title"] = f"convcheck: {case.layer.name}, {case.name}"
    given = ",".join(f"{key}={_escaped_property(visible(value))}" for key, value in properties.items())
    return f"::error {given}::{_escaped(visible(case.brief))}"


# What the commands give a meaning to, as https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
# has it. The percent sign first, since the others become one.
def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
