import numpy as np
import pytest

from convcheck.reports.where import where


def marked(shape, *places):
    wrong = np.zeros(shape, dtype=bool)
    for place in places:
        wrong[place] = True
    return wrong


ALL = slice(None)


@pytest.mark.parametrize(
    ("wrong", "gradient", "expected"),
    [
        (marked((2, 3, 4, 5), ...), "input", "everywhere"),
        (marked((2, 3, 4, 5), (ALL, 1)), "input", "only channel 1 of 0..2"),
        (marked((2, 3, 4, 5), (0,)), "output", "only sample 0 of 0..1"),
        (marked((2, 3, 6, 5), (ALL, ALL, slice(4, 6))), "input", "only the trailing rows 4..5 of 0..5"),
        (marked((2, 3, 6, 5), (ALL, ALL, ALL, slice(0, 2))), "input", "only the leading columns 0..1 of 0..4"),
        (marked((2, 3, 6, 7), (ALL, ALL, ALL, slice(1, 6, 2))), "input", "only columns 1, 3, 5 of 0..6"),
        (marked((2, 3, 40), (ALL, ALL, slice(1, 40, 2))), "input", "only 20 of 40 positions"),
        (marked((2, 3, 5, 5), (ALL, ALL, 0), (ALL, ALL, ALL, 4)), "input", "only on the border"),
        (marked((4, 3, 2, 2), (2, 1, 0, 1)), "weight",
         "only filter 2 of 0..3, channel 1 of 0..2, kernel row 0 of 0..1, kernel column 1 of 0..1"),
        (marked((6,), (5,)), "bias", "only filter 5 of 0..5"),
        (marked((1, 1, 2, 3, 3), (0, 0, 1)), "input", "only plane 1 of 0..1"),
        (np.indices((2, 2, 4, 4)).sum(axis=0) % 2 == 0, "input", "scattered over all axes, 50% of the entries"),
    ],
)  # fmt: skip
def test_says_where_the_wrong_entries_lie(wrong, gradient, expected):
    assert where(wrong, gradient) == expected
