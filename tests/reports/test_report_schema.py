"""The JSON Schema of the report: of one mind with the report, and a contract that does not change unnoticed."""

import json
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcheck.layer.fields import FIELDS
from convcheck.reports.formats import render
from convcheck.reports.record import OnlyWith, decode, encode, schema
from convcheck.reports.report import Report
from convcheck.reports.results import (
    CHECKS,
    GRADIENTS,
    SCHEMA_VERSION,
    STATUSES,
    BlindSpot,
    Diagnosis,
    GradientResult,
    LayerReport,
    Power,
    Worst,
    report_schema,
)
from convcheck.verification import verify
from tests.reports import (
    CONV,
    TARGET,
    failed_report,
    failing,
    interrupted_report,
    many_situations,
    passing,
    powerful_report,
)
from tests.strategies import layers
from tests.targets_for_tests import Unflipped

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
    whole = report_schema()
    assert keys(whole) == [
        "schema_version", "convcheck_version", "config", "passed", "elapsed_seconds", "layers", "target", "checked",
        "power", "blind_spots", "seed", "fitted", "limits", "found", "left_out", "hunt", "unchecked",
        "common",
    ]  # fmt: skip
    assert whole["required"] == [*keys(whole)[:8], "common"]
    layer = whole["properties"]["layers"]["items"]
    assert keys(layer) == ["name", "config", "line", "passed", "spec", "results", "smallest"]
    result = layer["properties"]["results"]["items"]
    assert keys(result) == [
        "implementation", "gradient", "check", "status", "entries", "entries_checked", "evaluations", "max_abs_error",
        "max_rel_error", "allowed_error", "mismatches", "false_pass_probability", "worst", "diagnosis", "message",
        "condition", "accumulates", "draws", "exercised",
    ]  # fmt: skip
    assert keys(whole["properties"]["power"]["anyOf"][0]) == [
        "entries_compared_exactly", "false_pass_probability", "mistakes_shown", "mistakes", "beyond_limits",
        "judged_on_smaller",
    ]  # fmt: skip
    assert keys(whole["properties"]["blind_spots"]["items"]) == ["code", "name", "forms", "change", "layer"]
    assert keys(result["properties"]["worst"]["anyOf"][0]) == ["index", "analytic", "numeric"]
    assert keys(result["properties"]["diagnosis"]["items"]) == ["code", "name", "explanation", "fix"]
    assert sorted(keys(layer["properties"]["spec"])) == sorted(FIELDS)
    hunt = whole["properties"]["hunt"]["anyOf"][0]
    assert keys(hunt) == [
        "seed", "cases", "refused", "seconds", "sizes", "properties", "conditions", "mistakes_shown", "mistakes",
        "not_shown", "not_tried",
    ]  # fmt: skip
    smallest = layer["properties"]["smallest"]["anyOf"][0]
    assert keys(smallest) == [
        "layer", "gradient", "index", "analytic", "numeric", "operands", "condition", "runs", "what", "note", "along",
    ]  # fmt: skip
    assert keys(smallest["properties"]["operands"]) == ["x", "weight", "bias", "grad_output"]


NAN = replace(failing(CONV, TARGET, "input"), max_abs_error=nan, worst=Worst((0, 0, 0, 0), nan, 1.0))


def closed(schema):
    """The schema, allowing no key that it does not know."""
    if isinstance(schema, dict):
        extra = {"additionalProperties": False} if "properties" in schema else {}
        return {key: closed(value) for key, value in schema.items()} | extra
    return [closed(item) for item in schema] if isinstance(schema, list) else schema


STRICT = jsonschema.Draft202012Validator(closed(report_schema()))


@pytest.mark.parametrize(
    "report",
    [
        *many_situations(),
        failed_report(NAN),
        powerful_report(),
        interrupted_report(),
        verify("textbook", blind_spots=True),
        verify(CONV, target=Unflipped),
    ],
)
def test_reports_have_every_key_of_the_schema_and_no_other(report):
    STRICT.validate(report.to_dict())


