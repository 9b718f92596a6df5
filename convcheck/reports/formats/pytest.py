"""The report as tests for pytest, one for the smallest case of each failure; they pass once the code is mended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, count, pairwise
from typing import Any

from convcheck.errors import UsageError
from convcheck.layer.fields import written
from convcheck.reports.blocks import told
from convcheck.reports.results import LayerReport, ReportData
from convcheck.reports.summary import some_layers
from convcheck.wording import one_line

ENDINGS = (".py",)

_HEAD = '''\
"""Cases on which the code under test failed, as small as convcheck {version} found them; they pass once it is mended.

Paths are relative to the folder in which pytest runs.
"""

'''

#: Options of the report that a test needs too: the argument of `verify`, and whether it is a text.
_OPTIONS = {
    "--target": ("target", True),
    "--device": ("device", True),
    "--max-error": ("max_error", False),
    "--timeout": ("timeout", False),
}


def render(report: ReportData) -> str:
    """Write a report as a file of tests.

    One per distinct smallest case, and one per failed layer of which none is known; none where all passed.

    Raises
    ------
    UsageError
        If the code under test was given as an object, which a file cannot name.
    """
    cases: dict[str, list[LayerReport]] = {}
    for layer in report.layers:
        if not all(result.acceptable for result in layer.results):
            # Layers that differ in name alone are one case.
            cases.setdefault(repr({**_spec(layer), "name": ""}), []).append(layer)
    tests: dict[str, str] = {}
    for layers in cases.values():
        name = _name(layers[0])
        free = next(free for free in chain([name], (f"{name}_{n}" for n in count(2))) if free not in tests)
        tests[free] = "\n".join(_test(report, layers, free))
    said = [report.common, None if report.checked == report.target else f"checked: {report.checked}"]
    head = _HEAD.format(version=report.convcheck_version)
    head += "".join(f"# {one_line(text)}\n" for text in said if text)
    if not tests:
        return head + "# Nothing failed, so there is nothing to test.\n"
    by_suite = any(_by_suite(report, layers[0]) for layers in cases.values())
    imports = f"{'from dataclasses import replace' * by_suite}\n\nimport convcheck\n".lstrip()
    return head + imports + "".join(f"\n\n{test}\n" for test in tests.values())


def _spec(layer: LayerReport) -> dict[str, Any]:
    return layer.spec if layer.smallest is None else layer.smallest.layer


def _by_suite(report: ReportData, layer: LayerReport) -> bool:
    """Whether the code under test is what a config names."""
    named = report.as_object or "--target" in report.options
    return report.target is not None and not named and layer.line is not None


def _test(report: ReportData, layers: list[LayerReport], name: str) -> Iterator[str]:
    layer = layers[0]
    case = layer.smallest
    yield f"def {name}():"
    yield f"    # Found on {one_line(some_layers([layer.name for layer in layers]))}."
    if case is not None:
        yield from (f"    # {one_line(line)}" for line in (case.what, case.note) if line)
        if case.condition is not None:
            yield f"    # Only under the condition {case.condition}."
    fields = ", ".join(f"{field}={value!r}" for field, value in written(_spec(layer)).items())
    yield f"    layer = convcheck.Layer({fields})"
    options = dict(pairwise(report.options))
    subject = "layer"
    if _by_suite(report, layer):
        yield f"    suite = convcheck.load({layer.config!r})"
        subject = "replace(suite, layers=(layer,), lines=(None,))"
    elif report.target is not None and "--target" not in options:
        raise UsageError(
            f"a file of tests cannot name the target {report.target}, which was given as an object; give it as "
            "module:name or path/to/file.py:name"
        )
    given = [
        f"{argument}={options[option]!r}" if text else f"{argument}={options[option]}"
        for option, (argument, text) in _OPTIONS.items()
        if option in options
    ]
    if case is not None and case.along is not None:
        given.append("checks=['double']")
    yield f"    report = convcheck.verify({', '.join([subject, *given, 'shrink=False'])})"
    yield "    assert report.passed, str(report)"


def _name(layer: LayerReport) -> str:
    """Return a test's name: of the mistake and the gradient, or of the layer."""
    case = layer.smallest
    bad = [result for result in told(layer) if case is not None and result.gradient == case.gradient]
    names = [diagnosis.name for result in bad[:1] for diagnosis in result.diagnosis] or [layer.name]
    words = "_".join([*names, *([case.gradient] if case is not None else [])])
    return "test_" + re.sub(r"\W+", "_", words, flags=re.ASCII).strip("_").lower()
