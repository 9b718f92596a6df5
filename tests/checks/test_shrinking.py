"""The greedy search by itself: trials are predicates on layers and on numbers, and no code is run."""

import time

import numpy as np
import pytest

from convcheck import Layer
from convcheck.checks import shrinking
from convcheck.checks.shrinking import Search, arrays_in, as_lists
from convcheck.layer.data import integer_operands
from tests.parts import target

LAYER = Layer(6, 6, 3, stride=2, padding=1, input=(9, 9), batch=3, bias=False)


class Found(Search):
    """Fails on layers, and with data, as is asked for; a case is its data, and what is told are the case and notes."""

    def __init__(self, fails, fails_with=lambda arrays: True, seconds=60.0):
        super().__init__(target(), LAYER, ["some name"], None, time.monotonic() + seconds)
        self.fails, self.fails_with = fails, fails_with

    def run_on(self, layer):
        self.count()
        arrays = arrays_in(integer_operands(layer))
        return ("fails", arrays) if self.fails(layer) and self.fails_with(arrays) else ("passes", None)

    def arrays(self):
        return self.case

    def takes_array(self, name, array):
        self.count()
        other = {**self.case, name: array}
        if not self.fails_with(other):
            return False
        self.case = other
        return True

    def told(self, case, notes):
        return case, notes


def test_the_plainest_layer_is_found_on_which_it_fails():
    search = Found(lambda layer: layer.channels >= 2 and set(layer.stride) != {1})
    case, notes = search.smallest()
    layer = search.layer
    assert (layer.channels, layer.filters, layer.batch, layer.padding) == (2, 1, 1, ((0, 0),))
    assert layer.stride == (2,)
    assert not any(array.any() for array in case.values())
    assert notes == []


def test_what_passes_everywhere_has_no_case():
    assert Found(lambda layer: False).smallest() is None


def test_a_size_that_matters_is_told():
    _, notes = Found(lambda layer: layer.channels >= 6).smallest()
    assert notes == ["fails from 6 channels on"]
    _, notes = Found(lambda layer: layer.channels % 6 == 0).smallest()
    assert notes == ["fails with 6 channels, not with 5 and 7 and 10"]


def test_entries_become_zeros_and_ones_where_it_then_still_fails():
    case, _ = Found(lambda layer: True, lambda arrays: np.count_nonzero(arrays["x"]) >= 1).smallest()
    assert np.count_nonzero(case["x"]) == 1
    assert case["x"].max() == 1
    assert not case["weight"].any()


@pytest.mark.parametrize(("most", "seconds"), [(3, 60.0), (3000, -1.0)])
def test_a_search_without_further_trials_ends_early(most, seconds, monkeypatch):
    monkeypatch.setattr(shrinking, "MOST_RUNS", most)
    search = Found(lambda layer: True, seconds=seconds)
    found = search.smallest()
    assert search.runs <= most
    if seconds < 0:
        assert found is None
    else:
        assert found[1] == ["the search ended early: a smaller case may fail too"]


def test_a_case_of_many_numbers_is_none_to_look_at(monkeypatch):
    monkeypatch.setattr(shrinking, "_MOST_ENTRIES", 3)
    assert Found(lambda layer: layer.channels >= 6).smallest() is None


def test_data_as_lists_have_a_place_for_the_bias_that_is_not_there():
    lists = as_lists(integer_operands(Layer(1, 1, 1, input=(2,), batch=1, bias=False)))
    assert list(lists) == ["x", "weight", "bias", "grad_output"]
    assert lists["bias"] is None
    assert np.shape(lists["x"]) == (1, 1, 2)
