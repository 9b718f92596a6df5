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


def test_small_numbers_are_compared_with_small_numbers():
    """The scale is that of the arrays, however small: of either side, whichever is larger."""
    assert compare(np.array([0.5, 0.25]), np.array([0.25, 0.25]), 0.0).max_rel_error == 0.5
    assert compare(np.array([0.25, 0.25]), np.array([0.5, 0.25]), 0.0).max_rel_error == 0.5


@pytest.mark.parametrize("sign", [1, -1])
def test_the_gate_is_a_share_of_the_largest_entry_and_takes_the_place_of_what_is_allowed(sign):
    right = sign * np.array([4.0, 1.0])
    wrong = right + np.array([0, 0.5])
    for max_error, mismatches in ((0.12, 1), (0.125, 0), (0.13, 0)):
        comparison = compare(wrong, right, np.zeros(2), max_error)
        assert comparison.allowed_error == 4 * max_error
        assert comparison.mismatches == mismatches
    assert compare(wrong, right, 100.0, 0.12).mismatches == 1


def test_where_all_is_within_what_is_allowed_the_largest_error_is_shown_with_its_own_allowance():
    comparison = compare(np.array([0.1, 3.0, 0.2]), np.zeros(3), np.array([1.0, 4.0, 2.0]))
    assert comparison.mismatches == 0
    assert comparison.worst == Worst((1,), 3.0, 0.0)
    assert (comparison.max_abs_error, comparison.allowed_error) == (3.0, 4.0)


@pytest.mark.parametrize(
    ("errors", "allowed", "worst"),
    [
        # The largest factor beyond what is allowed, be that above or below 1 ...
        ([8.0, 9.0], [2.0, 3.0], 0),
        ([0.9, 0.8], [0.3, 0.2], 1),
        # ... and where nothing is allowed, the largest error; an entry within its allowance is never the worst.
        ([1.0, 3.0], [0.0, 0.0], 1),
        ([100.0, 0.5], [100.0, 0.25], 1),
        ([3.0, 1.0], [0.0, 0.5], 0),
        ([1.5, 1.0], [0.0, 0.5], 1),
    ],
)
def test_the_worst_entry_is_the_one_furthest_beyond(errors, allowed, worst):
    comparison = compare(np.array(errors), np.zeros(2), np.array(allowed))
    assert comparison.worst.index == (worst,)
    assert comparison.allowed_error == allowed[worst]


def test_an_allowance_too_small_to_divide_by_does_not_end_the_run():
    comparison = compare(np.array([1e300, 0.0]), np.zeros(2), np.array([1e-300, 0.0]))
    assert (comparison.mismatches, comparison.worst.index) == (1, (0,))


def test_a_difference_too_large_for_its_dtype_is_wrong():
    comparison = compare(np.array([0.0, 1e308]), np.array([0.0, -1e308]), np.array([1.0, 2.0]))
    assert (comparison.mismatches, comparison.max_abs_error, comparison.max_rel_error) == (1, np.inf, np.inf)
    assert comparison.worst == Worst((1,), 1e308, -1e308)
    assert comparison.allowed_error == 2.0


def test_float32_is_compared_in_float64():
    large = np.array([2.0**24], np.float32)
    assert compare(large, np.array([2.0**24 + 1]), 0.0).max_abs_error == 1.0
    assert compare(np.array([2.0**24 + 1]), large, 0.0).mismatches == 1


def test_beside_what_is_not_finite_other_entries_are_judged_as_ever():
    comparison = compare(np.array([1.0, np.nan, 5.0]), np.array([1.5, 0.0, 0.0]), np.array([1.0, 2.0, 3.0]))
    assert comparison.wrong.tolist() == [False, True, True]
    assert comparison.worst.index == (1,)
    assert comparison.worst.numeric == 0.0
    assert np.isnan(comparison.worst.analytic)
    assert (comparison.max_rel_error, comparison.allowed_error) == (np.inf, 2.0)


def test_an_allowance_that_is_no_number_allows_nothing():
    assert compare(np.array([1.0]), np.array([1.0]), np.array([np.nan])).mismatches == 1


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
