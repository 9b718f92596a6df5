"""The benchmark runs everything it names; no time is asserted."""

import json
import sys
import time
from dataclasses import replace
from itertools import groupby

import pytest

from convcheck import Layer, Suite, TargetError, UsageError
from convcheck.__main__ import main
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


@pytest.fixture
def short_turns(monkeypatch):
    monkeypatch.setattr("convcheck.bench._TURN", 0.0)


@pytest.mark.usefixtures("short_turns")
def test_contenders_take_turns_and_warm_up_before_each():
    calls = []
    timings = time_in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    turns = [(name, len(list(runs))) for name, runs in groupby(calls)]
    assert [name for name, _ in turns] == ["a", "b"] * 4
    assert [runs for _, runs in turns[:2]] == [1, 1]
    assert all(runs >= 2 for _, runs in turns[2:])
    assert {name: len(timing.seconds) for name, timing in timings.items()} == {"a": 3, "b": 3}


class Clock:
    """Time in which processor time is spent by threads that spin until they fall asleep, and by what is timed."""

    def __init__(self, monkeypatch):
        self.now, self.awake_until, self.spent = 0.0, 0.0, 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(time, "process_time", lambda: self.spent)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds):
        self.spent += min(seconds, max(0.0, self.awake_until - self.now))
        self.now += seconds

    def work(self, seconds):
        self.now += seconds
        self.spent += seconds


@pytest.mark.parametrize("spinning", [0.0, 0.03, 0.3])
def test_a_turn_begins_when_the_other_side_s_threads_sleep(monkeypatch, spinning):
    clock, met = Clock(monkeypatch), []

    def leaves_threads():
        clock.work(0.01)
        clock.awake_until = clock.now + spinning

    def is_disturbed():
        # With a thread of the other side on its core.
        clock.work(0.02 if clock.now < clock.awake_until else 0.01)
        met.append(clock.now)

    timings = time_in_turn({"one": leaves_threads, "other": is_disturbed}, rounds=3)
    assert timings["other"].seconds == pytest.approx([0.01] * 3)
    assert timings["one"].seconds == pytest.approx([0.01] * 3)


def test_threads_that_never_sleep_do_not_stop_it(monkeypatch):
    clock = Clock(monkeypatch)
    clock.awake_until = float("inf")
    assert time_in_turn({"a": lambda: clock.work(0.01)}, rounds=2)["a"].seconds == pytest.approx([0.01] * 2)


def test_what_wakes_up_slowly_is_timed_when_it_is_awake(monkeypatch):
    clock, runs = Clock(monkeypatch), []

    def wakes_up():
        # After a pause, three runs in which both threads share a core, and one that something else disturbs.
        runs.append(clock.now)
        awake = len(runs) > 3 and runs[-1] - runs[-4] < 0.1
        clock.work(0.01 if awake and len(runs) % 5 else 0.02)

    assert time_in_turn({"a": wakes_up}, rounds=3)["a"].seconds == pytest.approx([0.01] * 3)


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
    threads={"libopenblas for Haswell": 2, "libgomp": 1},
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
    assert "libopenblas for Haswell with 2 threads, libgomp with 1 thread" in " ".join(text.split())
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


@pytest.mark.usefixtures("short_turns")
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


@pytest.mark.usefixtures("short_turns")
def test_in_another_dtype_and_for_some_formulations_only():
    suite = Suite(name="s", layers=(SMALL,), lines=(1,))
    report = bench(suite, formulations=["unfold"], dtype="float32", rounds=1, progress=Quiet())
    assert report.layers[0].layer.dtype == "float32"
    assert set(report.contenders) <= {"unfold", "torch"}
    assert list(report.matrix_rates) == ["float32"]
    assert report.checks == ()
    assert sum(report.threads.values()) >= 1


@pytest.mark.usefixtures("short_turns")
def test_with_another_batch(monkeypatch):
    monkeypatch.setattr("convcheck.bench._hunted", lambda cases, in_process: None)
    batches = []

    class Noting(Quiet):
        def start(self, total_work):
            batches.append(total_work / replace(SMALL, batch=1).multiply_adds)

    report = bench(
        Suite(name="s", layers=(SMALL,), lines=(1,)), batch=3, formulations=["unfold"], rounds=1, progress=Noting()
    )
    assert (report.layers[0].layer.batch, batches) == (3, [3])


def test_by_processor_time(monkeypatch):
    clock = Clock(monkeypatch)

    def is_interrupted():
        clock.work(0.01)
        clock.sleep(0.02)

    for processor_time, seconds in ((True, 0.01), (False, 0.03)):
        found = time_in_turn({"a": is_interrupted}, rounds=2, processor_time=processor_time)
        assert found["a"].seconds == pytest.approx([seconds] * 2)


@pytest.mark.usefixtures("short_turns")
@pytest.mark.parametrize("processor_time", [True, False])
def test_a_report_says_what_it_counts(monkeypatch, processor_time):
    used = []

    def timed(work, rounds, slow=2.0, *, processor_time):
        used.append(processor_time)
        return {name: timing(0.01) for name in work}

    monkeypatch.setattr("convcheck.bench.time_in_turn", timed)
    monkeypatch.setattr("convcheck.bench._hunted", lambda cases, in_process: None)
    suite = Suite(name="s", layers=(SMALL,), lines=(1,))
    report = bench(suite, rounds=1, processor_time=processor_time, progress=Quiet())
    assert set(used) == {processor_time}
    assert report.to_dict()["processor_time"] is processor_time
    assert ("of processor time" in " ".join(render(report, width=100).split())) is processor_time


def test_processor_time_is_not_that_of_code_in_another_process(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["convcheck", "bench", "--target", "m:f", "--processor-time"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--processor-time is that of this process; give --in-process too" in capsys.readouterr().err
    sys.argv[3:] = ["{command: [./my_conv]}", "--processor-time", "--in-process"]
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--processor-time is that of this process, and a program is another one" in capsys.readouterr().err


def test_unknown_formulations_are_refused():
    with pytest.raises(UsageError, match='unknown formulation "fft"'):
        bench(Suite(name="s", layers=(SMALL,), lines=(1,)), formulations=["fft"], rounds=1, progress=Quiet())


@pytest.mark.usefixtures("short_turns")
def test_code_that_raises_is_an_error_that_says_on_which_layer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.py").write_text(
        "class Raises:\n"
        "    def forward(self, x, weight, bias, layer):\n        raise ValueError('odd')\n"
        "    def backward(self, grad_output):\n        pass\n"
    )
    suite = Suite(name="s", layers=(SMALL,), lines=(1,))
    with pytest.raises(TargetError, match=r"code.py:Raises cannot be timed on layer small:\n(?s:.*)ValueError: odd"):
        bench(suite, target="code.py:Raises", formulations=["unfold"], rounds=1, progress=Quiet())


def test_what_is_timed_of_pytorch_is_the_same_work_in_bfloat16_too():
    pytest.importorskip("torch")
    layer = replace(SMALL, dtype="bfloat16")
    at = integer_operands(layer)
    right = formulation(FASTEST).backward(layer, at.x, at.weight, at.grad_output)
    for theirs, ours in zip(torch_pass(layer, at)(), right, strict=True):
        assert (theirs.float().numpy() == ours.astype("float32")).all()


def test_what_is_timed_of_pytorch_is_the_same_work():
    pytest.importorskip("torch")
    at = integer_operands(SMALL)
    right = formulation(FASTEST).backward(SMALL, at.x, at.weight, at.grad_output)
    for theirs, ours in zip(torch_pass(SMALL, at)(), right, strict=True):
        assert (theirs.numpy() == ours).all()
