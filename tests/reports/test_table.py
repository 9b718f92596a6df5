import re
from dataclasses import replace
from math import inf, nan

import pytest

from convcheck.reports.formats.table import render
from convcheck.reports.report import Report
from convcheck.reports.results import GradientResult, Worst
from tests.reports import (
    CONV,
    FORMULATIONS,
    TARGET,
    VIDEO,
    entries_of,
    failed_report,
    failing,
    layer_report,
    long_report,
    many_situations,
    named,
    passed_report,
    passing,
    report_of,
    results,
    skipped,
)

WIDTHS = (60, 80, 120, 200)


def lines(report: Report, width: int = 120) -> list[str]:
    return render(report, width=width).splitlines()


def row(report: Report, start: str, width: int = 120) -> str:
    """The only line that starts so, with single spaces."""
    [line] = [line for line in lines(report, width) if line.strip().startswith(start)]
    return " ".join(line.split())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("report", many_situations())
def test_no_number_is_cut_or_broken(report, width):
    text = render(report, width=width)
    words = {word.rstrip(",;") for word in text.split()}
    assert "…" not in text
    for layer in report.layers:
        for result in layer.results:
            if len(report.layers) < 9:  # longer reports add up the entries of a layer's gradients
                assert f"{result.entries:,}" in words
            if result.status in ("passed", "failed"):
                assert f"{result.max_abs_error:.2g}" in words
                assert f"{result.allowed_error:.2g}" in words


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("report", many_situations())
def test_lines_keep_to_the_width(report, width):
    # Commands stay on one line, so that they can be copied.
    kept = [line for line in lines(report, width) if not line.lstrip().startswith(("reproduce", "explain", "picture"))]
    # A wide character takes two columns.
    assert max(len(line) + sum(ord(character) > 0x3000 for character in line) for line in kept) <= width


@pytest.mark.parametrize("width", [80, 120, 200])
def test_three_formulations_stand_side_by_side(width):
    cells = row(report_of(layer_report(CONV)), "input dL/dX", width)
    assert cells == "input dL/dX central 660 1.2e-15 1.2e-15 1.2e-15 3.2e-16 4.3e-13 PASS"


def test_a_narrow_screen_gets_sentences():
    text = " ".join(render(report_of(layer_report(CONV)), width=60).split())
    assert (
        "PASS input dL/dX, central: 660 entries; error index_sum 1.2e-15, dilate_flip 1.2e-15, unfold 1.2e-15; "
        "relative 3.2e-16; allowed 4.3e-13" in text
    )


def test_a_layer_shows_its_geometry():
    text = render(report_of(layer_report(CONV)), width=200)
    assert (
        "conv1 · 3 channels → 8 filters · kernel 3×5 · stride 2×1 · padding (1,1)×(0,2) · 10×11 in, 5×9 out · batch 2 "
        "· float64" in text
    )
    assert "dL/dO dilated to 9×9 · full padding (1,2)×(4,2) · remainder 1×0" in text


def test_geometry_names_what_is_not_the_default():
    text = render(report_of(layer_report(VIDEO)), width=200)
    assert "kernel 3×3×3 · dilation 2×2×2 · groups 32 · no bias" in text
    assert "stride" not in text
    assert "·  padding" not in text


def test_implementations_share_a_row_only_if_one_allowed_error_explains_all_verdicts():
    near = passing(CONV, "index_sum", "input", "central")
    far = replace(near, implementation="unfold", max_abs_error=5e-13, allowed_error=6e-13)
    central = [" ".join(line.split()) for line in lines(report_of(layer_report(CONV, (near, far)))) if " 660 " in line]
    assert central == [
        "input dL/dX central 660 1.2e-15 3.2e-16 4.3e-13 PASS",
        "central 660 5e-13 3.2e-16 6e-13 PASS",
    ]


def test_the_shown_error_and_allowance_agree_with_the_verdict():
    wrong = replace(failing(CONV, TARGET, "input", "central"), max_abs_error=1.2345e-13, allowed_error=1.2341e-13)
    cells = row(report_of(layer_report(CONV, (wrong,)), target=TARGET), "input dL/dX")
    assert cells == "input dL/dX central 660 1.2345e-13 0.5 1.2341e-13 FAIL"


def test_a_failure_shows_all_there_is_to_know():
    text = render(failed_report(), width=200)
    block = text[text.index("FAIL  conv1 · input dL/dX · exact · my_layers.py:MyConv") :]
    expected = [
        "diagnosis  kernel-not-flipped: grad_input uses the kernel unrotated.",
        "fix        Rotate it by 180 degrees.",
        "config     suite.yaml:6",
        "worst      [0, 1, 2, 2]: the backward pass gives 1, the forward pass implies 3",
        "error      2 (relative 0.5), allowed 0",
        "differ     54 of 660 entries",
        "where      only rows 6, 7, 8 of 0..8",
        "reproduce  convcheck verify suite.yaml --target my_layers.py:MyConv -k '\"conv1\"' --check exact --seed 0",
        "explain    convcheck explain suite.yaml --layer conv1 --entry 'input[0,1,2,2]' --target my_layers.py:MyConv "
        "--seed 0",
        "picture    convcheck visualize suite.yaml --layer conv1 --target my_layers.py:MyConv --seed 0",
    ]
    assert [line.strip() for line in block.splitlines()[1:11]] == expected


