"""The parts of a check made by hand, so that one function of the core can be tried by itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from convcheck import Layer
from convcheck.checks.expected import Expected
from convcheck.checks.observed import Observed
from convcheck.gradients import FASTEST
from convcheck.gradients.numeric.differences import NumericGradient
from convcheck.layer.arrays import Gradients
from convcheck.targets import builtin, resolve
from tests.targets_for_tests import Right

#: Of uneven sizes, so that no two arrays have as many entries.
LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3)
ENTRIES = {"output": 3 * 6 * 4 * 8, "input": 3 * 4 * 7 * 8, "weight": 6 * 2 * 2 * 3, "bias": 6}

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
