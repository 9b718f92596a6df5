"""Operations of somebody's own autograd: how tensors are made, read and run backward."""

import numpy as np
import pytest

import convcheck
from convcheck import Layer, TargetError, verify
from convcheck.checks.observed import Observed
from convcheck.layer.data import integer_operands
from convcheck.targets import resolve

LAYER = Layer(2, 3, (3, 2), input=(6, 5))


class Tensor:
    """Knows its array, its gradient, and what to do when a gradient arrives."""

    def __init__(self, data, arrive=None):
        self.data, self.grad, self.arrive = data, None, arrive

    def backward(self, grad):
        assert isinstance(grad, np.ndarray)
        self.arrive(grad)


class OfTensors(Tensor):
    """Gradients are tensors too."""

    def backward(self, grad):
        assert isinstance(grad, OfTensors)
        self.arrive(grad.data)


class OfNumbers(Tensor):
    """Only a number can go backward."""

    def __mul__(self, other):
        return OfNumbers(self.data * other.data, lambda grad: self.arrive(grad * other.data))

    def sum(self):
        return OfNumbers(self.data.sum(), lambda grad: self.arrive(np.full(self.data.shape, grad)))

    def backward(self):
        self.arrive(1.0)


class WithOptions(OfNumbers):
    """What backward takes is no gradient."""

    def backward(self, retain_grad=False, create_graph=False):
        self.arrive(np.ones_like(self.data) if isinstance(self.data, np.ndarray) else 1.0)

    def __mul__(self, other):
        return WithOptions(self.data * other.data, lambda grad: self.arrive(grad * other.data))

    def sum(self):
        return WithOptions(self.data.sum(), lambda grad: self.arrive(np.full(self.data.shape, grad)))


class Elsewhere:
    """With names of its own."""

    def __init__(self, held, arrive=None):
        self.held, self.slope, self.arrive = held, None, arrive

    def backward(self, slope):
        self.arrive(slope)


def convolution(kind, spoil=lambda gradients: gradients, wrap=lambda gradient: gradient, array="data", gradient="grad"):
    def conv2d(x, weight, bias):
        arrays = [getattr(tensor, array) for tensor in (x, weight, bias)]
        layer = Layer(arrays[0].shape[1], len(arrays[1]), arrays[1].shape[2:], input=arrays[0].shape[2:])

        def arrive(grad):
            for tensor, found in zip(
                (x, weight, bias), spoil(convcheck.backward(layer, *arrays[:2], grad)), strict=True
            ):
                before = getattr(tensor, gradient)
                setattr(tensor, gradient, wrap(found if before is None else found + before))

        return kind(convcheck.forward(layer, *arrays), arrive)

    return conv2d


def flipped(gradients):
    return gradients[0], gradients[1][..., ::-1], gradients[2]


NAMES = {"array": "held", "gradient": "slope"}
MAPPED = {"attributes": {"data": "held", "grad": "slope"}}


@pytest.mark.parametrize(
    ("kind", "more", "mapping", "found"),
    [
        (Tensor, {}, {}, "backward is given grad_output as an array"),
        (OfTensors, {"wrap": OfTensors}, {}, "backward is given grad_output as a tensor"),
        (OfNumbers, {}, {}, "backward starts from (output * grad_output).sum()"),
        (WithOptions, {}, {}, "backward starts from (output * grad_output).sum()"),
        (Elsewhere, NAMES, MAPPED, "backward is given grad_output as an array"),
    ],
)
def test_right_passes_and_wrong_is_caught(kind, more, mapping, found):
    mapping = {"style": "tape", "tensor": kind} | mapping
    right = mapping | {"call": convolution(kind, **more)}
    assert verify(LAYER, target=right).passed
    report = verify(LAYER, target=mapping | {"call": convolution(kind, flipped, **more)})
    assert {r.gradient for r in report.layers[0].results if r.status != "passed"} == {"weight"}
    target = resolve(right, None)
    assert not Observed.of(target, LAYER, integer_operands(LAYER)).faults
    assert list(target.found) == [found]


def test_a_gradient_that_does_not_arrive_is_missing():
    report = verify(
        LAYER, target={"tensor": Tensor, "call": convolution(Tensor, lambda gradients: (gradients[0], None, None))}
    )
    assert not report.passed
    missing = {r.gradient for r in report.layers[0].results if "missing (None)" in (r.message or "")}
    assert missing == {"weight", "bias"}


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        ({}, "attributes: {data: NAME}"),
        ({"attributes": {"data": "held"}}, "attributes: {grad: NAME}"),
    ],
)
def test_where_something_lies_is_asked_for(mapping, line):
    target = {"tensor": Elsewhere, "call": convolution(Elsewhere, **NAMES)} | mapping
    report = verify(LAYER, target=target)
    assert not report.passed
    assert line in " ".join(r.message or "" for r in report.layers[0].results)


def test_an_output_that_is_no_tensor_is_said():
    report = verify(LAYER, target={"tensor": Tensor, "call": lambda x, weight, bias: np.ones(LAYER.output_shape)})
    assert not report.passed
    assert "without a method backward" in " ".join(r.message or "" for r in report.layers[0].results)


@pytest.mark.parametrize("lacking", ["__mul__", "sum"])
def test_operations_from_which_backward_would_start_are_named(lacking, monkeypatch):
    monkeypatch.setattr(OfNumbers, lacking, None)
    report = verify(LAYER, target={"tensor": OfNumbers, "call": convolution(OfNumbers)})
    assert not report.passed
    said = " ".join(r.message or "" for r in report.layers[0].results)
    assert "(output * grad_output).sum()" in said
    assert f"has no {'*' if lacking == '__mul__' else lacking}; " in said
    assert "or a backward that takes grad_output" in said


def test_the_class_of_the_tensors_is_needed():
    with pytest.raises(TargetError, match=r"tensor: path/to/file.py:Tensor"):
        verify(LAYER, target={"style": "tape", "call": convolution(Tensor)})
