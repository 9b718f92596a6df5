"""The parts of a check made by hand, so that one function of the core can be tried by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from convcheck import Layer, Suite
from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed
from convcheck.gradients import FASTEST
from convcheck.gradients.numeric.differences import NumericGradient
from convcheck.layer.arrays import Gradients
from convcheck.targets import builtin, resolve
from convcheck.targets.calling import PLAIN
from convcheck.targets.target import Run, Target
from tests.targets_for_tests import UNFOLD, Right

#: Of uneven sizes, so that no two arrays have as many entries.
LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3)
ENTRIES = {"output": 3 * 6 * 4 * 8, "input": 3 * 4 * 7 * 8, "weight": 6 * 2 * 2 * 3, "bias": 6}

GRADIENTS = ("input", "weight", "bias")

#: Layers of several kinds.
SUITE = Suite(
    name="several",
    layers=(
        Layer(2, 3, 2, input=(5, 6), name="first"),
        Layer(2, 4, (2, 3), stride=2, groups=2, name="second"),
        Layer(1, 2, 3, input=(9,), name="third"),
    ),
    lines=(1, 2, 3),
)

#: A file of code that is right, and that is wrong from three groups on.
HUNTED = """\
import convcheck

class Right:
    def forward(self, x, weight, bias, layer):
        print("noise of the target")
        self.saved = layer, x, weight
        return convcheck.forward(layer, x, weight, bias)

    def backward(self, grad_output):
        return convcheck.backward(*self.saved, grad_output)

class Groups(Right):
    def backward(self, grad_output):
        grads = super().backward(grad_output)
        return (0 * grads.input if self.saved[0].groups > 2 else grads.input), grads.weight, grads.bias
"""

#: A stand-in for a target, where only its name is needed.
NAMED = SimpleNamespace(name="mine.py:Conv", builtin=False, exact=True, absent={})


def target(code=Right, **mapping):
    return resolve({"call": code, **mapping}, Path())


def expected(layer=LAYER, source=None, max_error=None):
    """What a layer's checks share; by default, the built-in formulation is what is differenced."""
    return Expected(layer, source or builtin(FASTEST), max_error, lambda evaluations: None)


def observed(arrays=None, faults=None, **others):
    return Observed(NAMED, arrays or {}, faults or {}, **others)


def said(layer=LAYER, max_error=None, **facts):
    """What a check asks of `Expected`, with answers of the test's own."""
    return SimpleNamespace(layer=layer, max_error=max_error, **facts)


def gradients(**values):
    """Each array a number everywhere, in the shape that the layer gives it; 0 without one."""
    shapes = {"input": LAYER.input_shape, "weight": LAYER.weight_shape, "bias": LAYER.bias_shape}
    return Gradients(**{name: np.full(shape, float(values.get(name, 0))) for name, shape in shapes.items()})


def numeric(values, evaluations=7):
    return NumericGradient(values, evaluations)


def right_arrays(at, layer=LAYER):
    output = UNFOLD.forward(layer, at.x, at.weight, at.bias)
    return {"output": output, **UNFOLD.backward(layer, at.x, at.weight, at.grad_output)._asdict()}


class Scripted(Target):
    """Gives what it is told: ``change(name, array)`` for the output and for every gradient, in every call."""

    name = "scripted"

    def __init__(self, change=lambda name, array: array, written=()):
        self.change, self.written, self.runs = change, written, 0

    def forward(self, layer, x, weight, bias):
        return self.change("output", UNFOLD.forward(layer, x, weight, bias))

    def run(self, layer, operands, how=PLAIN):
        self.runs += 1
        return ScriptedRun(self, layer, operands)


class ScriptedRun(Run):
    def __init__(self, of, layer, operands):
        self.of, self.layer, self.operands, self.passes = of, layer, operands, 0
        self.output = of.change("output", right_arrays(operands, layer)["output"])

    def backward(self, grad_output=None):
        self.passes += 1
        at = self.operands if grad_output is None else replace(self.operands, grad_output=grad_output)
        arrays = right_arrays(at, self.layer)
        return tuple(self.of.change(name, arrays[name]) for name in GRADIENTS)

    def again(self, operands, layer=None, *, new_memory=False):
        return ScriptedRun(self.of, layer or self.layer, operands)

    def modified(self):
        return tuple(self.of.written[: 1 + self.passes])


def changing(which, to):
    """What changes one array alone."""
    return lambda name, array: to(array) if name == which else array


def raising(error):
    def to(array):
        raise error

    return to
