from dataclasses import replace

from convcheck.reports.formats import render
from convcheck.reports.report import Report
from tests.reports import (
    CONV,
    TARGET,
    UNFLIPPED,
    failed_report,
    failing,
    layer_report,
    long_report,
    passed_report,
    report_of,
)


def markdown(report):
    return render(report, "markdown")


def test_the_heading_is_the_verdict():
    assert markdown(passed_report()).startswith("## ✅ convcheck PASSED: 2 layers of suite.yaml\n")
    assert markdown(failed_report()).startswith("## ❌ convcheck FAILED: 1 of 2 layers of suite.yaml\n")
    assert markdown(Report((), "")).startswith("## ❌ convcheck FAILED: no layer was verified\n")


def test_a_failure_is_a_row_and_its_details_are_folded():
    text = markdown(failed_report())
    assert (
        "| `conv1` | input dL/dX | FAIL | wrong in 54 of 660 entries (exact check); kernel-not-flipped: "
        "grad\\_input uses the kernel unrotated. |"
    ) in text
    assert "<details><summary>conv1: input dL/dX</summary>" in text
    assert "reproduce  convcheck verify suite.yaml" in text
    assert "1 layer passed: `video`" in text
    assert "- target: `my_layers.py:MyConv`" in text


def test_many_passed_layers_are_folded():
    text = markdown(long_report())
    assert "<details><summary>53 layers passed</summary>" in text


def test_texts_cannot_break_the_table():
    layer = replace(CONV, name="a|b`c`")
    wrong = replace(failing(layer, TARGET, "input"), diagnosis=(), message="```\n</details>\n```")
    text = markdown(report_of(layer_report(layer, (wrong,))))
    [row] = [line for line in text.splitlines() if line.startswith("| ``")]
    assert row.startswith("| `` a\\|b`c` `` | input dL/dX | FAIL |")
    # The block of code is closed by a longer fence than any that is in it.
    assert text.count("````") == 2


def test_a_summary_does_not_grow_without_bound():
    layers = [replace(CONV, name=f"conv{i}") for i in range(100)]
    wrong = [
        replace(
            failing(layer, TARGET, "input"),
            message="x" * 5000,
            diagnosis=(replace(UNFLIPPED, name=f"name-{layer.name}"),),
        )
        for layer in layers
    ]
    text = markdown(report_of(*(layer_report(layer, (r,)) for layer, r in zip(layers, wrong, strict=True))))
    assert len(text) < 2**18
    assert "80 more findings without details here." in text


def test_one_mistake_on_many_layers_is_one_row():
    layers = [replace(CONV, name=f"conv{i}") for i in range(9)]
    text = markdown(report_of(*(layer_report(layer, (failing(layer, TARGET, "input"),)) for layer in layers)))
    [row] = [line for line in text.splitlines() if "kernel-not-flipped" in line and line.startswith("|")]
    assert row.startswith("| `conv0`, `conv1`, `conv2`, `conv3` and 5 more layers | input dL/dX | FAIL | on `conv0`: ")
    assert text.count("<details>") == 1
