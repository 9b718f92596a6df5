"""A report as blocks: one per mistake, with everything that it holds for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convcheck.layer.layer import Layer
from convcheck.reports.blocks import blocks_of
from convcheck.reports.cases import compact_report
from convcheck.reports.formats import FORMATS, render
from convcheck.reports.report import Report
from convcheck.reports.results import Diagnosis, GradientResult
from tests.reports import TARGET, UNFLIPPED, failing, layer_report, passing, report_of, skipped

AVERAGED = Diagnosis("C03", "batch-averaged", "It is divided by the batch.", "Sum.")
PARTLY = Diagnosis("C90", "partly-right", "It is wrong only row 1.", "Look at that part.")

GRADIENTS = ("input", "weight", "bias")


def layer(name, stride=1, bias=True, size=9):
    return Layer(name=name, channels=3, filters=4, kernel=3, stride=stride, bias=bias, input=[size, size])


def checked(one, *wrong):
    """A layer of which all gradients are right but those of the wrong results."""
    spoiled = {result.gradient for result in wrong}
    right = [passing(one, TARGET, g, "exact") for g in GRADIENTS if g not in spoiled and (one.bias or g != "bias")]
    return layer_report(one, (*right, *wrong))


def wrong(one, gradient="input", diagnosis=(UNFLIPPED,), **changes):
    return replace(failing(one, TARGET, gradient), diagnosis=diagnosis, **changes)


def report_on(*layers):
    return report_of(*layers, target=TARGET)


def details(block, label):
    return [text for key, text in block.finding.details if key == label]


def six(stride=2):
    """A mistake on six layers, and two that are right."""
    failed = [layer(f"conv{n}", stride, size=9 + 2 * n) for n in range(6)]
    return report_on(*(checked(one, wrong(one)) for one in failed), checked(layer("a")), checked(layer("b")))


def test_one_mistake_is_one_block_with_its_layers():
    [block] = blocks_of(six())
    assert [one.name for one in block.layers] == [f"conv{n}" for n in range(6)]
    assert block.finding.names == ("6 layers", "input dL/dX", "exact", TARGET)
    assert details(block, "diagnosis") == ["kernel-not-flipped: grad_input uses the kernel unrotated."]
    assert details(block, "layers") == ["conv0, conv1, conv2, conv3, conv4, conv5"]


def test_two_mistakes_are_two_blocks_in_the_order_of_the_catalogue():
    one, two = layer("one"), layer("two")
    found = blocks_of(report_on(checked(one, wrong(one, "weight", (AVERAGED,))), checked(two, wrong(two))))
    assert [details(block, "diagnosis")[0].split(":")[0] for block in found] == ["kernel-not-flipped", "batch-averaged"]


def test_what_has_a_name_comes_before_what_has_none_and_failures_before_errors():
    one = layer("one")
    results = (
        GradientResult(TARGET, "output", "forward", "error", 8, message="it raised"),
        wrong(one, "bias", ()),
        wrong(one, "weight", (PARTLY,)),
        wrong(one, "input"),
        skipped(one, TARGET, "input", "central", "no time"),
    )
    found = blocks_of(report_on(layer_report(one, results)))
    assert [block.finding.names[1] for block in found] == [
        "input dL/dX", "weight dL/dW", "bias dL/db", "output O", "input dL/dX",
    ]  # fmt: skip
    assert [block.bad for block in found] == [True, True, True, True, False]


def test_the_smallest_layer_in_whole_numbers_is_shown():
    large, small, smaller = layer("large", size=33), layer("small", size=7), layer("smaller", size=5)
    real = replace(wrong(smaller), check="central", on_integers=False)
    places = [checked(large, wrong(large, on_integers=True)), checked(small, wrong(small, on_integers=True))]
    [block] = blocks_of(report_on(*places, checked(smaller, real)))
    assert details(block, "shown on") == ["small, input dL/dX, exact"]
    assert dict(block.finding.commands)["explain"].split()[3:5] == ["--layer", "small"]


def test_of_a_gradient_wrong_on_real_and_on_whole_numbers_the_latter_is_told():
    one = layer("one")
    [block] = blocks_of(report_on(checked(one, replace(wrong(one), check="central"), wrong(one))))
    assert block.finding.names == ("one", "input dL/dX", "exact", TARGET)


def test_gradients_that_are_not_concerned_on_all_layers_are_named():
    layers = [layer(name, bias=name != "c") for name in "abc"]
    both = [checked(one, wrong(one, "weight", (AVERAGED,)), wrong(one, "bias", (AVERAGED,))) for one in layers[:2]]
    without = checked(layers[2], wrong(layers[2], "weight", (AVERAGED,)))
    [block] = blocks_of(report_on(*both, without))
    assert block.finding.names[:2] == ("a, b, c", "weight dL/dW, bias dL/db")
    assert details(block, "layers") == []
    only_weight = checked(layers[1], wrong(layers[1], "weight", (AVERAGED,)))
    [block] = blocks_of(report_on(both[0], only_weight, without))
    assert details(block, "layers") == ["bias dL/db not on b"]


def test_other_places_are_told_only_where_they_differ():
    layers = [layer(name) for name in "abcdefgh"]
    elsewhere = replace(PARTLY, explanation="It is wrong only row 2.")
    results = [wrong(one, diagnosis=(PARTLY if one.name < "g" else elsewhere,)) for one in layers]
    [block] = blocks_of(report_on(*map(checked, layers, results)))
    assert details(block, "others") == ["g, h: It is wrong only row 2."]
    different = [replace(PARTLY, explanation=f"Row {number}.") for number in range(8)]
    results = [wrong(one, diagnosis=(each,)) for one, each in zip(layers, different, strict=True)]
    [block] = blocks_of(report_on(*map(checked, layers, results)))
    assert details(block, "others")[0].splitlines() == [*(f"{'abcde'[n]}: Row {n}." for n in range(1, 5)), "and 3 more"]


def test_unnamed_failures_of_one_gradient_are_one_block():
    layers = [layer(name) for name in "abc"]
    places = ["everywhere", "everywhere; as far as seen", "only row 1 of 0..8"]
    results = [wrong(one, diagnosis=(), message=place) for one, place in zip(layers, places, strict=True)]
    [block] = blocks_of(report_on(*map(checked, layers, results)))
    assert details(block, "others") == ["c: only row 1 of 0..8"]


def test_reasons_that_differ_in_their_numbers_are_one_block():
    def shaped(one, shape):
        message = f"grad_bias has shape {shape}; expected ({shape[-1]},)"
        return checked(one, wrong(one, "bias", (), message=message, entries_checked=0, worst=None))

    one, two = layer("one"), layer("two")
    [block] = blocks_of(report_on(shaped(one, (1, 3)), shaped(two, (1, 4, 1))))
    assert details(block, "reason") == ["grad_bias has shape (1, 3); expected (3,)"]
    assert dict(block.finding.commands).keys() == {"reproduce"}


def test_one_traceback_for_all_layers_on_which_the_same_line_raised():
    def raised(name, numbers):
        frames = (
            'Traceback (most recent call last):\n  File "mine.py", line 7, in backward\n    return x.reshape(-1, 3)'
        )
        message = f"{frames}\nValueError: cannot reshape array of size {numbers} into shape (3,)"
        found = tuple(GradientResult(TARGET, g, "exact", "error", 8, message=message) for g in GRADIENTS)
        return layer_report(layer(name), found)

    [block] = blocks_of(report_on(raised("one", 10), raised("two", 11)))
    assert block.finding.traceback is not None
    assert block.finding.traceback.count("\n") == 3
    assert details(block, "reason") == ["ValueError: cannot reshape array of size 10 into shape (3,)"]
    assert details(block, "others") == ["two: ValueError: cannot reshape array of size 11 into shape (3,)"]


def test_a_crash_with_a_name_comes_before_one_without_and_has_something_in_common_too():
    cause = Diagnosis("CC921", "crash-empty-slice", "The slice is empty.", "Slice to the end.")

    def raised(one, message, *diagnosis):
        return checked(one, GradientResult(TARGET, "input", "exact", "error", 8, message=message, diagnosis=diagnosis))

    strided = [raised(layer(name, 2), "IndexError: 0", cause) for name in "ab"]
    others = [raised(layer("c", size=7), "KeyError: 1"), raised(layer("d", size=8), "KeyError: 2")]
    named, unnamed = blocks_of(report_on(*others, *strided, checked(layer("e"))))
    assert details(named, "diagnosis") == ["crash-empty-slice: The slice is empty."]
    assert details(named, "in common") == ["both wrong layers have a stride above 1; the only right one does not"]
    assert details(unnamed, "reason") == ["KeyError: 1"]
    assert details(unnamed, "diagnosis") == []


def test_what_layers_have_in_common():
    assert six().common == "all 6 failing layers have a stride above 1; the 2 passing ones do not"
    assert six(stride=1).common is None


def test_each_of_two_mistakes_has_something_else_in_common():
    strided, plain = [layer(f"s{n}", 2) for n in range(3)], [layer(f"p{n}") for n in range(3)]
    averaged = [wrong(one, "weight", (AVERAGED,)) for one in (*strided, *plain)]
    places = [checked(one, wrong(one), each) for one, each in zip(strided, averaged[:3], strict=True)]
    report = report_on(*places, *(checked(one, each) for one, each in zip(plain, averaged[3:], strict=True)))
    unflipped, everywhere = blocks_of(report)
    assert report.common is None
    assert details(unflipped, "in common") == ["all 3 wrong layers have a stride above 1; the 3 right ones do not"]
    assert details(everywhere, "in common") == []


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_says_what_layers_have_in_common(format_):
    said = "all 6 failing layers have a stride above 1"
    assert said in " ".join(render(six(), format_).split())
    assert said not in " ".join(render(six(stride=1), format_).split())


def test_so_do_notebooks_and_pytest():
    for written in (Report._repr_html_, compact_report):
        assert "all 6 failing layers have a stride above 1" in written(six())
        assert written(six()).count("kernel-not-flipped") == 1


def test_one_mistake_on_six_layers_takes_less_than_a_screen_and_a_half():
    text = render(six(), "table", width=80)
    assert text.count("kernel-not-flipped") == 1
    assert len(text.splitlines()) < 75
    # Each layer is there, with its row, and one of them at length.
    assert sum(line.startswith("FAIL  conv") for line in text.splitlines()) == 6
    assert text.count("input dL/dX ") == 7 + 2


def test_a_message_for_pytest_counts_what_is_too_much():
    one = layer("one")
    several = [wrong(one, diagnosis=(replace(UNFLIPPED, name=f"name-{n}"),)) for n in range(7)]
    assert compact_report(report_on(checked(one, *several))).endswith("and 2 more findings")
