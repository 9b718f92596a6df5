"""The report as tests for pytest, one for the smallest case of each failure; they pass once the code is mended."""

from __future__ import annotations

import re
from collections.abc import Iterator

from convcheck.errors import UsageError
from convcheck.layer.fields import written
from convcheck.reports.blocks import told
from convcheck.reports.results import LayerReport, ReportData
from convcheck.wording import one_line

ENDINGS = (".py",)

_HEAD = '''\
"""Cases on which the code under test failed, as small as convcheck {version} found them; they pass once it is mended.

Paths are relative to the folder in which pytest runs.
"""

'''

#: Options of the report that a test needs too, with the arguments of `verify` that they are.
_NUMBERS = {"--max-error": "max_error", "--timeout": "timeout"}
_TEXTS = {"--device": "device"}


def render(report: ReportData) -> str:
    """Write a report as a file of tests.

    One per distinct smallest case, and one per failed layer of which none is known; none where all passed.

    Raises
    ------
    UsageError
        If the code under test was given as an object, which a file cannot name.
    """
    cases: dict[str, tuple[LayerReport, list[str]]] = {}
    for layer in report.layers:
        if not layer.passed:
            spec = layer.spec if layer.smallest is None else layer.smallest.layer
            # Layers that differ in name alone are one case.
            made = repr({**spec, "name": ""})
            cases.setdefault(made, (layer, []))[1].append(layer.name)
    blocks = [_HEAD.format(version=report.convcheck_version), _imports(report, [layer for layer, _ in cases.values()])]
    names: set[str] = set()
    for layer, others in cases.values():
        name = _name(layer)
        number = next(n for n in range(1, len(names) + 2) if (f"{name}_{n}" if n > 1 else name) not in names)
        names.add(f"{name}_{number}" if number > 1 else name)
        blocks.append("\n\n" + "\n".join(_test(report, layer, others, f"{name}_{number}" if number > 1 else name)))
        blocks.append("\n")
    return "".join(blocks)


def _imports(report: ReportData, layers: list[LayerReport]) -> str:
    if not layers:
        return "# Nothing failed, so there is nothing to test.\n"
    by_suite = any(_by_suite(report, layer) for layer in layers)
    return ("from dataclasses import replace\n\n" if by_suite else "") + "import convcheck\n"


def _by_suite(report: ReportData, layer: LayerReport) -> bool:
    """Whether the code under test is what a config names."""
    return report.target is not None and "--target" not in report.options and layer.config is not None


def _test(report: ReportData, layer: LayerReport, names: list[str], name: str) -> Iterator[str]:
    case = layer.smallest
    spec = layer.spec if case is None else case.layer
    yield f"def {name}():"
    yield f"    # Found on {one_line(', '.join(names))}."
    if case is not None:
        yield from (f"    # {one_line(line)}" for line in (case.what, case.note) if line)
        if case.condition is not None:
            yield f"    # Only under the condition {case.condition}."
    fields = ", ".join(f"{field}={value!r}" for field, value in written(spec).items())
    yield f"    layer = convcheck.Layer({fields})"
    options = dict(zip(report.options, report.options[1:], strict=False))
    if _by_suite(report, layer):
        yield f"    suite = convcheck.load({layer.config!r})"
        subject = "replace(suite, layers=(layer,), lines=(None,))"
        arguments = []
    else:
        if report.target is not None and "--target" not in options:
            raise UsageError(
                f"a file of tests cannot name the target {report.target}, which was given as an object; give it as "
                "module:name or path/to/file.py:name"
            )
        subject = "layer"
        arguments = [f"target={options['--target']!r}"] if "--target" in options else []
    arguments += [f"{argument}={options[option]!r}" for option, argument in _TEXTS.items() if option in options]
    arguments += [f"{argument}={options[option]}" for option, argument in _NUMBERS.items() if option in options]
    yield f"    report = convcheck.verify({', '.join([subject, *arguments, 'shrink=False'])})"
    yield "    assert report.passed, report"


def _name(layer: LayerReport) -> str:
    """Return a test's name: of the mistake and the gradient, or of the layer."""
    case = layer.smallest
    bad = [result for result in told(layer) if case is not None and result.gradient == case.gradient]
    names = [diagnosis.name for result in bad[:1] for diagnosis in result.diagnosis] or [layer.name]
    words = "_".join([*names, *([case.gradient] if case is not None else [])])
    return "test_" + re.sub(r"\W+", "_", words, flags=re.ASCII).strip("_").lower()
