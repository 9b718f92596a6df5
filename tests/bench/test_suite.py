"""The benchmark runs everything it names; no time is asserted."""

import json

import pytest

from convcheck import Layer, Suite, UsageError
from convcheck.bench.contenders import torch_is_installed, torch_pass
from convcheck.bench.suite import bench
from convcheck.formulations import FASTEST, FORMULATIONS, formulation
from convcheck.operands import integer_operands


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
