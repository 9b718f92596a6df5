"""Whatever a worker answers, the judge takes it for what was asked for, or for an error of the code's."""

import contextlib
import os
from itertools import count
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcheck import Layer, TargetError
from convcheck.errors import ConvcheckError
from convcheck.layer.data import integer_operands
from convcheck.targets import resolve
from convcheck.targets.process import place
from convcheck.targets.process.limits import Limits
from convcheck.targets.process.wire import shared_file
from convcheck.targets.target import TargetRaisedError

LAYER = Layer(1, 2, 2, input=3, batch=1)
AT = integer_operands(LAYER)

OPENED = {"takes": ["stride"], "found": [], "takes_bias": True, "unsaid": [], "untold": [], "inapplicable": []}

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
ARRAYS = st.sampled_from([
    "float64 1 2 2", "float64 1 1 3", "float64 2 1 2", "float64 2", "float64", "float64 -1", "float64 0",
    "float32 1 2 2", "object 3", "float64 " + "9" * 14, "float64 " * 400, "bfloat16 1 2 2", "float64 1 2 2 ", " ",
])  # fmt: skip
VALUE = (
    ARRAYS | ANYTHING | st.fixed_dictionaries({"misfit": ANYTHING}, optional={"slug": ANYTHING, "foreign": ANYTHING})
)
RAISED = st.fixed_dictionaries(
    {"kind": st.sampled_from(["unimplemented", "raised", "convcheck", "contract", "other"]), "text": SCALARS},
    optional={"message": SCALARS, "refusal": SCALARS, "last": SCALARS},
)
KEYS = {
    "values": st.lists(VALUE, max_size=5), "starts": st.lists(st.integers(-1, 2**50) | SCALARS, max_size=3),
    "raised": RAISED, "raised_at_last": RAISED, "modified": st.lists(st.sampled_from(["x", "weight", "?"])),
    "modified_at_last": ANYTHING, "found": st.lists(st.text()), "takes": st.lists(st.text()), "takes_bias": SCALARS,
    "went_on": SCALARS, "room": SCALARS, "inapplicable": ANYTHING, "differentiable": SCALARS,
}  # fmt: skip
ANSWERS = st.fixed_dictionaries({}, optional={key: value | ANYTHING for key, value in KEYS.items()})


class Says:
    """A worker that says what it is told to, from one file of arrays."""

    pid = 0

    def __init__(self, answers):
        self.answers, self.numbers, self.back = iter(answers), count(), shared_file(2**12)

    def send(self, verb, request, arrays):
        return next(self.numbers)

    def receive(self, number, seconds, output=None):
        return next(self.answers, {})

    def preload(self, module):
        pass

    def close(self, why=""):
        if self.back >= 0:
            os.close(self.back)
        self.back = -1


def used(target):
    """Use a target as the checks do; gives what came of each call."""
    run = target.both(LAYER, AT)
    calls = [
        lambda: run.output, run.modified, run.backward, run.now, lambda: run.went_on, target.takes_bias,
        lambda: list(target.found), lambda: target.unsupported(LAYER),
        lambda: target.onward(run, LAYER, AT).backward(AT.grad_output),
        lambda: target.forward(LAYER, AT.x, AT.weight, AT.bias),
        lambda: target.merged(LAYER, LAYER, np.concatenate([AT.x] * 3), AT.weight, AT.bias),
        lambda: target.second(LAYER, AT, AT), lambda: target.tangent(LAYER, AT, AT),
    ]  # fmt: skip
    for call in calls:
        with contextlib.suppress(ConvcheckError, TargetRaisedError):
            yield call()


@contextlib.contextmanager
def saying(answers):
    """Let every worker say this."""
    with mock.patch.object(place, "Worker", side_effect=lambda limits: Says(answers)):
        yield


@settings(max_examples=60, deadline=None)
@given(st.just(OPENED) | ANSWERS, st.lists(ANSWERS, max_size=12))
def test_nothing_else_comes_of_it(opened, answers):
    with saying([opened, *answers, opened]):
        try:
            target = resolve("code.py:Code", Path(), limits=Limits(in_process=False))
        except (TargetError, ConvcheckError):
            return
        for _ in used(target):
            pass
        target.close()


def test_what_was_asked_for_is_taken():
    answers = [{"values": ["float64 1 2 2", "float64 1 1 3", "float64 2 1 2", "float64 2"], "starts": [0, 64]}]
    with saying([OPENED, *answers]):
        target = resolve("code.py:Code", Path(), limits=Limits(in_process=False))
        run = target.both(LAYER, AT)
        assert run.output.shape == LAYER.output_shape
        assert [array.shape for array in run.backward()] == [LAYER.input_shape, LAYER.weight_shape, LAYER.bias_shape]
        target.close()


def test_code_that_is_not_said_to_be_open_is_refused():
    with saying([{"takes": []}]), pytest.raises(TargetError, match="does not say what was opened"):
        resolve("code.py:Code", Path(), limits=Limits(in_process=False))
