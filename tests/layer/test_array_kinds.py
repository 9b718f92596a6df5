"""Arrays are equal where shapes and all entries are."""

import numpy as np
import pytest

from convcheck.layer.arrays import equal


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((2, 3)), np.ones((2, 3), np.float32)),
        (np.array([0.0, 2]), np.array([-0.0, 2])),
        (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3))),
        (np.ones((0, 3)), np.zeros((0, 3))),
    ],
)
def test_equal_entries_are_equal_whatever_their_type_and_memory(a, b):
    assert equal(a, b)
    assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones(3), np.ones((1, 3))),
        (np.ones(3), np.ones(1)),
        (np.array([1.0, 2]), np.array([1.0, np.nextafter(2, 3)])),
        (np.array([np.nan]), np.array([np.nan])),
        (np.ones((0, 3)), np.ones((3, 0))),
    ],
)
def test_other_shapes_other_entries_and_nan_are_not(a, b):
    assert not equal(a, b)
    assert not np.array_equal(a, b)
