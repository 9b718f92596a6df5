import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from convcheck.checks.comparison import compare
from convcheck.reports.results import Worst

RIGHT = np.array([[1.0, -2.0], [4.0, 0.0]])


def test_equal_arrays_have_no_error_and_no_worst_entry():
    comparison = compare(RIGHT, RIGHT, 0.0)
    assert (comparison.max_abs_error, comparison.max_rel_error, comparison.mismatches) == (0.0, 0.0, 0)
    assert comparison.worst is None


def test_a_wrong_entry_is_found_with_both_values():
    wrong = RIGHT.copy()
    wrong[1, 0] = 3.0
    comparison = compare(wrong, RIGHT, 0.0)
    assert comparison.worst == Worst((1, 0), 3.0, 4.0)
    assert (comparison.max_abs_error, comparison.max_rel_error, comparison.mismatches) == (1.0, 0.25, 1)


def test_the_relative_error_is_that_of_the_whole_array_and_0_where_all_is_zero():
    assert compare(np.zeros(3), np.zeros(3), 0.0).max_rel_error == 0.0
    assert compare(np.zeros(3), np.array([0, 0, 2.0]), 0.0).max_rel_error == 1.0


def test_the_worst_of_a_failure_is_furthest_beyond_its_own_allowance():
    comparison = compare(np.array([1.0, 0.1]), np.zeros(2), np.array([2.0, 0.01]))
    assert comparison.worst == Worst((1,), 0.1, 0.0)
    assert comparison.allowed_error == 0.01
    assert comparison.mismatches == 1


@pytest.mark.parametrize("spoil", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("max_error", [None, 10.0])
def test_what_is_not_finite_is_wrong_on_either_side_whatever_is_allowed(spoil, side, max_error):
    pair = [RIGHT.copy(), RIGHT.copy()]
    pair[side][0, 1] = spoil
    comparison = compare(*pair, np.inf, max_error)
    assert comparison.mismatches == 1
    assert comparison.worst.index == (0, 1)
    assert comparison.max_abs_error == np.inf


def test_equal_infinities_do_not_cancel():
    spoilt = np.array([np.inf, 1.0])
    assert compare(spoilt, spoilt, 0.0).mismatches == 1


values = arrays(np.float64, (3, 2), elements=st.floats(-1e6, 1e6))


@given(values, values, arrays(np.float64, (3, 2), elements=st.floats(0, 1e6)), st.none() | st.floats(1e-12, 2))
def test_the_numbers_imply_the_verdict(analytic, numeric, allowed, max_error):
    comparison = compare(analytic, numeric, allowed, max_error)
    assert (comparison.max_abs_error <= comparison.allowed_error) == (comparison.mismatches == 0)
