"""The report as JSON lines, written while it grows: a line for each layer, and a last one with the rest.

A layer's line is what stands for it under ``layers`` in the JSON report, without its smallest case, which is looked for
at the end. The last line is the JSON report without ``layers``; ``totals`` counts them, and ``smallest`` has the
smallest cases by the names of the layers.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from convcheck.reports.record import encode
from convcheck.reports.results import LayerReport, ReportData

ENDINGS = (".jsonl",)


def layer_line(report: LayerReport) -> str:
    """Write the line of a layer."""
    return _line(encode(replace(report, smallest=None)))


def last_line(report: ReportData) -> str:
    """Write the last line: what holds of all layers."""
    passed = sum(layer.passed for layer in report.layers)
    totals = {"layers": len(report.layers), "passed": passed, "failed": len(report.layers) - passed}
    smallest = {layer.name: encode(layer.smallest) for layer in report.layers if layer.smallest is not None}
    return _line({**encode(report, without=("layers",)), "totals": totals, "smallest": smallest})


def render(report: ReportData) -> str:
    """Write all lines, each strict JSON: NaN and infinity, which JSON lacks, are null."""
    return "".join([*map(layer_line, report.layers), last_line(report)])


def _line(data: Any) -> str:
    return json.dumps(data, allow_nan=False, separators=(",", ":")) + "\n"
