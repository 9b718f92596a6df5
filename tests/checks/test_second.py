"""The smallest case of a wrong second derivative: it fails in the same way, and no single further step does."""

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.checks import shrinking, smallest
from convcheck.checks.check_layer import Demand, check_layer
from convcheck.checks.plan import DEFAULT_CHECKS, WORK_BUDGET
from convcheck.checks.second import SecondSearch
from convcheck.layer.data import Operands
from convcheck.layer.plainer import plainer
from convcheck.mistakes import mistake
from convcheck.reports.formats import pytest as pytest_format
from convcheck.reports.results import LayerReport
from tests.checks.test_double import Raises, Twice
from tests.checks.test_smallest import further

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3, seed=5)


class Only(Twice):
    """Wrong where a layer is so."""

    def __init__(self, circumstance, wrong):
        super().__init__()
        self.circumstance, self.wrong = circumstance, wrong

    def of(self, layer):
        return self.wrong if self.circumstance(layer) else Twice()

    def second(self, layer, *given):
        return self.of(layer).second(layer, *given)

    def tangent(self, layer, *given):
        return self.of(layer).tangent(layer, *given)


def strided(layer):
    return max(layer.stride) > 1


def grouped(layer):
    return layer.groups > 1


def one_off(array):
    array.flat[-1] += 1
    return array


def flipped(array):
    return np.flip(array, tuple(range(2, array.ndim)))


#: Wrong code, what its smallest layer has that the plainest has not, and words of what is said.
WRONG = {
    "lost, strided": (Only(strided, Twice(by_input=0)), {"stride": [2]}, "the derivative by x[0,0,0] is 0, should be"),
    "lost, grouped": (Only(grouped, Twice(by_output=(0, 1, 1))), {"groups": 2}, "the derivative by grad_output[0,"),
    "negated": (Only(grouped, Twice(by_weight=-1)), {"groups": 2}, "is -1, should be 1: by so much the"),
    "one entry": (Only(strided, Twice(by_weight=one_off)), {"stride": [2]}, "the derivative by weight[0,0,0] is"),
    "no bias counted": (Only(strided, Twice(by_output=(1, 1, 0))), {"stride": [2]}, "grad_weight and grad_bias"),
    "forward mode": (Only(grouped, Twice(tangent=(1, 0, 1))), {"groups": 2}, "forward mode gives 0 for output[0,"),
    "forward mode, one entry": (Only(strided, Twice(tangent=(1, 7, 1))), {"stride": [2]}, "forward mode gives"),
    "raises": (Only(strided, Raises("second", KeyError("no"))), {"stride": [2]}, "KeyError"),
    "by name": (Only(strided, Twice(by_weight=flipped)), {"stride": [2], "kernel": [2]}, "derivative by weight[0,0,"),
}  # fmt: skip


def reported(target, layer=LAYER, demanded=True):
    demand = Demand(("double",) if demanded else DEFAULT_CHECKS, WORK_BUDGET, None)
    job = SimpleNamespace(layer=layer, targets=[target], demand=demand)
    return LayerReport(layer, tuple(check_layer(layer, [target], demand))), job


def case_of(target, layer=LAYER, demanded=True):
    report, job = reported(target, layer, demanded)
    (found,) = smallest.with_smallest([report], [job], 60, lambda name: None)
    return found.smallest


@pytest.mark.parametrize("name", WRONG)
def test_the_smallest_case_of_a_wrong_second_derivative(name):
    target, fields, said = WRONG[name]
    case = case_of(target)
    plainest = {"channels": fields.get("groups", 1), "kernel": [1], "stride": [1], "groups": 1, "batch": 1}
    assert {key: case.layer[key] for key in plainest} == plainest | fields
    assert said in case.what
    assert case.note is None
    # It fails when it is checked like any layer, and right code does not.
    small = Layer(**case.layer)
    assert {r.gradient for r in reported(target, small)[0].results if not r.acceptable} >= {case.gradient}
    assert reported(Twice(), small)[0].passed


@pytest.mark.parametrize("name", [name for name in WRONG if name != "raises"])
def test_its_numbers_are_those_of_its_operands(name):
    target, _, _ = WRONG[name]
    case = case_of(target)
    assert set(case.along) == {"x", "weight", "bias"}
    at, along = (
        SimpleNamespace(**{key: np.array(values) for key, values in of.items()}) for of in (case.operands, case.along)
    )
    entries = np.concatenate([array.ravel() for of in (at, along) for array in vars(of).values()])
    assert np.isin(entries, (0, 1)).mean() > 0.8
    layer, at = Layer(**case.layer), to_operands(at)
    along = to_operands(along, at.grad_output)
    if "forward mode" in name:
        given, right = (of.tangent(layer, at, along) for of in (target, Twice()))
    else:
        place = ("output", "input", "weight").index(case.gradient)
        given, right = (of.second(layer, at, along)[place] for of in (target, Twice()))
    assert (given[case.index], right[case.index]) == (case.analytic, case.numeric)


def to_operands(of, grad_output=None):
    return Operands(of.x, of.weight, of.bias, of.grad_output if grad_output is None else grad_output)


@pytest.mark.parametrize("name", [name for name in WRONG if name != "raises"])
def test_no_single_further_step_fails(name):
    target, _, _ = WRONG[name]
    report, job = reported(target)
    result = smallest._chief(report)
    search = smallest._search(job, smallest._failure_of(result), result, time.monotonic() + 60)
    assert isinstance(search, SecondSearch)
    search.start()
    search.shrink_layer()
    search.shrink_data()
    assert not any(search.takes(other) for other in plainer(search.layer))
    assert not any(search.takes_array(*other) for other in further(search))


