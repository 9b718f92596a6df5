"""What code takes is found out by trying; the suite that is made of it passes right code and catches wrong code."""

import itertools
import json
from collections import Counter

import pytest

from convcheck import Layer, UsageError, backward, forward, load, verify
from convcheck.suites.fitting import fit, taken
from convcheck.targets import probing
from tests.hunts import EXAMPLES
from tests.shell import convcheck
from tests.targets import limited
from tests.targets_for_tests import Right

FILE = limited.__file__

#: What the code does not take, by the words of its limits.
LIMITED = [
    (
        limited.OneStrideAndPadding,
        ["groups (", "in front and behind (it takes no notice of", "dilation (", "between axes"],
    ),
    (limited.NoRemainder, ["a remainder (ValueError: 6 does not fit)"]),
    (limited.SquareOnly, ["a kernel that is not square (AssertionError: square ker", "an input that is not square"]),
    (limited.SameOnly, ["padding other than same (ValueError: padding must be same)"]),
    (limited.ValidOnly, ["padding (ValueError: no padding here)"]),
    (limited.PaddingAboveZero, ["padding of 0 with a kernel above 1 (ValueError: empty)"]),
    (limited.MultiplesOfEight, ["no multiple of 8 (RuntimeError: channels must be a multiple of 8)"]),
    (limited.MultiplesOfSixteen, ["no multiple of 16 (RuntimeError: channels must be a multiple of 16)"]),
    (limited.ThreeByThree, ["a kernel other than 3 (", "a stride above 1 (NotImplementedError: 3x3", "dilation ("]),
    (limited.OneSample, ["a batch of several samples (ValueError: one image at a time)"]),
    (limited.AsManyFiltersAsChannels, ["filters that are not as many as the channels (ValueError: residual"]),
    (limited.Single, ["float64 (it gives float32 whatever comes in)"]),
    (limited.SingleInside, ["float64 (it computes in float32 whatever comes in)"]),
    (limited.SingleOnly, ["float64 (TypeError: float32 only)"]),
]


@pytest.fixture(scope="module")
def fits():
    found = {}

    def fitted(target):
        if target not in found:
            found[target] = fit(target)
        return found[target]

    return fitted


def names(report):
    return {d.name for layer in report.layers for result in layer.results for d in result.diagnosis}


@pytest.mark.parametrize(("target", "words"), LIMITED, ids=[row[0].__name__ for row in LIMITED])
def test_every_limit_is_told_once_with_the_last_line_of_its_exception(target, words, fits):
    limits = fits(target).probe.limits
    for word in words:
        assert sum(word in limit for limit in limits) == 1, limits
    # What is left are layers that need a refused thing in a way that no name covers.
    assert all(limit.startswith("{") or any(word in limit for word in words) for limit in limits), limits


#: The others take as long and say little more.
BRIEF = (limited.OneStrideAndPadding, limited.SquareOnly)


@pytest.mark.parametrize(
    "target",
    [
        *(row[0] if row[0] in BRIEF else pytest.param(row[0], marks=pytest.mark.long) for row in LIMITED),
        limited.Depthwise,
        Right,
    ],
    ids=lambda t: t.__name__,
)
def test_right_code_passes_strictly_within_its_limits(target, fits):
    report = verify(fits(target), target=target, strict=True)
    assert report.passed, str(report)
    assert report.fitted
    assert not report.blind_spots
    assert report.power.mistakes_shown == report.power.mistakes


def test_the_suite_tries_everything_that_is_taken(fits):
    found = fits(Right)
    assert found.probe.limits == []
    ranks = {len(layer.input) for layer in found.suite.layers}
    assert ranks == {1, 2, 3}
    assert {"plain", "groups", "depthwise", "dilation", "remainder", "asymmetric-padding", "tile", "float32"} <= {
        layer.name for layer in found.suite.layers
    }


def test_wrong_code_is_caught_by_name_within_its_limits():
    report = verify(target=limited.WrongBackward)
    assert not report.passed
    assert any("a remainder" in limit for limit in report.limits)
    assert names(report) & {"weight-gradient-flipped", "right-when-flipped"}


@pytest.mark.parametrize("code", [limited.SingleOnly, limited.HalfOnly])
def test_code_that_refuses_the_usual_data_type_is_checked_in_its_own(code, fits):
    class Wrong(code):
        def backward(self, grad_output):
            grads = super().backward(grad_output)
            # Right wherever the stride is 1.
            return grads.input * (1 if max(self.saved[0].stride) == 1 else -1), *grads[1:]

    found = fits(code)
    assert {layer.dtype for layer in found.suite.layers} == {code.dtype}
    assert {"plain", "groups", "dilation", "stride", "remainder"} <= {layer.name for layer in found.suite.layers}
    assert verify(found, target=code, shrink=False).passed
    # Asked for by name, it is no other suite.
    for options in ({}, {"dtype": code.dtype}):
        assert "sign-flipped" in names(verify(target=Wrong, shrink=False, checks=["exact"], **options))


