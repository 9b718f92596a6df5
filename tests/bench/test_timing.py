from convcheck.bench.timing import Timing, time_in_turn


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
