"""A stored report as the baseline of a new one: what got worse, what got better, what is as bad as it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from convcheck.errors import UsageError
from convcheck.reports.results import SCHEMA_VERSION, STATUSES, LayerReport, ReportData

#: By how much an error may grow and still count as the same one. The data are the same as long as the layer and its
#: seed are, so an error moves only by rounding, in float32 some 1e-7 of each of many terms.
_SAME_ERROR = 1 + 1e-4

_GOOD = ("passed", "skipped")

_NOTHING_CHECKED = "no gradient was checked"

_LayerKey = tuple[str | None, str]
_ResultKey = tuple[str, str, str]


@dataclass(frozen=True)
class Change:
    """How one check, or a layer as a whole, stands against the baseline.

    Attributes
    ----------
    layer : str
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
        Config and name -> the layer as it stands in the file.
    """

    layers: Mapping[_LayerKey, Mapping[str, Any]]

    def compare(self, report: ReportData) -> Comparison:
        """Compare a new report with this one.

        A check is worse if its status is, if its relative error is larger or if more entries are wrong. What is bad and
        has no counterpart here, for instance because the layer was changed, is worse too: nothing shows that it is not.
        """
        found: dict[str, list[Change]] = {"worse": [], "better": [], "known": []}
        for layer in report.layers:
            for kind, change in _changes(layer, self.layers.get(_key(layer.config, layer.layer.name))):
                found[kind].append(change)
        if not report.layers:
            found["worse"].append(Change("", "", "no layer was verified"))
        verified = {_key(layer.config, layer.layer.name) for layer in report.layers}
        unverified = tuple(name for config, name in self.layers if (config, name) not in verified)
        worse, better, known = (tuple(changes) for changes in found.values())
        return Comparison(worse, better, known, unverified)


def load(path: Path) -> Baseline:
    """Read a stored report.

    Parameters
    ----------
    path : Path
        A file that ``convcheck verify --output FILE.json`` wrote.

    Raises
    ------
    UsageError
        If the file cannot be read, is no report, or is one of another version.
    """
    again = "write it with: convcheck verify --output FILE.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"--baseline {path}: cannot be read ({error.strerror or error}); {again}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--baseline {path}: is not JSON ({error}); {again}") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version is None:
        raise UsageError(f"--baseline {path}: is no report of convcheck; {again}")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise UsageError(
            f"--baseline {path}: has schema_version {json.dumps(version)}, written by convcheck "
            f"{data.get('convcheck_version')}; this convcheck reads {SCHEMA_VERSION}; make the baseline again with it"
        )
    try:
        return Baseline({_key(layer["config"], layer["name"]): _checked(layer) for layer in data["layers"]})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"--baseline {path}: is not a complete report ({error!r}); {again}") from error


def _key(config: str | None, name: str) -> _LayerKey:
    return None if config is None else os.path.normpath(config), name


def _checked(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a layer of the file if everything that is compared is there and is of its kind."""
    layer["spec"].items()
    for result in layer["results"]:
        for key in ("implementation", "gradient", "check"):
            if not isinstance(result[key], str):
                raise TypeError(f"{key} is {result[key]!r}")
        if result["status"] not in STATUSES:
            raise ValueError(f"status is {result['status']!r}")
        float(_error(result) + result["mismatches"])
    return layer


def _changes(layer: LayerReport, before: Mapping[str, Any] | None) -> Iterator[tuple[str, Change]]:
    name = layer.layer.name
    same_layer = before is not None and before["spec"] == layer.layer.spec()
    earlier = {_result_key(result): result for result in before["results"]} if before is not None and same_layer else {}
    now = _results(layer)
    for key, result in now.items():
        kind, text = _judged(result, earlier.get(key))
        if before is not None and not same_layer and kind == "worse":
            text += "; the layer is another one than in the baseline"
        if kind:
            yield kind, Change(name, ", ".join(key), text)
    if not layer.passed and all(result["status"] in _GOOD for result in now.values()):
        yield "worse", Change(name, "", _NOTHING_CHECKED)


def _judged(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return whether a check is worse, better or as bad as it was (nothing where it is as good), and what changed."""
    is_good = now["status"] in _GOOD
    if before is None:
        return ("", "") if is_good else ("worse", f"{now['status']} now, not in the baseline")
    was_good = before["status"] in _GOOD
    statuses = f"{before['status']} before, {now['status']} now"
    if is_good and was_good:
        return "", ""
    if is_good:
        # What was bad and is now skipped has not been shown to be right.
        return ("better" if now["status"] == "passed" else "known"), statuses
    # Between two kinds of bad nothing shows which is worse; a gate does not guess.
    return ("worse", statuses) if was_good or before["status"] != now["status"] else _judged_numbers(now, before)


def _judged_numbers(now: Mapping[str, Any], before: Mapping[str, Any]) -> tuple[str, str]:
    for what, old, new in _measures(before, now):
        if new > old * _SAME_ERROR:
            return "worse", f"{what} {old:g} before, {new:g} now"
    for what, old, new in _measures(before, now):
        if old > new * _SAME_ERROR:
            return "better", f"{what} {old:g} before, {new:g} now, but still wrong"
    return "known", f"{now['status']} as before"


def _measures(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
    yield "relative error", _error(before), _error(now)
    yield "wrong entries", before["mismatches"], now["mismatches"]


def _error(result: Mapping[str, Any]) -> float:
    error = result["max_rel_error"]
    # JSON has no infinity and no NaN, and nothing is worse than either.
    return inf if error is None else float(error)


def _results(layer: LayerReport) -> dict[_ResultKey, Mapping[str, Any]]:
    """Return the new results in the form of the stored ones, so that both are compared alike."""
    data = ReportData((layer,), "").to_dict()["layers"][0]
    return {_result_key(result): result for result in data["results"]}


def _result_key(result: Mapping[str, Any]) -> _ResultKey:
    return result["gradient"], result["check"], result["implementation"]
