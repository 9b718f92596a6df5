"""The output is compared with the definition's: on integers exactly, on real numbers within the bound."""

import numpy as np
import pytest

from convcheck.checks import forward
from convcheck.checks.observed import Fault
from tests.parts import LAYER, observed, said

INTEGERS = np.arange(float(np.prod(LAYER.output_shape))).reshape(LAYER.output_shape)
REALS = INTEGERS + 0.5


def run(on_integers, on_reals=None, allowance=0.0, max_error=None, faults=None, real_faults=None):
    asked = said(
        max_error=max_error,
        definition=INTEGERS,
        forward_allowance=allowance,
        real_output=REALS,
        real_output_allowance=np.full(LAYER.output_shape, 0.125),
    )
    first = observed({} if faults else {"output": on_integers}, faults)
    second = first if on_reals is None else observed({} if real_faults else {"output": on_reals}, real_faults)
    return forward.check(asked, first, second)


def off(array, amount):
    changed = array.copy()
    changed[2, 1, 0, 3] += amount
    return changed


@pytest.mark.parametrize("max_error", [None, 0.5])
def test_right_outputs_pass_with_the_numbers_of_the_integers(max_error):
    for on_reals in (None, REALS, off(REALS, 0.125)):
        found = run(INTEGERS, on_reals, max_error=max_error)
        assert (found.status, found.gradient, found.check, found.evaluations) == ("passed", "output", "forward", 0)
        assert (found.on_integers, found.max_abs_error, found.message) == (True, 0.0, None)


@pytest.mark.parametrize("max_error", [None, 0.5])
def test_one_entry_is_enough(max_error):
    found = run(off(INTEGERS, 1e-9), REALS, max_error=max_error)
    assert found.status == "failed"
    assert found.worst.index == (2, 1, 0, 3)
    assert "real data" not in found.message
    found = run(off(INTEGERS, 1), max_error=max_error)
    assert (found.status, found.gradient, found.check) == ("failed", "output", "forward")


def test_what_is_wrong_on_real_data_only_says_so():
    found = run(INTEGERS, off(REALS, 0.25))
    assert (found.status, found.gradient, found.check) == ("failed", "output", "forward")
    assert (found.max_abs_error, found.evaluations) == (0.25, 0)
    assert found.worst.index == (2, 1, 0, 3)
    assert "real data" in found.message
    assert "filter 1" in found.message


def test_code_that_rounds_may_be_off_by_what_rounding_allows():
    assert run(off(INTEGERS, 0.5), allowance=0.5).passed
    assert not run(off(INTEGERS, 0.5), allowance=0.25).passed


@pytest.mark.parametrize("which", ["faults", "real_faults"])
def test_no_output_is_no_pass_on_either_data(which):
    found = run(INTEGERS, REALS, **{which: {"output": Fault("error", "it raised")}})
    assert (found.status, found.gradient, found.check, found.message) == ("error", "output", "forward", "it raised")
