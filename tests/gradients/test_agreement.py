"""The formulations are independent, so where they agree on integers, to the last bit, they are right or wrong together;
PyTorch is the judge of that.
"""

import numpy as np
import pytest
from hypothesis import given, settings

from convcheck import Layer
from convcheck.gradients import FORMULATIONS, ORACLE, formulation
from convcheck.layer.data import integer_operands
from tests.strategies import layers


def passes(name, layer, at):
    module = formulation(name)
    output = module.forward(layer, at.x, at.weight, at.bias)
    return (output, *module.backward(layer, at.x, at.weight, at.grad_output))


def assert_equal(left, right):
    for a, b in zip(left, right, strict=True):
        if a is None or b is None:
            assert a is b
        else:
            np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("name", [name for name in FORMULATIONS if name != ORACLE])
@given(layer=layers(dtypes=("float64", "float32")))
@settings(max_examples=150, deadline=None)
def test_agrees_exactly_with_the_definition(name, layer):
    at = integer_operands(layer)
    assert_equal(passes(name, layer, at), passes(ORACLE, layer, at))


@pytest.mark.parametrize("name", FORMULATIONS)
@given(layer=layers(dtypes=("float64", "float32")))
@settings(max_examples=80, deadline=None)
def test_agrees_exactly_with_pytorch(name, layer):
    torch = pytest.importorskip("torch")
    at = integer_operands(layer)
    x, weight, bias = (None if a is None else torch.tensor(a, requires_grad=True) for a in (at.x, at.weight, at.bias))
    amounts = [amount for pair in reversed(layer.padding) for amount in pair]
    convolve = getattr(torch.nn.functional, f"conv{len(layer.input)}d")
    padded = torch.nn.functional.pad(x, amounts)
    output = convolve(padded, weight, bias, layer.stride, 0, layer.dilation, layer.groups)
    output.backward(torch.tensor(at.grad_output))
    expected = (output.detach().numpy(), *(None if t is None else t.grad.numpy() for t in (x, weight, bias)))
    assert_equal(passes(name, layer, at), expected)


@pytest.mark.parametrize("name", FORMULATIONS)
def test_the_comparison_would_notice_one_wrong_entry(name):
    layer = Layer(2, 4, (2, 3), stride=2, padding=1, groups=2, input=(5, 6))
    at = integer_operands(layer)
    right = passes(name, layer, at)
    for index in range(len(right)):
        wrong = [array.copy() for array in right]
        wrong[index].flat[-1] += 1
        with pytest.raises(AssertionError):
            assert_equal(wrong, right)


@pytest.mark.parametrize("name", FORMULATIONS)
@given(layer=layers(max_axes=2))
@settings(max_examples=40, deadline=None)
def test_leaves_its_arguments_alone(name, layer):
    at, before = integer_operands(layer), integer_operands(layer)
    passes(name, layer, at)
    for field in ("x", "weight", "bias", "grad_output"):
        if getattr(before, field) is not None:
            np.testing.assert_array_equal(getattr(at, field), getattr(before, field))


@pytest.mark.parametrize("name", FORMULATIONS)
@given(layer=layers())
@settings(max_examples=60, deadline=None)
def test_backward_is_the_adjoint_of_forward(name, layer):
    """<grad_output, f(x) - b> = <grad_input, x> = <grad_weight, w>: linear in each operand."""
    at = integer_operands(layer)
    module = formulation(name)
    output = module.forward(layer, at.x, at.weight, None)
    gradients = module.backward(layer, at.x, at.weight, at.grad_output)
    total = np.vdot(output, at.grad_output)
    assert np.vdot(gradients.input, at.x) == total
    assert np.vdot(gradients.weight, at.weight) == total


def test_formulations_do_not_import_each_other():
    import ast
    from importlib import import_module
    from pathlib import Path

    for name in FORMULATIONS:
        source = Path(import_module(f"convcheck.gradients.{name}").__file__).read_text(encoding="utf-8")
        imported = {
            node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module
        }
        assert not any(module.startswith("convcheck.gradients") for module in imported)
        assert name != ORACLE or "convcheck.layer.axis" not in imported


def test_an_unknown_formulation_is_named_with_the_known_ones():
    from convcheck.errors import UsageError

    with pytest.raises(UsageError) as caught:
        formulation("winograd")
    assert all(word in str(caught.value) for word in ('"winograd"', *FORMULATIONS))
