"""A failed result gets the mistake behind it, and its place; any other stays as it is."""

import numpy as np
import pytest

from convcheck import Layer
from convcheck.checks.attribution import attributed
from convcheck.layer.fields import Dtype
from convcheck.reports.results import GradientResult, Worst
from tests.parts import ENTRIES, LAYER, Scripted, ScriptedRun, changing, expected, raising, right_arrays, target
from tests.targets_for_tests import Right, TrueConvolution

NEGATED = Scripted(changing("weight", np.negative))
GRADIENTS = pytest.mark.parametrize("gradient", ["input", "weight", "bias"])


def result(gradient, check="exact", status="failed", message="there", **others):
    return GradientResult("mine", gradient, check, status, ENTRIES[gradient], message=message, **others)


def names(found):
    return [diagnosis.name for diagnosis in found.diagnosis]


@GRADIENTS
def test_a_failed_result_gets_the_mistake_and_keeps_its_message(gradient):
    (found,) = attributed([result(gradient)], expected(), Scripted(changing(gradient, np.negative)))
    assert names(found) == ["sign-flipped"]
    assert found.message == "there"
    assert (found.gradient, found.status, found.worst) == (gradient, "failed", None)


@pytest.mark.parametrize("status", ["passed", "skipped", "inconclusive", "error"])
def test_any_other_stays_as_it_is(status):
    others = [result("weight", status=status), result("input", "projected", status=status)]
    assert attributed(others, expected(), NEGATED) == others


def test_all_failed_results_of_a_gradient_get_the_same_in_their_order():
    given = [result("weight", "central"), result("input", status="passed"), result("weight"), result("bias")]
    found = attributed(given, expected(), NEGATED)
    assert [names(each) for each in found] == [["sign-flipped"], [], ["sign-flipped"], []]
    assert [(each.gradient, each.check) for each in found] == [(each.gradient, each.check) for each in given]


def test_the_code_is_run_once_for_all_results_of_a_gradient():
    runs = []
    for number in (1, 3):
        code = Scripted(changing("weight", np.negative))
        attributed([result("weight")] * number, expected(), code)
        runs.append(code.runs)
    assert runs[0] == runs[1] > 0


def test_where_the_output_is_wrong_only_that_is_diagnosed():
    given = [result("output", "forward"), result("input"), result("input", "projected")]
    output, *gradients = attributed(given, expected(source=target(TrueConvolution)), target(TrueConvolution))
    assert names(output) == ["forward-is-convolution"]
    assert gradients == given[1:]


class TestNote:
    """On which layer it was found, or that it was not."""

    LARGE = Layer(64, 96, 3, stride=2, padding=1, groups=2, input=(56, 60), batch=4)

    def note(self, code, **others):
        (found,) = attributed([result("weight", **others)], expected(self.LARGE), code)
        return found

    def test_follows_the_message(self):
        found = self.note(NEGATED)
        assert names(found) == ["sign-flipped"]
        assert found.message.startswith("there; found on a smaller layer")
        assert self.note(NEGATED, message=None).message.startswith("found on a smaller layer")

    def test_under_a_condition_it_is_said_only_of_a_mistake(self):
        assert self.note(Scripted()).message.startswith("there; right on a smaller layer")
        assert self.note(Scripted(), condition="real").message == "there"
        assert self.note(Scripted(), condition="real", message=None).message is None
        assert "found on a smaller layer" in self.note(NEGATED, condition="real").message


class TestPlace:
    """A projected check says only that some entry is wrong; which one, the built-in backward pass tells."""

    @GRADIENTS
    def test_of_a_failed_projection_is_found(self, gradient):
        asked = expected()
        right = right_arrays(asked.integers)[gradient]

        def off(array):
            changed = array.copy()
            changed.flat[-1] += 1
            return changed

        given = result(gradient, "projected", worst=Worst((), 1.0, 2.0))
        (found,) = attributed([given], asked, Scripted(changing(gradient, off)))
        last = tuple(size - 1 for size in right.shape)
        assert found.worst == Worst(last, right[last] + 1, right[last])
        assert f"1 of {ENTRIES[gradient]:,} entries differ" in found.message
        assert found.message.startswith("there; 1 of")
        assert f"; only {'filter' if gradient != 'input' else 'sample'} {last[0]} of" in found.message

    def test_of_another_check_is_known(self):
        (found,) = attributed([result("weight")], expected(), NEGATED)
        assert found.worst is None

    @pytest.mark.parametrize(
        "code",
        [
            Scripted(),
            Scripted(changing("weight", lambda array: None)),
            Scripted(changing("weight", lambda array: array[:1])),
            Scripted(changing("weight", raising(ValueError("no")))),
        ],
    )
    def test_is_left_out_where_no_entry_differs_or_can_be_compared(self, code):
        given = result("weight", "projected", worst=Worst((), 1.0, 2.0))
        (found,) = attributed([given], expected(), code)
        assert (found.worst, found.message) == (given.worst, given.message)

    def test_is_left_out_without_integers(self, monkeypatch):
        monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 2))
        given = result("weight", "projected")
        (found,) = attributed([given], expected(), NEGATED)
        assert found.worst is None
        assert found.message.startswith("there")
        assert not found.diagnosis


@pytest.mark.parametrize(
    "code",
    [
        Scripted(changing("output", raising(ValueError("no")))),
        Scripted(changing("weight", raising(SystemExit(1)))),
        Scripted(changing("weight", lambda array: array.astype(str))),
        Scripted(changing("weight", lambda array: None)),
    ],
)
def test_code_that_gives_nothing_to_compare_is_not_diagnosed(code):
    assert attributed([result("weight")], expected(), code) == [result("weight")]


def test_nor_is_code_that_gives_two_gradients_for_three():
    class Two(ScriptedRun):
        def backward(self):
            return super().backward()[:2]

    code = Scripted(changing("weight", np.negative))
    code.run = lambda layer, operands: Two(code, layer, operands)
    assert attributed([result("weight")], expected(), code) == [result("weight")]


def test_nor_is_code_that_does_not_take_the_layer():
    code = Scripted(changing("weight", np.negative))
    code.unsupported = lambda layer: "no stride" if max(layer.stride) > 1 else None
    assert max(LAYER.stride) > 1
    assert attributed([result("weight")], expected(), code) == [result("weight")]
    assert code.runs == 0


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint8])
def test_numbers_of_any_kind_are_compared(dtype):
    code = Scripted(changing("bias", lambda array: np.zeros(array.shape, dtype)))
    (found,) = attributed([result("bias")], expected(), code)
    assert names(found) == ["zero-gradient"]


def test_what_another_gradient_gives_does_not_matter():
    code = Scripted(lambda name, array: {"weight": -array, "input": None}.get(name, array))
    (found,) = attributed([result("weight")], expected(), code)
    assert names(found) == ["sign-flipped"]
    assert names(attributed([result("weight")], expected(), target(Right))[0]) == []
