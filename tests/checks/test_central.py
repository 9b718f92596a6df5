"""Central differences decide within their bound, and say nothing where the bound says nothing."""

import numpy as np
import pytest

from convcheck.checks import central
from convcheck.checks.observed import Fault
from tests.parts import ENTRIES, gradients, numeric, observed, said


def run(values, right, allowed, *, max_error=None, follows_definition=True):
    """Check the bias of a layer, which has as many entries as are given."""
    asked = said(
        max_error=max_error,
        follows_definition=follows_definition,
        allowed=gradients()._replace(bias=np.array(allowed)),
        central=lambda gradient: numeric(np.array(right)) if gradient == "bias" else None,
    )
    return central.check(asked, observed({"bias": np.array(values)}), "bias")


def test_an_error_within_the_bound_passes_and_one_beyond_does_not():
    right, allowed = [4.0, -2, 1, 0, 3, 5], [0.25] * 6
    for error, passes in ((0.0, True), (0.25, True), (0.26, False)):
        found = run(np.add(right, [0, error, 0, 0, 0, 0]), right, allowed)
        assert found.passed is passes
        assert (found.check, found.gradient, found.evaluations) == ("central", "bias", 7)
        assert found.entries_checked == ENTRIES["bias"]
        assert not found.on_integers


@pytest.mark.parametrize("allowed", [[1.0] * 6, [1, 1, 1, 1, 1, np.inf], [0.1, 0.1, np.nan, 0.1, 0.1, 0.1]])
def test_a_bound_as_large_as_the_gradient_or_without_an_end_says_nothing(allowed):
    right = [1.0, -1, 0.5, 0, 1, 1]
    found = run(right, right, allowed)
    assert found.status == "skipped"
    assert (found.check, found.gradient, found.implementation) == ("central", "bias", "mine.py:Conv")
    assert "rounding in float64" in found.message


def test_one_entry_beyond_its_bound_is_enough_to_say_something():
    right = [1.0, -1, 0.5, 0, 1, 1.5]
    assert run(right, right, [1.0] * 6).passed
    assert run([-n for n in right], right, [1.0] * 6).status == "failed"


def test_a_gradient_that_is_all_zero_must_be_zero():
    assert run([0.0] * 6, [0.0] * 6, [0.5] * 6).passed
    assert run([1.0] * 6, [0.0] * 6, [0.5] * 6).status == "failed"


def test_a_gate_decides_where_the_bound_says_nothing():
    right = np.array([1.0, -1, 0.5, 0, 1, 1])
    assert run(right + 0.25, right, [9.0] * 6, max_error=0.5).passed
    assert run(right + 0.75, right, [9.0] * 6, max_error=0.25).status == "failed"


def test_another_forward_pass_cannot_be_coloured():
    right = [1.0] * 6
    found = run(right, right, [0.1] * 6, follows_definition=False)
    assert found.status == "skipped"
    assert (found.check, found.gradient, found.implementation) == ("central", "bias", "mine.py:Conv")
    assert "forward pass" in found.message


def test_an_array_that_was_not_given_is_a_failure():
    found = central.check(said(), observed(faults={"weight": Fault("failed", "missing")}), "weight")
    assert (found.status, found.check, found.message) == ("failed", "central", "missing")