def test_code_for_complex_numbers_alone_needs_a_config():
    class ComplexOnly(limited.SingleOnly):
        dtype = "complex64"

    with pytest.raises(
        UsageError, match=r"dtype='complex64' needs a config .* any of \d+ tiny layers \(TypeError: comp"
    ):
        verify(target=ComplexOnly, dtype="complex64")
    layer = Layer(2, 3, 2, dtype="complex64")
    assert verify(layer, target=ComplexOnly, checks=["exact"]).passed


@pytest.mark.parametrize("read", [tuple, lambda stride: stride[:], lambda stride: stride * (len(stride) > 0)])
def test_code_that_takes_one_number_per_axis_only_is_given_them(read, monkeypatch):
    class Sequences:
        turned = 1

        def __init__(self, stride):
            self.stride = read(stride)

        def forward(self, x, weight, bias):
            size = {"input": x.shape[2:], "kernel": weight.shape[2:], "batch": len(x), "stride": self.stride}
            self.saved = Layer(x.shape[1], len(weight), **size, bias=bias is not None), x, weight
            return forward(*self.saved, bias)

        def backward(self, grad_output):
            grads = backward(*self.saved, grad_output)
            return self.turned * grads.input, *grads[1:]

    class Wrong(Sequences):
        turned = -1

    monkeypatch.setattr(probing.Probe, "_climb", lambda self: None)
    for code, passes in ((Sequences, True), (Wrong, False)):
        spec, probe = taken({"call": code, "style": "object"})
        assert spec.tuples
        assert "tuples: true" in " ".join(probe.found)
        report = verify(probe.base, target=spec, shrink=False)
        assert report.passed is passes
        assert passes or "sign-flipped" in names(report)
    # What raises whatever it is given is not told of sequences.
    assert not taken(limited.Nothing)[0].tuples


