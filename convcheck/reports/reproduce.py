"""The command that runs one failed check again."""

from __future__ import annotations

import shlex

from convcheck.gradients import FORMULATIONS
from convcheck.reports.results import GradientResult, LayerReport, ReportData


def command(report: ReportData, layer: LayerReport, result: GradientResult) -> str | None:
    """Return a shell command that runs just this check of this layer.

    Parameters
    ----------
    report : ReportData
        The report that the check is from; its options are part of the command.
    layer : LayerReport
    result : GradientResult

    Returns
    -------
    str or None
        Quoted for a POSIX shell. None for a layer that no command can name: it is from no config file, or its name
        cannot be selected.
    """
    chosen = selection(layer.layer.name)
    if layer.config is None or layer.line is None or chosen is None:
        return None
    words = ["convcheck", "verify", layer.config]
    words += report.options
    if result.implementation in FORMULATIONS:
        words += ["--formulation", result.implementation]
    words += ["-k", chosen, "--check", result.check]
    # The config file need not say the seed that was used, so the command always does.
    words += ["--seed", str(layer.layer.seed)]
    return shlex.join(words)


def selection(name: str) -> str | None:
    """Return the expression that selects the layer of this name and no other.

    Always the name in quotes, which ask for all of it: a bare name may also be part of the name of a layer that the
    config has and the report, made with ``-k`` or ``-x``, has not. None for a name with both kinds of quotes, which
    no expression can hold.
    """
    quote = next((quote for quote in "\"'" if quote not in name), None)
    return None if quote is None else f"{quote}{name}{quote}"