def test_a_failed_forward_pass_is_compared_with_the_definition():
    text = render(failed_report(failing(CONV, TARGET, "output", "forward")), width=200)
    assert "[0, 1, 2, 2]: the forward pass gives 1, the definition 3" in text


def test_a_failed_projection_speaks_of_sums():
    wrong = replace(failing(CONV, TARGET, "input", "projected"), worst=Worst((), 12.0, 7.5), mismatches=2)
    text = render(failed_report(wrong), width=200)
    assert "sum: the backward pass gives 12, the forward pass implies 7.5" in text
    assert "the sum of all 660 entries, weighted by 2 random directions" in text


@pytest.mark.parametrize(("value", "word"), [(nan, "nan"), (inf, "inf"), (-inf, "-inf")])
def test_what_is_not_finite_is_named(value, word):
    wrong = replace(
        failing(CONV, TARGET, "input"), max_abs_error=value, max_rel_error=value, worst=Worst((0, 0, 0, 0), value, 1.0)
    )
    report = failed_report(wrong)
    assert f"exact 660 {word} {word} 0 FAIL" in [" ".join(line.split()) for line in lines(report)]
    assert f"the backward pass gives {word}," in render(report, width=200)


@pytest.mark.parametrize(
    ("analytic", "numeric", "shown"),
    [
        (123456789012.0, 123456789013.0, "gives 123456789012, the forward pass implies 123456789013"),
        (1 / 3, 2 / 3, "gives 0.333, the forward pass implies 0.667"),
        (0.1 + 0.2, -1e300, "gives 0.3, the forward pass implies -1e+300"),
        (1.0, 1.0 + 2.0**-52, "gives 1, the forward pass implies 1.0000000000000002"),
        (3.1066805, 3.1066802, "gives 3.1066805, the forward pass implies 3.1066802"),
    ],
)
def test_a_worst_entry_is_told_in_the_digits_that_matter(analytic, numeric, shown):
    wrong = replace(failing(CONV, TARGET, "input"), worst=Worst((123456, 1, 2, 987654321), analytic, numeric))
    text = " ".join(render(failed_report(wrong), width=60).split())
    assert f"[123456, 1, 2, 987654321]: the backward pass {shown}" in text


def test_errors_are_told_in_few_digits_and_whole_ones_whole():
    wrong = replace(failing(CONV, TARGET, "input"), max_abs_error=1234567.0, max_rel_error=1.2962962962962963)
    assert "error      1234567 (relative 1.3), allowed 0" in render(failed_report(wrong))
    near = replace(failing(CONV, TARGET, "input", "central"), max_abs_error=1.2345e-13, allowed_error=1.2341e-13)
    assert "error      1.2345e-13 (relative 0.5), allowed 1.2341e-13" in render(failed_report(near))


def test_equal_reasons_are_told_once():
    reason = "too large for the work budget"
    found = [
        layer_report(
            layer, (*results(layer), *(skipped(layer, name, "input", "central", reason) for name in ("a", "b")))
        )
        for layer in map(named, ["one", "two", "three", "four", "five", "six"])
    ]
    text = render(report_of(*found), width=200)
    assert text.count(reason) == 1
    assert "SKIP  one, two, three, four and 2 more layers · input dL/dX · central · a, b" in text


def test_an_inconclusive_check_shows_its_reason_and_how_to_see_it_again():
    result = GradientResult("unfold", "bias", "exact", "inconclusive", 8, message="the forward pass differs")
    report = report_of(layer_report(CONV, (*results(CONV), result)))
    text = render(report, width=200)
    assert "INCONCLUSIVE  conv1 · bias dL/db · exact · unfold\n  reason     the forward pass differs\n" in text
    assert "--formulation unfold -k '\"conv1\"' --check exact" in text
    assert text.startswith(("Errors", "FAIL"))
    assert "FAILED  1 of 1 layer of suite.yaml" in text


def test_a_layer_of_which_nothing_was_checked_says_so():
    found = tuple(skipped(CONV, "unfold", gradient, "exact", "no time") for gradient in ("input", "weight", "bias"))
    text = render(report_of(layer_report(CONV, found)))
    assert "FAIL  conv1\n  reason     no gradient was checked, so the layer has not passed" in text


