"""JSON lines: what the JSON report says, a layer at a time."""

import json
from dataclasses import replace

from convcheck import verify
from convcheck.reports.formats import render
from convcheck.reports.formats.jsonl import last_line, layer_line
from tests.parts import SUITE


def failing():
    return verify(SUITE, target="tests.targets_for_tests:Unflipped")


def test_all_lines_together_say_what_the_json_report_says():
    report = failing()
    *layers, last = map(json.loads, render(report, "jsonl").splitlines())
    whole = json.loads(render(report, "json"))
    smallest = last.pop("smallest")
    assert last.pop("totals") == {"layers": 3, "passed": 0, "failed": 3}
    for layer in layers:
        if layer["name"] in smallest:
            layer["smallest"] = smallest[layer["name"]]
    assert smallest
    assert [{**layer} for layer in layers] == whole.pop("layers")
    assert last == whole


def test_lines_can_be_written_one_by_one():
    report = verify(SUITE)
    assert "".join([*map(layer_line, report.layers), last_line(report)]) == render(report, "jsonl")
    assert all(line.count("\n") == 1 for line in map(layer_line, report.layers))
    assert json.loads(last_line(report))["totals"] == {"layers": 3, "passed": 3, "failed": 0}


def test_of_an_interrupted_run_the_last_line_names_what_was_not_checked():
    report = verify(SUITE)
    last = json.loads(last_line(replace(report, layers=report.layers[:1], unchecked=("second", "third"))))
    assert (last["passed"], last["unchecked"], last["totals"]["layers"]) == (False, ["second", "third"], 1)
