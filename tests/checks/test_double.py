"""Second derivatives and forward mode of code that gives them: right ones pass, and each wrong term is told."""

from dataclasses import replace

import numpy as np
import pytest

from convcheck import Layer
from convcheck.checks.check_layer import Demand, check_layer
from convcheck.checks.double import BY, check
from convcheck.checks.expected import Expected
from convcheck.checks.plan import DEFAULT_CHECKS, WORK_BUDGET
from convcheck.layer.data import integer_operands
from tests.parts import Scripted, right_arrays
from tests.targets_for_tests import UNFOLD

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3, seed=5)
LAYERS = [
    LAYER,
    replace(LAYER, bias=False, dtype="float32"),
    Layer(1, 2, 3, input=8),
    Layer(2, 2, 2, stride=2, dilation=2, input=(5, 4, 5), seed=3),
]


class Twice(Scripted):
    """Gives the terms of second derivatives, each multiplied by a factor, and what forward mode gives."""

    differentiable = True

    def __init__(self, by_output=(1, 1, 1), by_input=1, by_weight=1, tangent=(1, 1, 1), **others):
        super().__init__(**others)
        self.by_output, self.by_input, self.by_weight, self.forward_mode = by_output, by_input, by_weight, tangent

    def terms(self, layer, at, along):
        nothing = np.zeros(layer.bias_shape, layer.dtype)
        yield UNFOLD.forward(layer, along.x, at.weight, nothing if layer.bias else None)
        yield UNFOLD.forward(layer, at.x, along.weight, nothing if layer.bias else None)
        if layer.bias:
            yield UNFOLD.forward(layer, 0 * at.x, at.weight, along.bias)

    def weighted(self, factors, *of):
        return sum(layer_term * factor for layer_term, factor in zip(self.terms(*of), factors, strict=False))

    def second(self, layer, operands, along):
        found = (
            (self.weighted(self.by_output, layer, operands, along), 1),
            (right_arrays(replace(operands, weight=along.weight), layer)["input"], self.by_input),
            (right_arrays(replace(operands, x=along.x), layer)["weight"], self.by_weight),
        )
        return tuple(factor(array) if callable(factor) else array * factor for array, factor in found)

    def tangent(self, layer, operands, along):
        return self.weighted(self.forward_mode, layer, operands, along)


def expected_of(target, layer=LAYER, max_error=None):
    return Expected(layer, target, max_error, lambda evaluations: None)


def checked(target, layer=LAYER, *, demanded=True, max_error=None, budget=WORK_BUDGET):
    found = check(expected_of(target, layer, max_error), target, budget, demanded=demanded)
    assert [r.gradient for r in found] in ([*BY], [])
    assert {r.check for r in found} <= {"double"}
    return {r.gradient: r for r in found}


def statuses(target, **options):
    return {gradient: result.status for gradient, result in checked(target, **options).items()}


ALL_PASSED = dict.fromkeys(BY, "passed")


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("demanded", [True, False])
def test_right_derivatives_pass_in_every_entry(layer, demanded):
    found = checked(Twice(), layer, demanded=demanded)
    assert {name: r.status for name, r in found.items()} == ALL_PASSED
    at = integer_operands(layer)
    assert [r.entries_checked for r in found.values()] == [at.grad_output.size, at.x.size, at.weight.size]
    assert all((r.max_abs_error, r.mismatches, r.on_integers) == (0, 0, True) for r in found.values())
    assert "forward mode is right" in found["output"].message


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("lost", "gradient", "word"),
    [
        ({"by_output": (0, 1, 1)}, "output", "grad_input"),
        ({"by_output": (1, 0, 1)}, "output", "grad_weight"),
        ({"by_output": (1, 1, 0)}, "output", "grad_bias"),
        ({"by_output": (0, 0, 0)}, "output", "grad_input, grad_weight"),
        ({"by_input": 0}, "input", "grad_weight"),
        ({"by_weight": 0}, "weight", "grad_input"),
    ],
)
def test_a_lost_term_is_told_and_fails_where_it_was_demanded(lost, gradient, word, layer):
    layer = replace(layer, bias=True)
    found = checked(Twice(**lost), layer)
    result = found.pop(gradient)
    assert (result.status, [d.name for d in result.diagnosis]) == ("failed", ["graph-broken"])
    assert result.message.startswith(word)
    assert result.mismatches
    assert {r.status for r in found.values()} == {"passed"}
    told = checked(Twice(**lost), layer, demanded=False)[gradient]
    assert (told.status, told.diagnosis) == ("skipped", ())
    assert told.message.startswith(word)
    assert "--check double" in told.message


@pytest.mark.parametrize(
    ("factors", "gradient", "words"),
    [
        ({"by_output": (-1, 1, 1)}, "output", "-1 times that of grad_input"),
        ({"by_output": (1, 2, 1)}, "output", "2 times that of grad_weight"),
        ({"by_output": (1, 1, 5)}, "output", "everywhere"),
        ({"by_input": -1}, "input", "-1 times that of grad_weight"),
        ({"by_weight": 2}, "weight", "2 times that of grad_input"),
    ],
)
@pytest.mark.parametrize("demanded", [True, False])
def test_a_wrong_term_fails_in_any_case(factors, gradient, words, demanded):
    found = checked(Twice(**factors), demanded=demanded)
    assert words in found[gradient].message
    assert {name: r.status for name, r in found.items()} == ALL_PASSED | {gradient: "failed"}


def one_off(array):
    array.flat[3] += 1
    return array


def test_one_wrong_entry_fails_and_is_named():
    result = checked(Twice(by_input=one_off))["input"]
    assert (result.status, result.mismatches, result.worst.index) == ("failed", 1, (0, 0, 0, 3))