def test_the_message_of_an_error_keeps_its_lines_but_not_its_control_characters():
    message = "Traceback\n  File \x1b[31mred\x07"
    result = GradientResult(TARGET, "input", "exact", "error", 8, message=message)
    text = render(report_of(layer_report(CONV, (result,)), target=TARGET))
    assert "reason     Traceback\n  traceback\n    Traceback\n      File \\x1b[31mred\\x07\n" in text


def test_a_traceback_is_neither_folded_nor_squeezed_and_its_last_line_comes_first():
    code = "        return numpy.einsum('ncij,nfij->fc', " + "x, " * 40 + "grad_output)"
    message = f'Traceback (most recent call last):\n  File "mine.py", line 7, in backward\n{code}\nValueError: too few'
    result = GradientResult(TARGET, "input", "exact", "error", 8, message=message)
    text = render(report_of(layer_report(CONV, (result,)), target=TARGET), width=60)
    assert "  reason     ValueError: too few\n" in text
    assert "".join(f"    {line}\n" for line in message.splitlines()) in text


def test_an_exception_with_words_in_front_is_told_with_them():
    message = (
        'a second backward pass fails:\nTraceback (most recent call last):\n  File "a.py", line 1\nKeyError: 0\nwhy'
    )
    result = GradientResult(TARGET, "input", "exact", "error", 8, message=message)
    text = render(report_of(layer_report(CONV, (result,)), target=TARGET))
    assert "  reason     a second backward pass fails: KeyError: 0\n" in text


@pytest.mark.parametrize("name", ["[bold]x[/bold]", "[/]", "[link=a]b", ":smile:", "a[0]"])
def test_markup_in_names_is_text(name):
    layer = named(name)
    found = (*results(layer, (name,)), failing(layer, f"{name}.py:[red]F", "input"))
    text = render(report_of(layer_report(layer, found)), width=200)
    assert f"FAIL  {name} · 64 channels" in text
    assert f"FAIL  {name} · input dL/dX · exact · {name}.py:[red]F" in text


def test_many_passed_layers_take_few_lines_each():
    text = lines(long_report(), 80)
    assert len(text) < 53 * 6 + 15
    assert sum(line.startswith("PASS  layer") for line in text) == 53
    assert text.count(next(line for line in text if line.startswith("  gradient"))) == 1


def test_a_failed_layer_among_many_is_shown_at_length():
    report = long_report()
    layer = report.layers[30]
    wrong = replace(layer, results=(*layer.results, failing(layer.layer, "extra", "input")))
    layers = (*report.layers[:30], wrong, *report.layers[31:])
    text = render(replace(report, layers=layers), width=120)
    block = text[text.index("FAIL  layer7.2.conv1") :]
    assert re.search(r"\n  weight dL/dW +central +147,456 .* PASS\n +exact +147,456 ", block)
    assert "FAILED  1 of 53 layers of suite.yaml" in text


def test_totals():
    found = (*results(CONV), *(passing(VIDEO, name, "input", "projected") for name in FORMULATIONS))
    report = report_of(layer_report(CONV), layer_report(VIDEO, found[-3:]), max_error=1e-9)
    gradients = sum(entries_of(CONV, gradient) for gradient in ("input", "weight", "bias"))
    exactly = 3 * (gradients + entries_of(CONV, "output"))
    totals = "\n".join(lines(report)[-8:])
    assert totals == (
        "PASSED  2 layers of suite.yaml\n"
        "  gradients    4 passed\n"
        f"  compared     {exactly:,} entries exactly, {3 * gradients:,} entries within the gate\n"
        f"  projected    1 gradient of {entries_of(VIDEO, 'input'):,} entries; a wrong one passes with probability at "
        "most 5e-10\n"
        "  checked      convcheck's own formulations; no code of yours\n"
        "  gate         relative error at most 1e-09\n"
        f"  evaluations  {27 * (3 * 7 + 3)} of the forward pass\n"
        "  time         0.4 s"
    )


def test_a_report_without_layers_has_failed():
    assert "FAILED  no layer was verified" in render(report_of())


def test_colour_only_if_asked_and_never_alone(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    plain = render(failed_report())
    assert "\x1b" not in plain
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    colored = render(failed_report(), color=True)
    assert "\x1b[1;31mFAIL" in colored
    bare = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert [line.rstrip() for line in bare.splitlines()] == plain.splitlines()


def test_the_environment_does_not_change_the_width(monkeypatch):
    before = render(passed_report())
    monkeypatch.setenv("COLUMNS", "200")
    assert render(passed_report()) == before == str(passed_report())


def test_no_line_ends_in_spaces():
    assert not [line for line in lines(failed_report()) if line != line.rstrip()]


@pytest.mark.parametrize("length", range(40, 80))
def test_no_line_that_comes_about_is_a_command_to_a_ci_system(length):
    result = replace(failing(CONV, TARGET, "input"), message="a" * length + "::error title=x::forged")
    text = render(report_of(layer_report(CONV, (result,))), width=80)
    assert "forged" in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
