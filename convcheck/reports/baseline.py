"""A stored report as the baseline of a new one: what got worse, what got better, what is as bad as it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any

from convcheck.errors import Parameter, UsageError
from convcheck.reports.record import decode
from convcheck.reports.results import SCHEMA_VERSION, STATUSES, GradientResult, LayerReport, ReportData
from convcheck.reports.summary import some_layers
from convcheck.wording import counted, visible

#: By how much an error may grow and still count as the same one. The data are the same as long as the layer and its
#: seed are, so an error moves only by rounding, in float32 some 1e-7 of each of many terms.
_SAME_ERROR = 1 + 1e-4

#: So many of the changes for the better, or of none, are listed; the changes for the worse all are.
_MOST = 10

_LayerKey = tuple[str | None, str]
_Results = dict[tuple[str, str, str], GradientResult]


@dataclass(frozen=True)
class Change:
    """How one check, or a layer as a whole, stands against the baseline.

    Attributes
    ----------
    what : str
        The check: ``input, exact, unfold``; empty where it is about the layer as a whole.
    text : str
        What changed: ``passed before, failed now``.
    """

    layer: str
    what: str
    text: str


@dataclass(frozen=True)
class Comparison:
    """A report against a baseline.

    Attributes
    ----------
    worse, better, known : tuple of Change
        Checks that are worse than in the baseline or are bad and not in it; that are better; that are as bad as before.
    unverified : tuple of str
        Layers of the baseline that the report does not have.
    """

    worse: tuple[Change, ...]
    better: tuple[Change, ...]
    known: tuple[Change, ...]
    unverified: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing got worse."""
        return not self.worse


@dataclass(frozen=True)
class Baseline:
    """A stored report.

    Attributes
    ----------
    layers : mapping
        Config and name -> the layer's spec and its results.
    """

    layers: Mapping[_LayerKey, tuple[Mapping[str, Any], _Results]]

    def compare(self, report: ReportData) -> Comparison:
        """Compare a new report with this one.

        A check is worse if its status is, if its relative error is larger or if more entries are wrong. What is bad and
        has no counterpart here, for instance because the layer was changed, is worse too: nothing shows that it is not.
        """
        found: dict[str, list[Change]] = {"worse": [], "better": [], "known": []}
        for layer in report.layers:
            for kind, change in self._changes(layer):
                found[kind].append(change)
        if not report.layers:
            found["worse"].append(Change("", "", "no layer was verified"))
        verified = {_key(layer.config, layer.name) for layer in report.layers}
        unverified = tuple(name for config, name in self.layers if (config, name) not in verified)
        worse, better, known = (tuple(changes) for changes in found.values())
        return Comparison(worse, better, known, unverified)

    def _changes(self, layer: LayerReport) -> Iterator[tuple[str, Change]]:
        spec, before = self.layers.get(_key(layer.config, layer.name), (None, {}))
        other = spec is not None and spec != layer.spec
        for key, result in _by_key(layer.results).items():
            kind, text = _judged(result, None if other else before.get(key))
            if other and kind == "worse":
                text += "; the layer is another one than in the baseline"
            if kind:
                yield kind, Change(layer.name, ", ".join(key), text)
        if not layer.passed and all(result.acceptable for result in layer.results):
            yield "worse", Change(layer.name, "", "no gradient was checked")


def load(path: Path) -> Baseline:
    """Read a stored report.

    Parameters
    ----------
    path : Path
        A file that ``convcheck verify --output FILE.json`` wrote.

    Raises
    ------
    UsageError
        If the file is no regular one, cannot be read, is no report, or is one of another version.
    """
    given = Parameter("baseline", path)
    again = "write it with: convcheck verify --output FILE.json"
    try:
        if path.exists() and not path.is_file():
            raise UsageError(given, f": is no regular file; {again}")
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(given, f": cannot be read ({error.strerror or error}); {again}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(given, f": is not JSON ({error}); {again}") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version is None:
        raise UsageError(given, f": is no report of convcheck; {again}")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise UsageError(
            given,
            f": has schema_version {json.dumps(version)}, written by convcheck "
            f"{data.get('convcheck_version')}; this convcheck reads {SCHEMA_VERSION}; make the baseline again with it",
        )
    layers = {}
    try:
        for layer in data["layers"]:
            results = _by_key(decode(tuple[GradientResult, ...], layer["results"]))
            if unknown := {result.status for result in results.values()}.difference(STATUSES):
                raise ValueError(f"status is {unknown.pop()!r}")
            layers[_key(layer["config"], layer["name"])] = dict(layer["spec"]), results
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(given, f": is not a complete report ({error!r}); {again}") from error
    return Baseline(layers)


def _key(config: str | None, name: str) -> _LayerKey:
    return None if config is None else os.path.normpath(config), name


def _by_key(results: tuple[GradientResult, ...]) -> _Results:
    return {(result.gradient, result.kind, result.implementation): result for result in results}


def _judged(now: GradientResult, before: GradientResult | None) -> tuple[str, str]:
    """Return whether a check is worse, better or as bad as it was (nothing where it is as good), and what changed."""
    if before is None:
        return ("", "") if now.acceptable else ("worse", f"{now.status} now, not in the baseline")
    if now.acceptable and before.acceptable:
        return "", ""
    statuses = f"{before.status} before, {now.status} now"
    if now.acceptable:
        # What was bad and is now skipped has not been shown to be right.
        return ("better" if now.passed else "known"), statuses
    # Between two kinds of bad nothing shows which is worse; a gate does not guess.
    if before.status != now.status:
        return "worse", statuses
    measures = [
        ("relative error", _error(before), _error(now)),
        ("wrong entries", before.mismatches, now.mismatches),
    ]
    for what, old, new in measures:
        if new > old * _SAME_ERROR:
            return "worse", f"{what} {old:g} before, {new:g} now"
    for what, old, new in measures:
        if old > new * _SAME_ERROR:
            return "better", f"{what} {old:g} before, {new:g} now, but still wrong"
    return "known", f"{now.status} as before"


def _error(result: GradientResult) -> float:
    # Nothing is worse than what is not finite, and JSON cannot tell infinity from NaN.
    return result.max_rel_error if isfinite(result.max_rel_error) else inf


def render_changes(comparison: Comparison, baseline: str) -> str:
    """Return what got worse, better and neither as text for people, with a line break at the end."""
    lines = []
    for title, changes, most in (
        ("worse", comparison.worse, len(comparison.worse)),
        ("better", comparison.better, _MOST),
        ("known", comparison.known, _MOST),
    ):
        for change in changes[:most]:
            place = ", ".join(visible(text) for text in (change.layer, change.what) if text)
            lines.append(f"{title:<6}  {place}{': ' if place else ''}{visible(change.text)}")
        if len(changes) > most:
            lines.append(f"{title:<6}  and {len(changes) - most:,} more")
    if comparison.unverified:
        layers = counted(len(comparison.unverified), "layer")
        lines.append(f"note    {layers} of the baseline not verified: {some_layers(comparison.unverified)}")
    counts = f"{len(comparison.worse):,} worse, {len(comparison.better):,} better, {len(comparison.known):,} as before"
    verdict = "passed" if comparison.passed else "FAILED"
    return "\n".join([*lines, f"{verdict} against the baseline {visible(baseline)}: {counts}"]) + "\n"
