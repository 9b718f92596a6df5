"""The JSON Schema of the report: of one mind with the report, and a contract that does not change unnoticed."""

import json
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest

from convcheck.layer.fields import FIELDS
from convcheck.reports.results import SCHEMA_VERSION, Worst
from convcheck.reports.schema import report_schema
from tests.reports import CONV, TARGET, failed_report, failing, long_report, passed_report

jsonschema = pytest.importorskip("jsonschema")

VALIDATOR = jsonschema.Draft202012Validator(report_schema())
PUBLISHED = Path(__file__).parent.parent.parent / "docs" / "report.schema.json"


def keys(schema):
    return list(schema["properties"])


def test_is_a_valid_schema():
    jsonschema.Draft202012Validator.check_schema(report_schema())


def test_the_contract():
    """Whoever changes a key of this list breaks scripts: that takes a new schema_version."""
    assert SCHEMA_VERSION == 1
    schema = report_schema()
    assert keys(schema) == ["schema_version", "convcheck_version", "config", "passed", "elapsed_seconds", "layers"]
    layer = schema["properties"]["layers"]["items"]
    assert keys(layer) == ["name", "config", "line", "passed", "spec", "results"]
    result = layer["properties"]["results"]["items"]
    assert keys(result) == [
        "implementation", "gradient", "check", "status", "entries", "entries_checked", "evaluations", "max_abs_error",
        "max_rel_error", "allowed_error", "mismatches", "false_pass_probability", "worst", "diagnosis", "message",
    ]  # fmt: skip
    assert keys(result["properties"]["worst"]["anyOf"][0]) == ["index", "analytic", "numeric"]
    assert keys(result["properties"]["diagnosis"]["items"]) == ["code", "name", "explanation", "fix"]
    assert sorted(keys(layer["properties"]["spec"])) == sorted(FIELDS)


NAN = replace(failing(CONV, TARGET, "input"), max_abs_error=nan, worst=Worst((0, 0, 0, 0), nan, 1.0))


@pytest.mark.parametrize("report", [passed_report(), failed_report(), long_report(), failed_report(NAN)])
def test_reports_are_valid(report):
    VALIDATOR.validate(report.to_dict())


def test_reports_have_no_key_that_the_schema_lacks():
    def closed(schema):
        if isinstance(schema, dict):
            extra = {"additionalProperties": False} if "properties" in schema else {}
            return {key: closed(value) for key, value in schema.items()} | extra
        return [closed(item) for item in schema] if isinstance(schema, list) else schema

    jsonschema.Draft202012Validator(closed(report_schema())).validate(failed_report().to_dict())


@pytest.mark.parametrize(
    ("key", "value"), [("schema_version", 2), ("passed", None), ("layers", {}), ("elapsed_seconds", "fast")]
)
def test_what_is_no_report_is_refused(key, value):
    assert not VALIDATOR.is_valid(failed_report().to_dict() | {key: value})


@pytest.mark.parametrize("key", keys(report_schema()))
def test_no_key_may_be_missing(key):
    data = failed_report().to_dict()
    del data[key]
    assert not VALIDATOR.is_valid(data)


def test_the_published_schema_is_this_one():
    again = "python -m convcheck schema report > docs/report.schema.json"
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == report_schema(), again