def test_a_wrong_derivative_is_diagnosed_as_the_gradient_that_it_is():
    flipped = Twice(by_weight=lambda array: np.flip(array, (2, 3)))
    assert [d.name for d in checked(flipped)["weight"].diagnosis] == ["weight-gradient-flipped"]


@pytest.mark.parametrize("factors", [(0, 1, 1), (1, 1, 0), (1, -1, 1), (0, 0, 0)])
@pytest.mark.parametrize("demanded", [True, False])
def test_wrong_forward_mode_fails_though_the_second_derivative_is_right(factors, demanded):
    found = checked(Twice(tangent=factors), demanded=demanded)
    assert {name: r.status for name, r in found.items()} == ALL_PASSED | {"output": "failed"}
    assert found["output"].message.startswith("forward mode")
    assert not found["output"].diagnosis


class Raises(Twice):
    def __init__(self, which, error):
        super().__init__()
        self.which, self.error = which, error

    def second(self, *given):
        if self.which == "second":
            raise self.error
        return super().second(*given)

    def tangent(self, *given):
        if self.which == "tangent":
            raise self.error
        return super().tangent(*given)


REFUSAL = RuntimeError("it is marked with @once_differentiable")
OWN = RuntimeError("nothing that says why")


@pytest.mark.parametrize(
    ("error", "demanded", "status"),
    [(REFUSAL, True, "skipped"), (NotImplementedError("no"), True, "skipped"), (OWN, True, "error"),
     (OWN, False, "skipped")],
)  # fmt: skip
def test_what_refuses_is_skipped_in_its_words_and_what_raises_otherwise_fails_where_it_was_demanded(
    error, demanded, status
):
    found = checked(Raises("second", error), demanded=demanded)
    assert {r.status for r in found.values()} == {status}
    assert all(str(error) in r.message for r in found.values())
    in_forward_mode = checked(Raises("tangent", error), demanded=demanded)
    left = "error" if status == "error" else "passed"
    assert {name: r.status for name, r in in_forward_mode.items()} == ALL_PASSED | {"output": left}
    assert str(error) in in_forward_mode["output"].message


def test_nothing_given_counts_as_zeros_and_a_wrong_shape_fails():
    class GivesNone(Twice):
        def second(self, *given):
            by_output, _, by_weight = super().second(*given)
            return by_output[1:], None, by_weight

    found = checked(GivesNone())
    assert {name: r.status for name, r in found.items()} == {"output": "failed", "input": "failed", "weight": "passed"}
    assert [d.name for d in found["input"].diagnosis] == ["graph-broken"]
    assert "shape" in found["output"].message


def doubled(name, array):
    return 2 * array if name == "weight" else array


def test_derivatives_of_a_wrong_backward_pass_are_told_from_wrong_derivatives():
    # What is right by the formula is not what this backward pass gives, and the other way round.
    right = checked(Twice(change=doubled))
    assert {r.status for r in (right["output"], right["input"])} == {"failed"}
    assert "says otherwise" in right["input"].message
    own = checked(Twice(change=doubled, by_output=(1, 2, 1), by_input=2))
    assert {r.status for r in (own["output"], own["input"])} == {"failed"}
    assert "wrong itself" in own["input"].message
    assert own["weight"].status == "passed"


def test_what_cannot_be_compared_is_said_where_it_was_demanded():
    plain = Scripted()
    assert check(expected_of(plain), plain, WORK_BUDGET, demanded=False) == []
    assert all("gives no derivatives" in r.message for r in checked(plain).values())
    assert statuses(plain) == dict.fromkeys(BY, "skipped")
    assert all("work budget" in r.message for r in checked(Twice(), budget=10).values())
    inexact = Twice()
    inexact.exact = False
    assert all("exact: false" in r.message for r in checked(inexact).values())


def test_the_gate_decides_where_there_is_one():
    def nearly(array):
        return array * (1 + 1e-12)

    assert statuses(Twice(by_input=nearly)) == ALL_PASSED | {"input": "failed"}
    assert statuses(Twice(by_input=nearly), max_error=1e-9) == ALL_PASSED
    assert statuses(Twice(by_input=one_off), max_error=1e-9) == ALL_PASSED | {"input": "failed"}


class TestInACheckOfALayer:
    def run(self, target, *checks):
        return check_layer(LAYER, [target], Demand(checks or DEFAULT_CHECKS, WORK_BUDGET, None))

    def test_it_is_made_by_default_of_code_that_can_be_asked(self):
        assert {r.gradient: r.status for r in self.run(Twice()) if r.check == "double"} == ALL_PASSED
        assert not [r for r in self.run(Scripted()) if r.check == "double"]

    def test_alone_nothing_else_is_checked(self):
        assert [(r.gradient, r.check) for r in self.run(Twice(), "double")] == [(name, "double") for name in BY]
        assert {r.status for r in self.run(Scripted(), "double")} == {"skipped"}

    def test_wrong_first_gradients_have_no_second(self):
        wrong = Twice(change=doubled)
        assert not [r for r in self.run(wrong) if r.check == "double"]

    def test_a_layer_that_is_refused_says_so_once(self):
        class Refuses(Twice):
            def unsupported(self, layer):
                return "no layer"

        assert "double" not in {r.check for r in self.run(Refuses())}
        assert {(r.check, r.status, r.message) for r in self.run(Refuses(), "double")} == {
            ("double", "skipped", "no layer")
        }

    def test_without_a_bias_the_check_of_the_bias_is_still_named_after_another_kind(self):
        class NoBias(Twice):
            def takes_bias(self):
                return False

        (bias,) = (r for r in self.run(NoBias()) if r.gradient == "bias")
        assert (bias.check, bias.waived) == ("exact", True)
