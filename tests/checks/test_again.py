"""Layers that are equal but for their names: code that gives the same again is not differenced again, other code is."""

from collections import Counter
from dataclasses import replace

import pytest

from convcheck import Layer, Suite, verify
from convcheck.checks import again
from convcheck.checks.pools import Here
from convcheck.checks.running import run
from convcheck.reports.formats import table
from tests.jobs import Recorder, jobs
from tests.targets_for_tests import Right, Unflipped

NUMERIC = ("forward", "central", "exact")

FIRST = Layer(2, 3, (2, 3), stride=(2, 1), padding=1, input=(5, 6), name="first")
OTHER = replace(FIRST, seed=1, name="other")
LAYERS = [FIRST, OTHER, *(replace(FIRST, name=name) for name in ("second", "third"))]


@pytest.fixture(autouse=True)
def _all_are_costly(monkeypatch):
    monkeypatch.setattr(again, "_COSTLY", 1.0)


def verified(target, layers=LAYERS, **options):
    options = {"checks": NUMERIC, "complete": True, "shrink": False} | options
    return verify(layers, target=target, **options)


def alone(target, layer, **options):
    (found,) = verified(target, [layer], **options).layers
    return found


def differences(report):
    return {r.gradient for r in report.results if r.check in ("central", "exact") and r.evaluations}


@pytest.mark.parametrize("options", [{}, {"jobs": 2}, {"in_process": False}, {"dtype": "float32"}])
def test_code_that_gives_the_same_again_needs_no_differences(options):
    report = verified("tests.targets_for_tests:Right", **options)
    assert report.passed
    first, other, *equal = report.layers
    assert differences(first) == differences(other) == {"input", "weight", "bias"}
    for layer in equal:
        assert not differences(layer)
        for found, known in zip(layer.results, first.results, strict=True):
            assert replace(found, message=None, evaluations=0) == replace(known, evaluations=0)
            assert found.entries_checked == known.entries > 0
            assert found.gradient == "output" or "those of first, bit for bit" in found.message


def test_it_is_called_for_its_output_and_gradients_alone():
    passes = Counter()

    class Counting(Right):
        def forward(self, x, weight, bias, layer):
            passes[layer.name] += 1
            return super().forward(x, weight, bias, layer)

    assert verified(Counting).passed
    assert passes["first"] > 50
    assert passes["second"] == passes["third"] <= 4


@pytest.mark.parametrize("check", ["central", "exact"])
@pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
@pytest.mark.parametrize("target", [True, False])
def test_what_is_wrong_on_a_later_one_alone_is_found(check, gradient, target):
    class Later(Right):
        def backward(self, grad_output):
            right = super().backward(grad_output)._asdict()
            if self.layer.name == "third" and target:
                right[gradient].flat[-1] += 1
            return tuple(right.values())

    report = verified(Later, checks=[check])
    assert [layer.name for layer in report.layers if not layer.passed] == ["third"] * target
    assert differences(report.layers[3]) == ({gradient} if target else set())
    if target:
        (wrong,) = (result for result in report.layers[3].results if not result.acceptable)
        expected = next(r for r in alone(Later, LAYERS[3], checks=[check]).results if r.gradient == gradient)
        assert wrong == expected


def test_an_output_that_is_wrong_on_a_later_one_alone_is_found():
    class Later(Right):
        def forward(self, x, weight, bias, layer):
            return super().forward(x, weight, bias, layer) + (layer.name == "second")

    report = verified(Later)
    assert [layer.name for layer in report.layers if not layer.passed] == ["second"]
    assert differences(report.layers[2]) == {"input", "weight", "bias"}
    assert not differences(report.layers[3])


def test_what_gives_other_bits_is_differenced_again():
    """Zeros of another sign are equal numbers, and no proof that the code does the same."""

    class Signed(Right):
        def backward(self, grad_output):
            right = super().backward(grad_output)
            right.input[right.input == 0] = -0.0 if self.layer.name == "second" else 0.0
            return right

    # No window sees the last row.
    report = verified(Signed, [replace(layer, padding=0) for layer in LAYERS], checks=["exact"])
    assert report.passed
    assert differences(report.layers[2]) == {"input"}
    assert not differences(report.layers[3])


def test_where_the_first_is_wrong_each_is_checked():
    report = verified(Unflipped)
    for layer in report.layers:
        assert not layer.passed
        assert "input" in differences(layer)
    first, _, second, third = (layer.results for layer in report.layers)
    wrong = [result for result in first if result.status == "failed"]
    assert wrong
    for results in (second, third):
        assert [result for result in results if result.status == "failed"] == wrong
        assert all(result.evaluations == 0 for result in results if result.passed and result.check == "exact")


