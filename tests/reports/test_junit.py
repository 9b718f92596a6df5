"""JUnit XML, read back by a library that CI tools use."""

from dataclasses import replace

import pytest

from convcheck.reports.formats import render
from convcheck.reports.report import Report
from tests.reports import (
    CONV,
    TARGET,
    failed_report,
    failing,
    layer_report,
    passed_report,
    passing,
    report_of,
    skipped,
)

junitparser = pytest.importorskip("junitparser")


def parsed(report):
    return junitparser.JUnitXml.fromstring(render(report, "junit").encode())


def cases(report):
    return {(case.classname, case.name): case for suite in parsed(report) for case in suite}


def test_one_case_per_layer_and_gradient():
    assert list(cases(passed_report())) == [
        ("conv1", "output O"), ("conv1", "input dL/dX"), ("conv1", "weight dL/dW"), ("conv1", "bias dL/db"),
        ("video", "output O"), ("video", "input dL/dX"), ("video", "weight dL/dW"),
    ]  # fmt: skip
    assert all(case.is_passed for case in cases(passed_report()).values())


def test_the_counts_are_those_of_the_cases():
    xml = parsed(failed_report())
    [suite] = xml
    assert (xml.tests, xml.failures, xml.errors, xml.skipped) == (7, 1, 0, 0)
    assert (suite.name, suite.tests, suite.failures) == ("suite.yaml", 7, 1)


def test_a_failure_says_what_is_wrong_and_where():
    case = cases(failed_report())["conv1", "input dL/dX"]
    [failure] = case.result
    assert isinstance(failure, junitparser.Failure)
    assert failure.message == (
        "wrong in 54 of 660 entries (exact check); kernel-not-flipped: grad_input uses the kernel unrotated."
    )
    assert "worst      [0, 1, 2, 2]: the backward pass gives 1, the forward pass implies 3" in failure.text
    assert "fix        Rotate it by 180 degrees." in failure.text
    assert "reproduce  convcheck verify suite.yaml --target my_layers.py:MyConv" in failure.text
    assert (case._elem.get("file"), case._elem.get("line")) == ("suite.yaml", "6")


def test_a_passed_case_says_how_it_was_checked():
    report = report_of(layer_report(CONV, (passing(CONV, TARGET, "input", "central"),
                                           passing(CONV, TARGET, "input", "projected"))))  # fmt: skip
    [case] = cases(report).values()
    assert case.system_out.splitlines() == [
        "my_layers.py:MyConv, central: error 1.2e-15, allowed 4.3e-13",
        "my_layers.py:MyConv, projected: passed; a wrong gradient passes with probability at most 5e-10",
    ]


@pytest.mark.parametrize(
    ("status", "kind"), [("error", "Error"), ("inconclusive", "Failure"), ("failed", "Failure"), ("skipped", "Skipped")]
)
def test_the_kind_of_a_bad_result(status, kind):
    bad = replace(failing(CONV, TARGET, "input"), status=status, message="Traceback:\n  it broke")
    report = report_of(layer_report(CONV, (bad, passing(CONV, TARGET, "weight", "exact"))))
    [outcome] = cases(report)["conv1", "input dL/dX"].result
    assert isinstance(outcome, getattr(junitparser, kind))


def test_a_layer_of_which_nothing_was_checked_is_a_failure_and_no_skip():
    report = report_of(layer_report(CONV, (skipped(CONV, TARGET, "input", "central", "no time"),)))
    assert not report.passed
    found = cases(report)
    [outcome] = found["conv1", "gradients"].result
    assert outcome.message == "no gradient was checked, so the layer has not passed"
    assert found["conv1", "input dL/dX"].is_skipped


def test_a_report_without_layers_is_a_failure():
    xml = parsed(Report((), "suite.yaml"))
    assert (xml.tests, xml.failures) == (1, 1)


@pytest.mark.parametrize("text", ["a\x00b\x1b[31m", "<&\"']]>", "half \ud800", "\ufffe", "3×3 → 2×2"])
def test_any_text_gives_xml_that_can_be_read(text):
    bad = replace(failing(replace(CONV), TARGET, "input"), message=text)
    report = replace(failed_report(bad), config=text)
    [failure] = cases(report)["conv1", "input dL/dX"].result
    assert "where      " in failure.text


def test_layers_of_two_configs_are_two_suites():
    one, two = layer_report(CONV), replace(layer_report(CONV), config="other.yaml")
    assert [suite.name for suite in parsed(report_of(one, two))] == ["suite.yaml", "other.yaml"]
