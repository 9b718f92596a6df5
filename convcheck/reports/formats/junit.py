"""The report as JUnit XML, which CI systems show as test results: one test case per layer and gradient."""

from __future__ import annotations

from itertools import groupby
from xml.etree import ElementTree

from convcheck.reports.cases import Case, cases_of
from convcheck.reports.results import GradientResult, ReportData
from convcheck.reports.summary import NO_LAYER
from convcheck.wording import at_most, compact_against, visible

ENDINGS = (".xml",)

#: Status of a case -> the element that says so; a passed case has none.
_ELEMENTS = {"failed": "failure", "inconclusive": "failure", "error": "error", "skipped": "skipped"}


def render(report: ReportData) -> str:
    """Write a report as JUnit XML.

    One suite per config, one case per layer and gradient. What failed is a failure, what could not be decided too:
    it is no pass. What the code under test raised is an error.
    """
    root = ElementTree.Element("testsuites", name="convcheck", time=f"{report.elapsed_seconds:.3f}")
    for config, cases in groupby(cases_of(report), lambda case: case.layer.config):
        suite = ElementTree.SubElement(root, "testsuite", name=visible(config or "convcheck"))
        _describe(suite, report)
        suite.extend(_testcase(case) for case in cases)
    if not report.layers:
        # Nothing but passes and no test at all is green everywhere; a report without layers has not passed.
        suite = ElementTree.SubElement(root, "testsuite", name=visible(report.config or "convcheck"))
        _describe(suite, report)
        testcase = ElementTree.SubElement(suite, "testcase", classname="convcheck", name="layers")
        ElementTree.SubElement(testcase, "failure", message=NO_LAYER, type="failed").text = NO_LAYER
    for element in (root, *root):
        for count, kind in (
            ("tests", "testcase"),
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            element.set(count, str(sum(1 for _ in element.iter(kind))))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _describe(suite: ElementTree.Element, report: ReportData) -> None:
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("checked", report.checked), ("common", report.common)):
        if value is not None:
            ElementTree.SubElement(properties, "property", name=name, value=visible(value))


def _testcase(case: Case) -> ElementTree.Element:
    testcase = ElementTree.Element("testcase", classname=visible(case.layer.name), name=case.name)
    if case.layer.config is not None and case.layer.line is not None:
        testcase.set("file", visible(case.layer.config))
        testcase.set("line", str(case.layer.line))
    element = _ELEMENTS.get(case.status)
    if element == "skipped":
        ElementTree.SubElement(testcase, element, message=visible(case.summary))
    elif element is not None:
        outcome = ElementTree.SubElement(testcase, element, message=visible(case.summary))
        outcome.set("type", case.status)
        outcome.text = visible(case.text)
    passed = [_passed_line(result) for result in case.results if result.passed]
    if passed:
        ElementTree.SubElement(testcase, "system-out").text = visible("\n".join(passed))
    return testcase


def _passed_line(result: GradientResult) -> str:
    start = f"{result.implementation}, {result.kind}"
    if result.false_pass_probability is not None:
        odds = at_most(result.false_pass_probability)
        return f"{start}: passed; a wrong gradient passes with probability at most {odds}"
    [error], allowed = compact_against([result.max_abs_error], result.allowed_error)
    return f"{start}: error {error}, allowed {allowed}"
