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
    suites = [_suite(config, list(cases)) for config, cases in groupby(cases_of(report), lambda c: c.layer.config)]
    root.extend(suites or [_empty_suite(report)])
    for kind in ("tests", "failures", "errors", "skipped"):
        root.set(kind, str(sum(int(suite.get(kind, "0")) for suite in root)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(config: str | None, cases: list[Case]) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=visible(config or "convcheck"))
    suite.extend(_testcase(case) for case in cases)
    _count(suite)
    return suite


def _empty_suite(report: ReportData) -> ElementTree.Element:
    # Nothing but passes and no test at all is green everywhere; a report without layers has not passed.
    suite = ElementTree.Element("testsuite", name=visible(report.config or "convcheck"))
    testcase = ElementTree.SubElement(suite, "testcase", classname="convcheck", name="layers")
    ElementTree.SubElement(testcase, "failure", message=NO_LAYER, type="failed").text = NO_LAYER
    _count(suite)
    return suite


def _count(suite: ElementTree.Element) -> None:
    suite.set("tests", str(len(suite)))
    for kind, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(kind, str(sum(testcase.find(element) is not None for testcase in suite)))


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
    if result.false_pass_probability is not None:
        odds = at_most(result.false_pass_probability)
        return (
            f"{result.implementation}, {result.check}: passed; a wrong gradient passes with probability at most {odds}"
        )
    [error], allowed = compact_against([result.max_abs_error], result.allowed_error)
    return f"{result.implementation}, {result.check}: error {error}, allowed {allowed}"