class Raises(Right):
    """Gives an output once, and then no more."""

    calls = 0

    def forward(self, x, weight, bias, layer):
        type(self).calls += 1
        if type(self).calls > self.most:
            raise ValueError(f"call {type(self).calls}")
        return super().forward(x, weight, bias, layer)


@pytest.mark.parametrize("most", [0, 1, 2, 3, 10, 40])
def test_code_that_raises_is_called_as_often_and_told_of_as_without(most, monkeypatch):
    def found():
        code = type("Raises", (Raises,), {"most": most})
        results = alone(code, FIRST).results
        return code.calls, [replace(result, digest=None) for result in results]

    with_digests = found()
    monkeypatch.undo()
    assert found() == with_digests


@pytest.mark.parametrize("target", [Right, Unflipped])
def test_a_layer_by_itself_has_the_same_results_with_digests_and_without(target, monkeypatch):
    costly = alone(target, FIRST)
    assert any(result.digest for result in costly.results)
    assert all(result.passed for result in costly.results if result.digest)
    monkeypatch.undo()
    assert tuple(replace(result, digest=None) for result in costly.results) == alone(target, FIRST).results


def test_differences_that_cost_little_are_made_on_each(monkeypatch):
    monkeypatch.undo()
    assert all(differences(layer) == {"input", "weight", "bias"} for layer in verified(Right).layers)


def test_conditions_are_checked_on_each():
    report = verified("tests.targets_for_tests:Right", checks=None)
    conditions = [{r.condition for r in layer.results if r.condition} for layer in report.layers]
    assert conditions[0] == conditions[2] == conditions[3]
    assert conditions[0]


def test_layers_for_other_code_or_with_another_gate_are_not_equal():
    suites = [
        Suite("one", (FIRST,), (1,), target="tests.targets_for_tests:Right"),
        Suite("two", (replace(FIRST, name="second"),), (1,), target="tests.targets_for_tests:Unflipped"),
        Suite("three", (replace(FIRST, name="third"),), (1,), target="tests.targets_for_tests:Right", max_error=1e-3),
    ]
    report = verify(suites, checks=NUMERIC, complete=True, shrink=False)
    assert [layer.passed for layer in report.layers] == [True, False, True]
    assert all("input" in differences(layer) for layer in report.layers)


def test_all_work_that_is_foreseen_is_told():
    work, progress = jobs("tests.targets_for_tests:Right", layers=LAYERS, checks=NUMERIC), Recorder()
    list(run(work, progress, Here(), {}))
    assert sum(progress.done) == pytest.approx(progress.started[0])
    assert [name.endswith("· 0 evaluations") for name in progress.names] == [False, False, True, True]


def test_a_run_that_is_resumed_knows_the_first(tmp_path):
    state = tmp_path / "state"
    whole = verified("tests.targets_for_tests:Right", state=state)
    lines = state.read_bytes().splitlines(keepends=True)
    for kept in range(1, len(lines)):
        state.write_bytes(b"".join(lines[:kept]))
        report = verified("tests.targets_for_tests:Right", state=state)
        assert replace(report, elapsed_seconds=0) == replace(whole, elapsed_seconds=0)


def test_the_summary_says_so():
    text = " ".join(table.render(verified(Right)).split())
    assert "left out where the code gave on 2 layers what it gave on an equal one, bit for bit" in text
    assert "bit for bit" not in " ".join(table.render(verified(Right, LAYERS[:2])).split())


def test_the_summary_counts_no_layer_on_which_the_code_gave_something_else():
    class Other(Right):
        def backward(self, grad_output):
            right = super().backward(grad_output)
            return right if self.layer.name == "first" else tuple(-gradient for gradient in right)

    assert "bit for bit" not in table.render(verified(Other, [LAYERS[0], LAYERS[2]]))


def test_data_with_zeros_are_drawn_again_for_each():
    """Sums of more than 2048 products do not stay exact in float16, so that data have zeros there."""
    first = Layer(9, 2, 16, input=(17, 18), batch=1, dtype="float16", name="first")
    layers = [first, replace(first, name="second")]
    report = verified("tests.targets_for_tests:Right", layers, checks=["exact"])
    known, equal = ([r for r in layer.results if r.draws] for layer in report.layers)
    assert known
    assert [(r.draws, r.exercised) for r in equal] == [(r.draws, r.exercised) for r in known]
    assert not differences(report.layers[1])
    assert all(result.message.count("draws with zeros") <= 1 for result in equal)