texts = st.text(max_size=5)
counts = st.integers(0, 10**12)
worst = st.none() | st.builds(Worst, st.lists(counts, max_size=5).map(tuple), st.floats(), st.floats())
gradient_results = st.builds(
    GradientResult, texts, st.sampled_from(GRADIENTS), st.sampled_from(CHECKS), st.sampled_from(STATUSES),
    counts, counts, counts, *[st.floats(0) | st.just(nan)] * 3, counts, st.none() | st.floats(0, 1), worst,
    st.lists(st.builds(Diagnosis, *[texts] * 4), max_size=2).map(tuple), st.none() | texts, st.booleans(),
)  # fmt: skip
layer_reports = st.builds(
    LayerReport, layers(), st.lists(gradient_results, max_size=3).map(tuple), st.none() | texts,
    st.none() | st.integers(1, 10**6),
)  # fmt: skip
spots = st.builds(BlindSpot, texts, texts, st.lists(texts, max_size=2).map(tuple), texts, texts)
any_report = st.builds(
    Report, st.lists(layer_reports, max_size=2).map(tuple), texts, elapsed_seconds=st.floats(0, 1e6),
    power=st.none() | st.builds(Power, counts, st.floats(0, 1), counts, counts),
    blind_spots=st.lists(spots, max_size=2).map(tuple), unchecked=st.lists(texts, max_size=2).map(tuple),
)  # fmt: skip


@given(any_report)
def test_any_report_is_valid_and_comes_back(report):
    data = json.loads(render(report, "json"))
    STRICT.validate(data)
    assert ("power" in data) == ("blind_spots" in data) == (report.power is not None)
    for layer, stored in zip(report.layers, data["layers"], strict=True):
        again = decode(tuple[GradientResult, ...], stored["results"])
        # NaN and infinity are one thing in JSON, and what is not a key is not there.
        assert encode(again) == stored["results"]
        assert [result.worst and result.worst.index for result in again] == [
            result.worst and result.worst.index for result in layer.results
        ]


def test_every_key_is_described():
    def undescribed(schema, path=""):
        for key, value in schema.get("properties", {}).items():
            if "description" not in value:
                yield f"{path}.{key}"
            for part in (value, value.get("items", {}), *value.get("anyOf", [])):
                yield from undescribed(part, f"{path}.{key}")

    assert list(undescribed(report_schema())) == []


def test_a_new_key_is_one_line():
    """What the dataclass says is in the JSON, in the schema and in what is read back."""

    @dataclass(frozen=True)
    class More(GradientResult):
        condition: Annotated[str | None, "Under which condition.", OnlyWith("condition")] = None

    without = encode(passing(CONV, TARGET, "input", "exact"))
    result = More(TARGET, "input", "exact", "failed", condition="large")
    assert encode(result).keys() - without.keys() == {"condition"}
    assert decode(More, encode(result)) == result
    assert schema(More)["properties"]["condition"] == {
        "description": "Under which condition.", "type": ["string", "null"]
    }  # fmt: skip
    assert "condition" not in schema(More)["required"]
    assert decode(More, without).condition is None


@pytest.mark.parametrize(
    ("key", "value"), [("schema_version", 2), ("passed", None), ("layers", {}), ("elapsed_seconds", "fast")]
)
def test_what_is_no_report_is_refused(key, value):
    assert not VALIDATOR.is_valid(failed_report().to_dict() | {key: value})


@pytest.mark.parametrize("key", report_schema()["required"])
def test_no_key_may_be_missing(key):
    data = failed_report().to_dict()
    del data[key]
    assert not VALIDATOR.is_valid(data)


def test_the_published_schema_is_this_one():
    again = "python -m convcheck schema report > docs/report.schema.json"
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == report_schema(), again
