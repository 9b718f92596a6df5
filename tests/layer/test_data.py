"""What the data are drawn from, told from the data themselves: no zero, both signs, every value, nothing repeated."""

from dataclasses import replace

import numpy as np
import pytest

from convcheck import Layer
from convcheck.layer.data import example_operands, integer_magnitude, integer_operands, nonzero_terms, real_operands
from convcheck.layer.fields import DTYPES

ARRAYS = ("x", "weight", "bias", "grad_output")

#: Every array of it has some thousand entries, so that shares are known to a few in a hundred.
LAYER = Layer(64, 1024, (2, 3), input=(9, 10), batch=3, seed=11)


def with_magnitude(layer, magnitude, monkeypatch):
    """The layer in a dtype with so few digits that its integers are no larger than this."""
    for precision in range(2, 24):
        monkeypatch.setitem(DTYPES, "float32", replace(DTYPES["float32"], precision=precision))
        made = replace(layer, dtype="float32")
        if integer_magnitude(made) == magnitude and nonzero_terms(made) is None:
            return made
    raise AssertionError(f"no dtype gives {magnitude}")


def deviation(share, count):
    """Five standard deviations of a share of so many."""
    return 5 * (share * (1 - share) / count) ** 0.5


@pytest.mark.parametrize("magnitude", [1, 2, 3])
@pytest.mark.parametrize("draw", [0, 1])
@pytest.mark.parametrize("name", ARRAYS)
def test_every_integer_of_either_sign_is_as_frequent_as_the_others_and_zero_never_occurs(
    magnitude, draw, name, monkeypatch
):
    layer = with_magnitude(LAYER, magnitude, monkeypatch)
    array = getattr(integer_operands(layer, draw), name)
    values, counts = np.unique(array, return_counts=True)
    assert values.tolist() == [v for v in range(-magnitude, magnitude + 1) if v]
    share = 1 / (2 * magnitude)
    assert (np.abs(counts / array.size - share) < deviation(share, array.size)).all()


@pytest.mark.parametrize("magnitude", [1, 2, 3])
@pytest.mark.parametrize("name", ARRAYS)
def test_neighbours_are_alike_no_more_often_than_by_chance(magnitude, name, monkeypatch):
    array = getattr(integer_operands(with_magnitude(LAYER, magnitude, monkeypatch)), name)
    share = 1 / (2 * magnitude)
    for axis, length in enumerate(array.shape):
        for distance in range(1, min(length, 4)):
            ahead, behind = (
                np.take(array, range(*ends), axis) for ends in ((distance, length), (0, length - distance))
            )
            assert abs(np.mean(ahead == behind) - share) < deviation(share, ahead.size)
            # Nor are they of opposite sign more often.
            assert abs(np.mean(ahead == -behind) - share) < deviation(share, ahead.size)


def test_no_sample_channel_or_filter_repeats_another():
    at = integer_operands(LAYER)
    for array in (at.x, at.weight, at.grad_output):
        maps = array.reshape(-1, *array.shape[2:])
        if maps[0].size > 20:
            assert len(np.unique(maps, axis=0)) == len(maps)
        for axis in (0, 1):
            assert np.unique(array, axis=axis).shape == array.shape


def test_arrays_of_one_draw_differ_and_so_do_draws_and_seeds():
    same_shape = Layer(5, 5, 5, padding=2, input=(5, 5), batch=5)
    at = integer_operands(same_shape)
    assert at.x.shape == at.weight.shape == at.grad_output.shape
    drawn = [at, integer_operands(same_shape, 1), integer_operands(same_shape, 2)]
    drawn.append(integer_operands(replace(same_shape, seed=1)))
    assert len({array.tobytes() for one in drawn for array in (one.x, one.weight, one.grad_output)}) == 12
    again = integer_operands(same_shape)
    assert all(np.array_equal(getattr(at, name), getattr(again, name)) for name in ARRAYS)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_real_numbers_are_of_both_signs_hardly_ever_repeated_and_no_integers(dtype):
    at = real_operands(replace(LAYER, dtype=dtype))
    for name in ARRAYS:
        array = getattr(at, name)
        assert abs(np.mean(array > 0) - 0.5) < deviation(0.5, array.size)
        assert np.abs(array).max() <= 4
        assert 0.9 < array.std() < 1.1
        assert len(np.unique(array)) > 0.75 * min(array.size, 2**16)
        assert np.mean(array == np.rint(array)) < 0.01


def test_numbers_to_read_are_told_apart_within_a_small_map():
    at = example_operands(Layer(2, 3, 3, input=(3, 3), batch=2))
    for array in (at.x, at.weight):
        assert all(len(np.unique(one)) == 9 for one in array.reshape(-1, 9))
    values = np.unique(example_operands(LAYER).x)
    assert values.tolist() == [-5, -4, -3, -2, -1, 1, 2, 3, 4, 5]
