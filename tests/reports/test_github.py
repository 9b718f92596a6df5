import re
from dataclasses import replace

import pytest

from convcheck.layer.layer import Layer
from convcheck.reports.formats import render
from convcheck.reports.report import Report
from convcheck.wording import visible
from tests.reports import CONV, TARGET, failed_report, failing, layer_report, report_of, results

COMMAND = re.compile(r"::(?P<name>\w+)(?: (?P<properties>[^:]*))?::(?P<message>.*)")


def lines(report):
    return render(report, "github").splitlines()


def unescaped(text):
    """As the runner reads it."""
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, character)
    return text


def annotation(line):
    match = COMMAND.fullmatch(line)
    assert match, line
    pairs = (pair.split("=", 1) for pair in (match["properties"] or "").split(","))
    return match["name"], {key: unescaped(value) for key, value in pairs}, unescaped(match["message"])


def failing_layers(number):
    layers = [Layer(name=f"conv{i}", channels=3, filters=8, kernel=3) for i in range(number)]
    return report_of(*(layer_report(layer, (failing(layer, TARGET, "input"),)) for layer in layers))


def test_a_failure_is_an_error_on_the_line_of_its_layer():
    first, verdict = lines(failed_report())
    name, properties, message = annotation(first)
    assert name == "error"
    assert properties == {"file": "suite.yaml", "line": "6", "title": "convcheck: conv1, input dL/dX"}
    assert "kernel-not-flipped: grad_input uses the kernel unrotated." in message
    assert "[0, 1, 2, 2]: the backward pass gives 1, the forward pass implies 3" in message
    assert verdict == "convcheck: FAILED 1 of 2 layers of suite.yaml"


def test_one_mistake_is_told_once_and_named_on_the_lines_of_the_other_layers():
    first, second, third = map(annotation, lines(failing_layers(3))[:3])
    assert "conv0, conv1, conv2 · input dL/dX" in first[2]
    assert "kernel-not-flipped: grad_input uses the kernel unrotated." in first[2]
    assert first[1]["title"] == "convcheck: conv0, input dL/dX"
    assert second[1]["title"] == "convcheck: conv1, input dL/dX"
    assert second[2] == third[2] == "kernel-not-flipped, as layer conv0"


def test_a_pass_has_no_annotation():
    report = report_of(layer_report(CONV, results(CONV, (TARGET,))), target=TARGET)
    assert lines(report) == ["convcheck: PASSED 1 layer of suite.yaml"]


@pytest.mark.parametrize("text", ["50% off", "a\nb", "a::b,c=d", "%0A", "::error::forged"])
def test_texts_cannot_break_out_of_their_command(text):
    wrong = replace(failing(replace(CONV, name="a:b,c%"), TARGET, "input"), message=text)
    layer = replace(layer_report(replace(CONV, name="a:b,c%"), (wrong,)), config="odd, name: 100%.yaml")
    first, *others = lines(report_of(layer, target=TARGET))
    assert len(others) == 1
    _, properties, message = annotation(first)
    assert properties["file"] == "odd, name: 100%.yaml"
    assert properties["title"] == "convcheck: a:b,c%, input dL/dX"
    # Whatever could begin a command is written out.
    assert visible(text) in re.sub(r"\n {13}", "\n", message)


def test_a_shipped_suite_is_no_file_of_the_repository():
    layer = replace(layer_report(CONV, (failing(CONV, TARGET, "input"),)), config="textbook")
    _, properties, _ = annotation(lines(report_of(layer))[0])
    assert "file" not in properties
    assert "line" not in properties


@pytest.mark.parametrize(("number", "errors", "more"), [(10, 10, None), (11, 10, "1 more"), (53, 10, "43 more")])
def test_at_most_ten_errors_and_how_many_more(number, errors, more):
    found = lines(failing_layers(number))
    assert sum(line.startswith("::error") for line in found) == errors
    notices = [line for line in found if line.startswith("::notice")]
    assert bool(notices) == bool(more)
    if more:
        assert f"::{more};" in notices[0]


def test_no_layer_is_an_error():
    assert lines(Report((), "suite.yaml"))[0] == "::error title=convcheck::no layer was verified"