def test_a_function_of_jaxs_that_takes_one_number_per_axis_is_given_them(monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setattr(probing.Probe, "_climb", lambda self: None)
    spec, probe = taken({"call": f"{EXAMPLES}/jax_conv.py:per_axis", "style": "jax"})
    assert spec.tuples
    assert probe.right


def test_what_only_backward_cannot_do_is_an_error():
    report = verify(target=limited.BackwardRaises)
    assert not report.passed
    assert not any("padding" in limit for limit in report.limits)
    assert any(r.status == "error" and "do not fit" in r.message for layer in report.layers for r in layer.results)


def test_code_that_takes_nothing_fails_with_its_own_words():
    report = verify(target=limited.Nothing)
    assert not report.passed
    assert [layer.name for layer in report.layers] == ["plain"]
    assert "never" in str(report)


def test_code_that_is_wrong_everywhere_fails():
    report = verify(target=limited.WrongEverywhere)
    assert not report.passed
    assert "output has shape" in str(report)


def test_code_that_gives_something_else_each_time_is_told():
    report = verify(target=limited.Restless)
    assert not report.passed
    assert "two equal calls of forward give different outputs" in report.found
    assert "give different outputs" in str(report)


def test_slow_code_is_answered_for_in_time_and_what_is_left_out_is_said(monkeypatch):
    clock = 0.0

    def slept(seconds):
        nonlocal clock
        clock += seconds

    # The clock of the probing goes by what the code says it takes.
    monkeypatch.setattr(limited.time, "sleep", slept)
    monkeypatch.setattr(probing.time, "monotonic", lambda: clock)
    found = fit(limited.Slow)
    assert clock < 30
    assert found.probe.left_out
    assert 2 <= len(found.suite.layers) <= 4
    assert found.suite.layers[0].name == "plain"
    monkeypatch.undo()
    monkeypatch.setattr(limited.Slow, "seconds", 0.0)
    report = verify(found, target=limited.Slow, strict=True)
    assert report.left_out == tuple(found.probe.left_out)
    assert "left out" in str(report)


def test_the_plainest_layer_is_tried_where_no_time_was_left_to_begin_with(monkeypatch):
    """Such as where the process was stopped, or the machine slept."""
    clock = itertools.count(0, 1000)
    monkeypatch.setattr(probing.time, "monotonic", lambda: next(clock))
    found = fit(Right)
    assert found.probe.usable
    assert found.probe.left_out
    assert [layer.name for layer in found.suite.layers] == ["plain"]


@pytest.mark.parametrize("slow", range(1, 4))
def test_no_suite_is_cut_since_the_machine_was_busy_for_a_call(slow, monkeypatch):
    calls, clock = Counter(), 0.0

    class Busy(Right):
        def forward(self, x, weight, bias, layer):
            nonlocal clock
            # The layer by which it is found out how long a call takes is called several times.
            clock += 0.3 if calls[layer] == slow else 0.001
            calls[layer] += 1
            return super().forward(x, weight, bias, layer)

    monkeypatch.setattr(probing.time, "monotonic", lambda: clock)
    found = fit(Busy)
    assert max(calls.values()) > 1
    assert not found.probe.left_out
    assert "float32" in {layer.dtype for layer in found.suite.layers}


def test_two_things_that_do_not_go_together(fits):
    report = verify(target=limited.StrideOrDilation, strict=True)
    assert report.passed, str(report)
    assert any("not together" in limit for limit in report.limits)


class TestBlindSpots:
    def test_of_a_config_stay_within_what_the_code_takes(self):
        report = verify("course", target=limited.OneStrideAndPadding, strict=True)
        for spot in report.blind_spots:
            assert not {"groups", "dilation"} & set(spot.layer.replace(":", "").split()), spot
        assert "groups-ignored" in report.power.beyond_limits

    def test_of_a_config_stay_within_what_the_mapping_rules_out(self):
        plain = load("course").layers[0]
        target = {"call": Right, "unsupported": ["groups", "dilation", "1d", "3d"]}
        report = verify(plain, target=target, blind_spots=True)
        assert report.blind_spots
        assert not any("groups" in spot.layer or "dilation" in spot.layer for spot in report.blind_spots)
        assert "groups-ignored" not in {spot.name for spot in report.blind_spots}

    def test_the_plainest_layer_comes_first(self):
        plain = load("course").layers[0]
        report = verify(plain, target=Right, blind_spots=True)
        spot = next(spot for spot in report.blind_spots if spot.name == "channel-axes-not-swapped")
        assert spot.change == "as many filters as channels"
        assert "groups" not in spot.layer


class TestCommands:
    def test_verify_with_a_target_alone(self, tmp_path):
        status, out, err = convcheck(["verify", "--target", f"{FILE}:NoRemainder", "--strict"], tmp_path, COLUMNS="200")
        assert status == 0, out + err
        assert "does not take: a remainder (ValueError" in out
        status, out, _ = convcheck(["verify", "--target", f"{FILE}:WrongBackward", "--output-format", "json"], tmp_path)
        report = json.loads(out)
        assert status == 1
        assert report["fitted"] is True
        assert report["limits"] == ["a remainder (ValueError: 6 does not fit)"]

    def test_what_is_saved_gives_the_same_verdict(self, tmp_path):
        saved = tmp_path / "kept" / "suite.yaml"
        saved.parent.mkdir()
        words = ["verify", "--target", f"{FILE}:NoRemainder", "--save", str(saved), "--output-format", "json"]
        status, out, _ = convcheck(words, tmp_path)
        assert status == 0
        fitted = json.loads(out)
        status, out, _ = convcheck(["verify", str(saved), "--output-format", "json", "--strict"], tmp_path)
        assert status == 0
        kept = json.loads(out)
        assert [layer["spec"] for layer in kept["layers"]] == [layer["spec"] for layer in fitted["layers"]]
        assert "fitted" not in kept

    def test_a_relative_target_is_saved_as_the_config_finds_it(self, tmp_path):
        (tmp_path / "code.py").write_text("from tests.targets.limited import SameOnly\n")
        (tmp_path / "kept").mkdir()
        status, _, err = convcheck(["probe", "code.py:SameOnly", "--save", "kept/suite.yaml"], tmp_path)
        assert status == 0, err
        assert "../code.py:SameOnly" in (tmp_path / "kept" / "suite.yaml").read_text()
        assert convcheck(["verify", "kept/suite.yaml", "--strict"], tmp_path)[0] == 0

    def test_the_command_that_shows_a_failure_again(self, tmp_path):
        words = ["verify", "--target", f"{FILE}:WrongBackward"]
        _, out, _ = convcheck(words, tmp_path, COLUMNS="300")
        line = next(line for line in out.splitlines() if "convcheck verify" in line)
        import shlex

        again = shlex.split(line.partition("convcheck ")[2])
        status, out, _ = convcheck([*again, "--output-format", "json"], tmp_path)
        assert status == 1
        assert len(json.loads(out)["layers"]) == 1

    def test_probe(self, tmp_path):
        status, out, _ = convcheck(["probe", f"{FILE}:SquareOnly"], tmp_path, COLUMNS="100")
        assert status == 0
        assert "does not take" in out
        assert "AssertionError: square kernels only" in out
        assert "groups" in out.partition("does not take")[0]
        status, out, _ = convcheck(["probe", f"{FILE}:Nothing", "--save", "none.yaml"], tmp_path)
        assert status == 1
        assert "ValueError: never" in out
        assert not (tmp_path / "none.yaml").exists()

    @pytest.mark.parametrize(
        "words", [["course", "--target", f"{FILE}:SquareOnly", "--save", "a.yaml"], ["--save", "a.yaml"]]
    )
    def test_only_a_fitted_suite_is_saved(self, words, tmp_path):
        status, out, err = convcheck(["verify", *words], tmp_path)
        assert (status, out) == (2, "")
        assert "--save" in err
        assert not (tmp_path / "a.yaml").exists()

    def test_a_config_in_the_folder_goes_first(self, tmp_path):
        (tmp_path / "convcheck.yaml").write_text("layers: [{name: mine, channels: 1, filters: 1, kernel: 2}]\n")
        words = ["verify", "--target", f"{FILE}:SquareOnly", "--output-format", "json"]
        _, out, _ = convcheck(words, tmp_path)
        assert [layer["name"] for layer in json.loads(out)["layers"]] == ["mine"]


def test_there_is_nothing_to_verify():
    with pytest.raises(UsageError, match="nothing to verify"):
        verify()
