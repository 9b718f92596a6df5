"""A run under a condition keeps what was asked, on which data, and what came of it."""

import numpy as np
import pytest

from convcheck.checks.ran import run
from convcheck.targets.calling import PLAIN, How
from tests.parts import LAYER, Scripted, changing, expected, raising, right_arrays


class Told(Scripted):
    """Keeps how it was called."""

    def run(self, layer, operands, how=PLAIN):
        self.told = layer, operands, how
        return super().run(layer, operands, how)


@pytest.mark.parametrize("how", [PLAIN, How("fortran"), How(gradients=("weight",))])
def test_the_target_is_run_once_as_is_asked_for_on_the_data_that_are_given(how):
    code, shared = Told(), expected()
    at = shared.draws[1]
    found = run(shared, code, at, how)
    assert (code.runs, code.told[0]) == (1, LAYER)
    assert code.told[1] is found.operands is at
    assert code.told[2] is found.how is how
    assert found.expected is shared
    right = right_arrays(at)
    assert found.observed.arrays.keys() == {"output", *how.gradients}
    assert all(np.array_equal(array, right[name]) for name, array in found.observed.arrays.items())


def test_a_run_by_itself_shows_alone_what_is_wrong_and_belongs_to_no_other_condition():
    shared = expected()
    found = run(shared, Told(), shared.draws[0])
    assert found.alone
    assert not found.observed.went_on
    assert found.regime is None


def test_what_is_wrong_or_raised_is_in_what_came_of_it():
    shared = expected()
    right = right_arrays(shared.draws[0])
    wrong = run(shared, Told(changing("weight", np.negative)), shared.draws[0]).observed.arrays
    assert np.array_equal(wrong["weight"], -right["weight"])
    assert np.array_equal(wrong["input"], right["input"])
    broken = run(shared, Told(changing("output", raising(ValueError("no such luck")))), shared.draws[0]).observed
    assert not broken.arrays
    assert "no such luck" in broken.faults["output"].message
