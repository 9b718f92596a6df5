"""The command that runs one failed check again."""

from __future__ import annotations

import re
import shlex

from convcheck.report import GradientResult, LayerReport, Report

__all__ = ["command", "selection"]

#: Words that mean something else in a selecting expression.
_OPERATORS = ("and", "or", "not")


def command(report: Report, layer: LayerReport, result: GradientResult) -> str | None:
    """Return a shell command that runs just this check of this layer.

    Parameters
    ----------
    report : Report
        The report that the check is from; its target and gate are part of the command.
    layer : LayerReport
    result : GradientResult

    Returns
    -------
    str or None
        Quoted for a POSIX shell. None for a layer that no command can name: it is from no config file, or its name
        cannot be selected.
    """
    chosen = selection(report, layer)
    if layer.config is None or layer.line is None or chosen is None:
        return None
    words = ["convcheck", "verify", layer.config]
    if report.target is not None and result.implementation in report.target.split(", "):
        words += ["--target", result.implementation]
    else:
        words += ["--formulation", result.implementation]
    words += ["-k", chosen, "--check", result.check]
    if report.max_error is not None:
        words += ["--max-error", repr(report.max_error)]
    # The config file need not say the seed that was used, so the command always does.
    words += ["--seed", str(layer.layer.seed)]
    return shlex.join(words)


def selection(report: Report, layer: LayerReport) -> str | None:
    """Return the expression that selects this layer and no other layer of the report.

    That is its name; in quotes, which ask for the whole name exactly, where the bare name is not a plain word or is
    also part of another layer's name. None for a name with both kinds of quotes, which no expression can hold.
    """
    name = layer.layer.name
    is_word = re.fullmatch(r"\w[\w.-]*", name, re.ASCII) and name.lower() not in _OPERATORS
    others = (other.layer.name for other in report.layers if other.config == layer.config and other is not layer)
    if is_word and not any(name.casefold() in other.casefold() for other in others):
        return name
    quote = next((quote for quote in "\"'" if quote not in name), None)
    return None if quote is None else f"{quote}{name}{quote}"
