"""A report against a stored one."""

import json
from dataclasses import replace
from math import nan

import pytest

from convcheck.errors import UsageError
from convcheck.reports import baseline
from convcheck.reports.baseline import render_changes
from convcheck.reports.formats import render
from convcheck.reports.report import Report
from tests.reports import CONV, TARGET, VIDEO, failing, layer_report, passing, report_of, skipped

WRONG = failing(CONV, TARGET, "input")
RIGHT = passing(CONV, TARGET, "input", "exact")
OTHER = passing(CONV, TARGET, "weight", "exact")


@pytest.fixture
def compared(tmp_path):
    """Compare two sets of results for one layer, the first through a file."""

    def compared(before, now, layer=CONV):
        return stored(tmp_path, report_of(layer_report(CONV, before))).compare(report_of(layer_report(layer, now)))

    return compared


def stored(folder, report):
    path = folder / "baseline.json"
    path.write_text(render(report, "json"), encoding="utf-8")
    return baseline.load(path)


def texts(changes):
    return [(change.what, change.text) for change in changes]


def test_nothing_changed(compared):
    assert compared((RIGHT,), (RIGHT,)) == baseline.Comparison((), (), (), ())


def test_a_known_failure_is_no_failure(compared):
    found = compared((WRONG, OTHER), (WRONG, OTHER))
    assert found.passed
    assert texts(found.known) == [("input, exact, my_layers.py:MyConv", "failed as before")]


def test_what_passed_and_fails_now_is_worse(compared):
    found = compared((RIGHT,), (WRONG,))
    assert not found.passed
    assert texts(found.worse) == [("input, exact, my_layers.py:MyConv", "passed before, failed now")]


def test_what_failed_and_passes_now_is_better(compared):
    found = compared((WRONG,), (RIGHT,))
    assert found.passed
    assert texts(found.better) == [("input, exact, my_layers.py:MyConv", "failed before, passed now")]


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"max_rel_error": 0.75}, "worse", "relative error 0.5 before, 0.75 now"),
        ({"max_rel_error": nan}, "worse", "relative error 0.5 before, inf now"),
        ({"mismatches": 55}, "worse", "wrong entries 54 before, 55 now"),
        ({"max_rel_error": 0.25}, "better", "relative error 0.5 before, 0.25 now, but still wrong"),
        ({"mismatches": 1}, "better", "wrong entries 54 before, 1 now, but still wrong"),
        ({"max_rel_error": 0.25, "mismatches": 55}, "worse", "wrong entries 54 before, 55 now"),
        ({"max_rel_error": 0.5 * (1 + 1e-6)}, "known", "failed as before"),
        ({"status": "inconclusive"}, "worse", "failed before, inconclusive now"),
        ({"status": "error"}, "worse", "failed before, error now"),
    ],
)
def test_what_fails_before_and_now(compared, change, kind, text):
    found = compared((WRONG, OTHER), (replace(WRONG, **change), OTHER))
    assert texts(getattr(found, kind)) == [("input, exact, my_layers.py:MyConv", text)]
    assert found.passed == (kind != "worse")


def test_what_failed_before_and_is_skipped_now_leaves_its_gradient_unchecked(compared):
    found = compared((WRONG, OTHER), (replace(WRONG, status="skipped"), OTHER))
    assert texts(found.known) == [("input, exact, my_layers.py:MyConv", "failed before, skipped now")]
    assert texts(found.worse) == [("", "no gradient was checked")]
    assert not found.passed


def test_infinite_errors_are_alike(compared):
    wrong = replace(WRONG, max_rel_error=nan)
    assert compared((wrong,), (wrong,)).known


@pytest.mark.parametrize("status", ["failed", "error", "inconclusive"])
def test_what_is_bad_and_new_is_worse(compared, status):
    found = compared((OTHER,), (OTHER, replace(WRONG, status=status)))
    assert texts(found.worse) == [("input, exact, my_layers.py:MyConv", f"{status} now, not in the baseline")]


def test_what_is_good_and_new_is_nothing_to_mention(compared):
    assert compared((OTHER,), (OTHER, RIGHT)) == baseline.Comparison((), (), (), ())


def test_the_errors_of_another_layer_of_the_same_name_say_nothing(compared):
    found = compared((WRONG,), (WRONG,), layer=replace(CONV, seed=1))
    assert texts(found.worse)[0][1] == (
        "failed now, not in the baseline; the layer is another one than in the baseline"
    )


@pytest.mark.parametrize("before", [RIGHT, WRONG])
def test_no_pass_without_a_check(compared, before):
    found = compared((before,), (skipped(CONV, TARGET, "input", "exact", "no time"),))
    assert not found.passed
    assert ("", "no gradient was checked") in texts(found.worse)


def test_a_report_without_layers_is_worse(tmp_path):
    assert not stored(tmp_path, report_of(layer_report(CONV))).compare(Report((), "")).passed


def test_layers_that_were_left_out_are_named(tmp_path):
    old = stored(tmp_path, report_of(layer_report(CONV), layer_report(VIDEO)))
    assert old.compare(report_of(layer_report(CONV))).unverified == ("video",)


def test_the_same_file_by_another_path(tmp_path):
    old = stored(tmp_path, report_of(layer_report(CONV, (WRONG,))))
    again = replace(layer_report(CONV, (WRONG,)), config="./suite.yaml")
    assert old.compare(report_of(again)).passed


def test_layers_of_one_name_in_two_configs_are_told_apart(tmp_path):
    other = replace(layer_report(CONV, (WRONG,)), config="other.yaml")
    old = stored(tmp_path, report_of(layer_report(CONV, (RIGHT,)), other))
    assert not old.compare(report_of(layer_report(CONV, (WRONG,)), other)).passed


def test_the_text(tmp_path, compared):
    found = compared((WRONG, OTHER), (RIGHT, failing(CONV, TARGET, "weight")))
    assert render_changes(found, "old.json") == (
        "worse   conv1, weight, exact, my_layers.py:MyConv: passed before, failed now\n"
        "better  conv1, input, exact, my_layers.py:MyConv: failed before, passed now\n"
        "FAILED against the baseline old.json: 1 worse, 1 better, 0 as before\n"
    )


def without(key):
    data = report_of(layer_report(CONV)).to_dict()
    del data["layers"][0][key]
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is no report of convcheck; write it with: convcheck verify --output FILE.json"),
        ('{"layers": []}', "is no report of convcheck"),
        (
            '{"schema_version": 2, "convcheck_version": "9.1"}',
            "has schema_version 2, written by convcheck 9.1; this convcheck reads 1; make the baseline again with it",
        ),
        ('{"schema_version": true}', "has schema_version true"),
        ('{"schema_version": 1}', "is not a complete report (KeyError('layers'))"),
        ('{"schema_version": 1, "layers": [1]}', "is not a complete report"),
        ('{"schema_version": 1, "layers": 1}', "is not a complete report"),
        (without("results"), "is not a complete report (KeyError('results'))"),
        (without("spec"), "is not a complete report (KeyError('spec'))"),
        (without("config"), "is not a complete report (KeyError('config'))"),
    ],
)
def test_what_is_no_baseline(tmp_path, text, message):
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        baseline.load(path)
    assert str(caught.value).startswith(f"baseline={path}: ")
    assert message in str(caught.value)


def test_a_missing_baseline(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be read \(No such file or directory\)"):
        baseline.load(tmp_path / "missing.json")


def test_a_binary_baseline(tmp_path):
    (tmp_path / "baseline.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not JSON"):
        baseline.load(tmp_path / "baseline.json")
