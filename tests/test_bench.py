"""The benchmark runs everything it names; no time is asserted."""

import json

import pytest

from convcheck import Layer, Suite, UsageError
from convcheck.bench import (
    BenchReport,
    CheckBench,
    LayerBench,
    Timing,
    bench,
    render,
    time_in_turn,
    torch_is_installed,
    torch_pass,
)
from convcheck.gradients import FASTEST, FORMULATIONS, formulation
from convcheck.layer.data import integer_operands


def test_contenders_take_turns_and_warm_up_before_each():
    calls = []
    timings = time_in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert calls == ["a", "b"] + ["a", "a", "b", "b"] * 3
    assert {name: len(timing.seconds) for name, timing in timings.items()} == {"a": 3, "b": 3}


def test_what_is_slow_runs_once_and_that_run_counts():
    calls = []
    timings = time_in_turn({"slow": lambda: calls.append(1)}, rounds=3, slow=-1.0)
    assert calls == [1]
    assert len(timings["slow"].seconds) == 1


def test_median_and_spread():
    timing = Timing((3.0, 1.0, 2.0))
    assert (timing.median, timing.spread) == (2.0, (1.0, 3.0))


LAYER = Layer(4, 4, 1, input=(5, 5), batch=1, name="[conv]")  # 400 multiply-adds


def timing(*seconds):
    return Timing(seconds)


REPORT = BenchReport(
    config="mine.yaml",
    contenders=("unfold", "torch"),
    matrix_rates={"float64": 1e6},
    layers=(
        LayerBench(LAYER, 2, {"unfold": timing(0.002, 0.004, 0.003), "torch": timing(0.006)}),
        LayerBench(Layer(1, 1, 1, name="b"), 1, {"unfold": timing(0.008), "torch": timing(0.001)}),
    ),
    checks=(CheckBench(LAYER, timing(0.5), timing(20.0)),),
    reference="torch",
    convcheck_version="1",
    hunted=345.6,
    hunted_apart=234.5,
)


def test_ratios_are_to_the_reference_and_their_mean_is_geometric():
    assert REPORT.ratios("unfold") == [pytest.approx(0.5), pytest.approx(8.0)]
    assert REPORT.geometric_mean("unfold") == pytest.approx(2.0)
    assert REPORT.geometric_mean("torch") == pytest.approx(1.0)
    assert REPORT.layers[0].ratio("unfold", "index_sum") is None


def test_the_share_counts_three_passes():
    assert REPORT.share(REPORT.layers[0], "unfold") == pytest.approx(3 * 400 / 0.003 / 1e6)


def test_as_json():
    data = json.loads(json.dumps(REPORT.to_dict(), allow_nan=False))
    assert data["geometric_mean_ratios"]["unfold"] == pytest.approx(2.0)
    assert data["layers"][0]["contenders"]["unfold"]["seconds"] == [0.002, 0.004, 0.003]
    assert data["checks"][0]["ratio"] == 40.0
    assert data["hunt_cases_per_second"] == 345.6
    assert data["hunt_cases_per_second_in_a_process_of_its_own"] == 234.5


def test_as_tables():
    text = render(REPORT, width=80)
    assert "[conv] · 4 → 4 · kernel 1×1 · stride 1×1 · 5×5 · float64 · 2 layers alike" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["unfold", "3", "2–4", "0.50", "40%"] in rows
    assert ["unfold", "2.00", "8.00", "0.50", "40%"] in rows
    assert ["[conv]", "500", "20,000", "40.0"] in rows
    assert "346 cases a second in one process, and 234 with that code" in " ".join(text.split())


class Quiet:
    def __init__(self):
        self.done = 0.0

    def start(self, total_work):
        self.total = total_work

    def layer(self, name):
        pass

    def advance(self, work):
        self.done += work


SMALL = Layer(2, 3, (2, 3), padding=[[1, 0], [0, 2]], input=(4, 5), name="small")


def test_times_every_contender_on_each_distinct_layer_and_the_checks():
    suite = Suite(name="s", layers=(SMALL, Layer(2, 2, 1, input=(3, 4), name="other"), SMALL), lines=(1, 2, 3))
    progress = Quiet()
    report = bench(suite, target="tests.targets_for_tests:Right", rounds=1, progress=progress)
    expected = [*FORMULATIONS, "tests.targets_for_tests:Right", *(["torch"] if torch_is_installed() else [])]
    assert [list(layer.timings) for layer in report.layers] == [expected, expected]
    assert [(layer.layer.name, layer.alike) for layer in report.layers] == [("small", 2), ("other", 1)]
    assert progress.done == progress.total
    assert report.reference == ("torch" if torch_is_installed() else FASTEST)
    assert report.hunted > 0 < report.hunted_apart
    assert len(report.checks) == (2 if torch_is_installed() else 0)
    json.dumps(report.to_dict(), allow_nan=False)


def test_in_another_dtype_and_for_some_formulations_only():
    suite = Suite(name="s", layers=(SMALL,), lines=(1,))
    report = bench(suite, formulations=["unfold"], dtype="float32", rounds=1, progress=Quiet())
    assert report.layers[0].layer.dtype == "float32"
    assert set(report.contenders) <= {"unfold", "torch"}
    assert list(report.matrix_rates) == ["float32"]
    assert report.checks == ()


def test_unknown_formulations_are_refused():
    with pytest.raises(UsageError, match='unknown formulation "fft"'):
        bench(Suite(name="s", layers=(SMALL,), lines=(1,)), formulations=["fft"], rounds=1, progress=Quiet())


def test_what_is_timed_of_pytorch_is_the_same_work():
    pytest.importorskip("torch")
    at = integer_operands(SMALL)
    right = formulation(FASTEST).backward(SMALL, at.x, at.weight, at.grad_output)
    for theirs, ours in zip(torch_pass(SMALL, at)(), right, strict=True):
        assert (theirs.numpy() == ours).all()