def test_right_code_is_never_shrunk(monkeypatch):
    monkeypatch.setattr(smallest, "_search", None)
    assert case_of(Twice()) is None


def test_what_is_wrong_without_being_asked_for_is_shrunk_too_and_what_is_not_wrong_then_is_not():
    assert case_of(Only(strided, Twice(by_weight=2)), demanded=False).layer["stride"] == [2]
    assert case_of(Only(strided, Twice(by_weight=0)), demanded=False) is None


def test_layers_on_which_the_gradients_themselves_are_wrong_are_no_candidates():
    class WrongAlone(Only):
        """With one sample, its gradients are wrong too."""

        def run(self, layer, operands, how=None):
            of = Twice(change=lambda name, array: 2 * array if layer.batch == 1 and name == "weight" else array)
            return of.run(layer, operands)

    assert case_of(WrongAlone(strided, Twice(by_input=-1))).layer["batch"] == 2


def test_a_lost_term_is_not_turned_into_another():
    class Two(Twice):
        """Loses one term with a stride, and another without."""

        def second(self, layer, *given):
            return Twice(by_output=(0, 1, 1) if strided(layer) else (1, 0, 1)).second(layer, *given)

    case = case_of(Two())
    assert max(case.layer["stride"]) == 2
    assert np.any(case.along["x"])


def test_where_the_name_is_lost_the_report_says_so():
    target = WRONG["one entry"][0]
    report, job = reported(target)
    named = mistake("weight-gradient-flipped").diagnosis()
    results = tuple(r if r.acceptable else replace(r, diagnosis=(named,)) for r in report.results)
    (found,) = smallest.with_smallest([replace(report, results=results)], [job], 60, lambda name: None)
    assert "weight-gradient-flipped on the layer itself; this case alone" in found.smallest.note
    (found,) = smallest.with_smallest([report], [job], 60, lambda name: None)
    assert found.smallest.note is None


def test_the_search_ends_when_its_runs_are_used_up_and_says_so(monkeypatch):
    monkeypatch.setattr(shrinking, "MOST_RUNS", 6)
    case = case_of(WRONG["negated"][0])
    assert case.runs == 6
    assert "ended early" in case.note


CODE = '''
import torch
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input, conv2d_weight


class Right(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, stride, padding, groups):
        ctx.save_for_backward(x, weight)
        ctx.options = stride, padding, 1, groups
        return conv2d(x, weight, bias, *ctx.options)

    @staticmethod
    def backward(ctx, g, keep=True):
        x, weight = ctx.saved_tensors
        by_x = conv2d_input(x.shape, weight if keep else weight.detach(), g, *ctx.options)
        return by_x, conv2d_weight(x, weight.shape, g, *ctx.options), g.sum((0, 2, 3)), None, None, None


class Detached(Right):
    """Takes the weight for a constant with several groups."""

    backward = staticmethod(lambda ctx, g: Right.backward(ctx, g, ctx.options[3] == 1))
'''


@pytest.fixture
def code(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    (tmp_path / "conv.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_code_of_pytorch_is_shrunk_and_everything_says_so(code):
    layer = Layer(4, 2, 3, stride=2, padding=1, groups=2, input=(6, 5), name="conv")
    report = verify(layer, target="conv.py:Detached", checks=["double"], in_process=True)
    case = report.layers[0].smallest
    assert (case.gradient, case.layer["groups"], case.layer["kernel"]) == ("weight", 2, [1, 1])
    assert "the derivative by weight[0,0,0,0] is 0, should be 1" in " ".join(str(report).split())
    assert "--check double" in str(report)
    assert "--layer '{channels: 2, filters: 2, kernel: 1, groups: 2, input: [1, 1], batch: 1}'" in str(report)
    told = json.loads(json.dumps(report.to_dict()))["layers"][0]["smallest"]
    assert set(told["along"]) == {"x", "weight", "bias"}
    namespace = {}
    exec(pytest_format.render(report), namespace)
    with pytest.raises(AssertionError, match="graph-broken"):
        namespace["test_graph_broken_weight"]()
    assert verify(Layer(**case.layer), target="conv.py:Right", checks=["double"], in_process=True).passed
    (unshrunk,) = verify(layer, target="conv.py:Detached", checks=["double"], in_process=True, shrink=False).layers
    assert unshrunk.smallest is None


def test_code_of_jax_is_shrunk_too():
    jax = pytest.importorskip("jax")
    conv = jax.lax.conv_general_dilated

    def strided(x, weight, stride):
        @jax.custom_vjp
        def of(x, weight):
            return conv(x, weight, (stride,), "VALID")

        def backward(saved, g):
            saved = jax.lax.stop_gradient(saved) if stride > 1 else saved
            return jax.vjp(lambda *at: conv(*at, (stride,), "VALID"), *saved)[1](g)

        of.defvjp(lambda *at: (of(*at), at), backward)
        return of(x, weight)

    layer = Layer(1, 1, 2, stride=2, input=(4,), batch=1, bias=False)
    target = {"call": strided, "style": "jax"}
    report = verify(layer, target=target, checks=["double"], in_process=True, shrink_seconds=60)
    case = report.layers[0].smallest
    assert (case.layer["kernel"], case.layer["stride"], case.layer["input"]) == ([1], [2], [1])
    assert case.what.startswith("the derivative by x[0,0,0] is 0, should be 1")
    assert verify(replace(layer, stride=(1,)), target=target, checks=["double"], in_process=True).passed
