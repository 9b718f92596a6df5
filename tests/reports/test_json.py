import json
from dataclasses import replace
from math import inf, nan

import pytest

from convcheck.errors import UsageError
from convcheck.reports.formats import FORMATS, format_of_ending, render
from convcheck.reports.report import Report
from convcheck.reports.results import Worst
from tests.reports import CONV, TARGET, failed_report, failing, passed_report


@pytest.mark.parametrize("report", [passed_report(), failed_report()])
def test_the_text_is_the_envelope(report):
    text = render(report, "json")
    assert json.loads(text) == report.to_dict()
    assert text.endswith("}\n")


def test_the_envelope_is_as_the_contract_has_it():
    envelope = json.loads(render(failed_report(), "json"))
    first = ["schema_version", "convcheck_version", "config", "passed", "elapsed_seconds", "layers"]
    assert list(envelope) == [*first, "target", "checked", "common"]
    layer = envelope["layers"][0]
    assert layer.keys() >= {"name", "line", "passed", "spec", "results"}
    assert layer["results"][-1] == {
        "implementation": TARGET,
        "gradient": "input",
        "check": "exact",
        "status": "failed",
        "entries": 660,
        "entries_checked": 660,
        "evaluations": 27,
        "max_abs_error": 2.0,
        "max_rel_error": 0.5,
        "allowed_error": 0.0,
        "mismatches": 54,
        "false_pass_probability": None,
        "worst": {"index": [0, 1, 2, 2], "analytic": 1.0, "numeric": 3.0},
        "diagnosis": [
            {
                "code": "C01",
                "name": "kernel-not-flipped",
                "explanation": "grad_input uses the kernel unrotated.",
                "fix": "Rotate it by 180 degrees.",
            }
        ],
        "message": "only rows 6, 7, 8 of 0..8",
    }


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_what_json_has_not_is_null(value):
    wrong = replace(failing(CONV, TARGET, "input"), max_abs_error=value, worst=Worst((0, 0, 0, 0), value, 1.0))
    text = render(failed_report(wrong), "json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    result = json.loads(text, parse_constant=refuse)["layers"][0]["results"][-1]
    assert result["max_abs_error"] is None
    assert result["worst"] == {"index": [0, 0, 0, 0], "analytic": None, "numeric": 1.0}
    assert result["status"] == "failed"


def test_every_format_renders_and_ignores_what_it_cannot_use():
    for name in FORMATS:
        assert render(failed_report(), name, width=100, color=True)


def test_an_unknown_format_names_the_known_ones():
    with pytest.raises(UsageError, match="output format 'xml' is unknown") as caught:
        render(Report((), ""), "xml")
    assert str(caught.value).endswith(", ".join(FORMATS))


def test_the_formats_are_these():
    """Whoever takes one away breaks scripts."""
    assert {"table", "json", "junit", "github", "markdown"} <= set(FORMATS)
    assert format_of_ending().items() >= {".txt": "table", ".json": "json", ".xml": "junit", ".md": "markdown"}.items()
