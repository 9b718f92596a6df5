"""What a run gives is kept as it was given, and what it does not give is blamed on the right array."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from convcheck.checks.observed import Fault, Observed, explained, shape_of
from convcheck.errors import TargetError
from convcheck.layer.data import integer_operands
from convcheck.targets.calling import PLAIN, How
from tests.parts import LAYER, Scripted, ScriptedRun, changing, raising, right_arrays, target
from tests.parts import right_arrays as right
from tests.targets_for_tests import Right

AT, OTHER, THIRD = (integer_operands(LAYER, draw) for draw in range(3))
ALL = ("output", "input", "weight", "bias")
GRADIENTS = ALL[1:]
EACH = pytest.mark.parametrize("gradient", GRADIENTS)


@pytest.fixture
def without_collector():
    gc.disable()
    yield
    gc.enable()


def same(arrays, wanted):
    return set(arrays) == set(wanted) and all(np.array_equal(arrays[name], wanted[name]) for name in wanted)


def of(*script, layer=LAYER, **options):
    return Observed.of(Scripted(*script), layer, AT, **options)


class TestOneRun:
    def test_right_code_gives_every_array_and_no_fault(self):
        seen = of()
        assert same(seen.arrays, right(AT))
        assert np.array_equal(seen.output, right(AT)["output"])
        assert (seen.faults, seen.refusal, seen.again, seen.anew) == ({}, None, None, None)
        assert seen.implementation.name == "scripted"
        assert seen.modified == {"backward": ()}

    def test_without_a_bias_its_gradient_is_not_looked_at(self):
        layer = replace(LAYER, bias=False)
        at = integer_operands(layer)
        seen = Observed.of(Scripted(), layer, at)
        assert same(seen.arrays, {name: array for name, array in right(at, layer).items() if name != "bias"})
        assert seen.faults == {}

    @EACH
    def test_a_gradient_that_a_target_does_not_give_is_not_looked_at(self, gradient):
        code = Scripted(changing(gradient, lambda array: None))
        code.absent = {gradient: "it has none"}
        seen = Observed.of(code, LAYER, AT)
        assert set(seen.arrays) == set(ALL) - {gradient}
        assert seen.faults == {}

    def test_a_later_write_into_what_was_given_does_not_reach_what_is_kept(self):
        given = {}

        def keep(name, array):
            given[name] = array
            return array

        seen = of(keep)
        for array in given.values():
            array += 1
        assert same(seen.arrays, right(AT))
        assert np.array_equal(seen.output, right(AT)["output"])

    def test_a_backward_pass_that_writes_into_the_output_does_not_change_it(self):
        class Spoils(ScriptedRun):
            def backward(self):
                self.output += 1
                return super().backward()

        code = Scripted()
        code.run = lambda layer, operands, how=None: Spoils(code, layer, operands)
        seen = Observed.of(code, LAYER, AT)
        assert same(seen.arrays, right(AT))

    def test_what_is_written_into_is_told_by_the_pass_that_wrote(self):
        seen = of(lambda name, array: array, ("x", "grad_output"), twice=True)
        assert seen.modified == {"forward": ("x",), "backward": ("grad_output",)}
        # One look is enough where nobody asks which pass it was.
        assert of(lambda name, array: array, ("x", "grad_output")).modified == {"backward": ("x", "grad_output")}


class TestFaults:
    @pytest.mark.parametrize("name", ALL)
    def test_nothing(self, name):
        seen = of(changing(name, lambda array: None))
        fault = seen.faults[name]
        assert fault.status == "failed"
        assert fault.slug == (None if name == "output" else "zero-gradient")
        assert "None" in fault.message
        assert str(shape_of(name, LAYER)) in fault.message
        assert (name if name == "output" else f"grad_{name}") in fault.message.split()

    @pytest.mark.parametrize("name", ALL)
    def test_a_wrong_shape(self, name):
        seen = of(changing(name, lambda array: array[..., :-1]))
        shape = shape_of(name, LAYER)
        assert seen.faults[name].status == "failed"
        assert seen.faults[name].slug is None
        assert f" {(*shape[:-1], shape[-1] - 1)}" in seen.faults[name].message
        assert f"expected {shape}" in seen.faults[name].message
        assert (name if name == "output" else f"grad_{name}") in seen.faults[name].message.split()

    def test_without_a_usable_output_no_gradient_is_asked_for(self):
        for to in (lambda array: None, lambda array: array[..., :-1]):
            seen = of(changing("output", to))
            assert set(seen.faults) == {"output"}
            assert seen.arrays == {}

    @pytest.mark.parametrize("name", ALL)
    def test_a_wrong_dtype_and_the_others_are_still_compared(self, name):
        seen = of(changing(name, lambda array: array.astype(np.float32)))
        assert seen.faults[name].status == "failed"
        assert "dtype float32" in seen.faults[name].message
        assert "expected float64" in seen.faults[name].message
        assert set(seen.arrays) == set(ALL) - {name}

    def test_a_float64_where_there_should_be_none_comes_with_a_hint(self):
        layer = replace(LAYER, dtype="float32")
        at = integer_operands(layer)
        seen = Observed.of(Scripted(changing("weight", lambda array: array.astype(np.float64))), layer, at)
        assert "NumPy's zeros" in seen.faults["weight"].message
        assert "dtype=x.dtype" in seen.faults["weight"].message

    @pytest.mark.parametrize("name", ALL)
    @pytest.mark.parametrize("kind", [ValueError, NotImplementedError, SystemExit])
    def test_code_that_raised_is_let_go_with_what_is_known_of_it(self, kind, name, without_collector):
        """Not when the garbage collector happens to run: till then the process would stay in which code runs."""

        def broken(array):
            raise kind("broken")

        code = Scripted(changing(name, broken))
        gone = weakref.ref(code)
        seen = Observed.of(code, LAYER, AT, twice=True)
        assert seen.faults or seen.refusal
        del code, seen
        assert gone() is None

    @pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3)])
    def test_what_the_forward_pass_raises_is_blamed_on_every_array(self, error):
        seen = of(changing("output", raising(error)))
        assert set(seen.faults) == set(ALL)
        for fault in seen.faults.values():
            assert (fault.status, fault.slug) == ("error", None)
            assert type(error).__name__ in fault.message
        assert (seen.arrays, seen.output, seen.refusal) == ({}, None, None)

    @pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3)])
    def test_what_the_backward_pass_raises_is_blamed_on_the_gradients(self, error):
        seen = of(changing("weight", raising(error)))
        assert set(seen.faults) == set(GRADIENTS)
        assert {fault.status for fault in seen.faults.values()} == {"error"}
        assert same(seen.arrays, {"output": right(AT)["output"]})

    def test_two_gradients_for_three_are_an_error(self):
        class Two(ScriptedRun):
            def backward(self):
                return super().backward()[:2]

        code = Scripted()
        code.run = lambda layer, operands, how=None: Two(code, layer, operands)
        assert Observed.of(code, LAYER, AT).faults["bias"].status == "error"

    def test_a_backward_pass_that_raises_leaves_what_is_wrong_with_the_output(self):
        def both(name, array):
            return array.astype(np.float32) if name == "output" else raising(ValueError("broken"))(array)

        faults = of(both).faults
        assert set(faults) == set(ALL)
        assert faults["output"].status == "failed"

    @pytest.mark.parametrize("text", ["no stride", ""])
    def test_a_refusal_is_no_fault(self, text):
        seen = of(changing("output", raising(NotImplementedError(text))))
        assert seen.refusal.split()[0] == (text.split() or ["the"])[0]
        assert seen.refusal.endswith(text or "raised NotImplementedError")
        assert (seen.faults, seen.arrays) == ({}, {})


class TestASecondBackwardPass:
    def test_that_gives_the_same_needs_no_new_object(self):
        code = Scripted()
        seen = Observed.of(code, LAYER, AT, twice=True)
        assert same(seen.again, {name: right(AT)[name] for name in GRADIENTS})
        assert seen.anew is None
        assert code.runs == 1

    def test_not_a_number_twice_is_the_same(self):
        assert of(changing("weight", lambda array: np.where(array > 0, np.nan, array)), twice=True).anew is None

    def test_is_not_run_unless_asked_for(self):
        assert of().again is None

    @EACH
    def test_that_differs_is_followed_by_a_new_object(self, gradient):
        calls = []

        def once_right(name, array):
            calls.append(name)
            return array + (name == gradient and calls.count(name) == 2)

        seen = of(once_right, twice=True)
        assert same(seen.arrays, right(AT))
        assert same(seen.again, {n: right(AT)[n] + (n == gradient) for n in GRADIENTS})
        assert same(seen.anew, {n: right(AT)[n] for n in GRADIENTS})

    def test_that_writes_into_the_first_ones_arrays_does_not_change_what_it_gave(self):
        class Adds(ScriptedRun):
            def backward(self):
                first = super().backward()
                if self.passes > 1:
                    for array in first:
                        array *= 2
                return first

        code = Scripted()
        code.run = lambda layer, operands, how=None: Adds(code, layer, operands)
        seen = Observed.of(code, LAYER, AT, twice=True)
        assert same(seen.arrays, right(AT))
        assert same(seen.again, {n: 2 * right(AT)[n] for n in GRADIENTS})

    @pytest.mark.parametrize("error", [ValueError("used up"), SystemExit(3)])
    def test_that_raises_is_followed_by_a_new_object_which_may_raise_too(self, error):
        class Once(ScriptedRun):
            def backward(self):
                if self.passes == 1:
                    raise error
                return super().backward()

        code = Scripted()
        code.run = lambda layer, operands, how=None: Once(code, layer, operands)
        seen = Observed.of(code, LAYER, AT, twice=True)
        assert seen.again.status == "error"
        assert type(error).__name__ in seen.again.message
        assert same(seen.anew, {n: right(AT)[n] for n in GRADIENTS})
        given = []

        def once(layer, operands, how=None):
            given.append(operands)
            return Once(code, layer, operands) if len(given) == 1 else raising(error)(None)

        code.run = once
        assert Observed.of(code, LAYER, AT, twice=True).anew.status == "error"
        assert given == [AT, AT]

    @pytest.mark.parametrize(
        ("spoil", "words"), [(lambda array: array[..., :-1], "shape"), (lambda array: array.astype(int), "dtype")]
    )
    def test_that_gives_another_kind_of_array_is_no_array(self, spoil, words):
        calls = []

        def second_other(name, array):
            calls.append(name)
            return spoil(array) if name == "weight" and calls.count(name) == 2 else array

        seen = of(second_other, twice=True)
        assert isinstance(seen.again, Fault)
        assert seen.again.status == "failed"
        assert "kind" in seen.again.message
        assert "grad_weight" in seen.again.message
        assert words in seen.again.message

    def test_that_gives_two_gradients_for_three_is_an_error(self):
        class ThenTwo(ScriptedRun):
            def backward(self):
                return super().backward()[: 4 - self.passes]

        code = Scripted()
        code.run = lambda layer, operands, how=None: ThenTwo(code, layer, operands)
        assert Observed.of(code, LAYER, AT, twice=True).again.status == "error"

    def test_that_gives_nothing_has_nothing_to_compare(self):
        calls = []

        def then_none(name, array):
            calls.append(name)
            return None if name == "weight" and calls.count(name) == 2 else array

        assert set(of(then_none, twice=True).again) == {"input", "bias"}

    @pytest.mark.parametrize("name", ALL)
    def test_is_not_run_where_the_first_was_faulty(self, name):
        assert of(changing(name, lambda array: None), twice=True).again is None
        assert of(changing(name, raising(ValueError())), twice=True).again is None

    def test_is_not_run_where_no_gradient_is_given(self):
        code = Scripted()
        code.absent = dict.fromkeys(GRADIENTS, "none")
        assert Observed.of(code, LAYER, AT, twice=True).again is None
        code.absent = dict.fromkeys(GRADIENTS[1:], "none")
        assert set(Observed.of(code, LAYER, AT, twice=True).again) == {"input"}


class TestInterleaved:
    DATA = (AT, OTHER, THIRD)

    def run(self, code, order=(1, 0, 2)):
        return Observed.interleaved(code, LAYER, self.DATA, order)

    def test_every_run_gives_its_own_arrays(self):
        for at, seen in zip(self.DATA, self.run(Scripted()), strict=True):
            assert same(seen.arrays, right(at))
            assert seen.faults == {}

    def test_all_forward_passes_come_first_and_the_backward_passes_in_the_order_asked_for(self):
        log = []

        class Logged(ScriptedRun):
            def __init__(self, of, layer, operands):
                super().__init__(of, layer, operands)
                self.number = next(i for i, at in enumerate(TestInterleaved.DATA) if at is operands)
                log.append(("forward", self.number))

            def backward(self):
                log.append(("backward", self.number))
                return super().backward()

        code = Scripted()
        code.run = lambda layer, operands, how=None: Logged(code, layer, operands)
        self.run(code, (2, 0, 1))
        assert log == [("forward", 0), ("forward", 1), ("forward", 2), *(("backward", n) for n in (2, 0, 1))]

    @pytest.mark.parametrize("name", ALL)
    def test_one_buffer_for_all_of_them_shows(self, name):
        buffer = np.zeros(shape_of(name, LAYER))

        def into(array):
            buffer[...] = array
            return buffer

        seen = self.run(Scripted(changing(name, into)))
        kept = [np.array_equal(seen[number].arrays[name], right(at)[name]) for number, at in enumerate(self.DATA)]
        assert kept == [False, False, True]

    def test_what_one_raises_is_no_fault_of_the_others(self):
        calls = []

        def second(name, array):
            calls.append(name)
            return raising(ValueError("no"))(array) if name == "output" and calls.count(name) == 2 else array

        first, failed, third = self.run(Scripted(second))
        assert set(failed.faults) == set(ALL)
        assert failed.arrays == {}
        assert first.faults == third.faults == {}
        assert same(third.arrays, right(THIRD))

    def test_a_wrong_output_or_gradient_is_a_fault_there_too(self):
        for seen in self.run(Scripted(changing("output", lambda array: array[:1]))):
            assert (set(seen.faults), seen.arrays) == ({"output"}, {})
        for seen in self.run(Scripted(changing("weight", lambda array: None))):
            assert set(seen.faults) == {"weight"}
            assert set(seen.arrays) == {"output", "input", "bias"}
        for seen in self.run(Scripted(changing("weight", raising(ValueError())))):
            assert set(seen.faults) == set(GRADIENTS)
            assert set(seen.arrays) == {"output"}


class TestInTurn:
    PASSES = ((LAYER, AT, False), (LAYER, OTHER, False))

    def run(self, code, passes=PASSES, **options):
        return [(at, seen()) for at, seen, _ in Observed.in_turn(code, iter(passes), **options)]

    def test_every_pass_gives_what_is_right_for_its_data_on_one_object(self):
        code = Scripted()
        first, second = self.run(code)
        assert [at for at, _ in (first, second)] == [AT, OTHER]
        assert [seen.went_on for _, seen in (first, second)] == [False, True]
        assert same(first[1].arrays, right(AT))
        assert same(second[1].arrays, right(OTHER))
        assert (second[1].faults, code.runs) == ({}, 1)

    def test_the_backward_pass_of_each_is_run_before_the_next(self):
        calls = []

        def count(name, array):
            calls.append(name)
            return array

        self.run(Scripted(count))
        assert calls == [*ALL, *ALL]

    def test_where_an_object_takes_one_pass_only_a_new_one_goes_on(self):
        class Once(ScriptedRun):
            def again(self, operands, layer=None, *, new_memory=False):
                raise ValueError("used")

        code = Scripted()
        code.run = lambda layer, operands, how=None: Once(code, layer, operands)
        found = self.run(code)
        assert len(found) == 2
        assert all(same(seen.arrays, right(at)) for at, seen in found)
        assert not any(seen.went_on for _, seen in found)

    def test_what_the_first_forward_pass_raises_is_told(self):
        assert set(self.run(Scripted(changing("output", raising(ValueError()))))[0][1].faults) == set(ALL)
        assert self.run(Scripted(changing("output", raising(NotImplementedError("no")))))[0][1].refusal == "no"

    def test_what_the_second_backward_pass_gives_is_judged(self):
        calls = []

        def second(name, array):
            calls.append(name)
            return None if name == "weight" and calls.count(name) == 2 else array

        assert [set(seen.faults) for _, seen in self.run(Scripted(second))] == [set(), {"weight"}]

    def test_the_layer_and_the_memory_are_those_asked_for(self):
        told = []

        class Tells(ScriptedRun):
            def again(self, operands, layer=None, *, new_memory=False):
                told.append((operands, layer, new_memory))
                return Tells(self.of, layer, operands)

        code = Scripted()
        code.run = lambda layer, operands, how=None: Tells(code, layer, operands)
        larger = replace(LAYER, batch=4)
        at = integer_operands(larger)
        seen = self.run(code, [(LAYER, AT, True), (larger, at, True), (LAYER, OTHER, False)])
        assert told == [(at, larger, True), (OTHER, LAYER, False)]
        assert same(seen[1][1].arrays, right_arrays(at, larger))
        told.clear()
        self.run(code, [(LAYER, OTHER, True)], of=Tells(code, LAYER, AT))
        assert told == [(OTHER, LAYER, True)]

    def test_an_object_of_the_users_own_is_run_twice(self):
        class Counts(Right):
            made = 0

            def __init__(self):
                Counts.made += 1

        assert same(self.run(target(Counts))[1][1].arrays, right(OTHER))
        assert Counts.made == 1


class TestAnotherGradOutput:
    def run(self, code):
        """What the first backward pass gave, another one, and the first one again."""
        [(_, seen, done)] = Observed.in_turn(code, [(LAYER, AT, True)])
        first = seen()
        return first, *(first.with_another(LAYER, done, given.grad_output) for given in (OTHER, AT))

    def test_is_what_counts(self):
        first, another, again = self.run(Scripted())
        assert same(another.arrays, right(replace(AT, grad_output=OTHER.grad_output)))
        assert same(first.arrays, right(AT))
        assert same(again.arrays, right(AT))

    def test_what_is_kept_or_used_up_shows(self):
        class Kept(ScriptedRun):
            kept = None

            def backward(self, grad_output=None):
                self.kept = self.kept or super().backward(grad_output)
                return self.kept

        class UsedUp(ScriptedRun):
            def backward(self, grad_output=None):
                given = super().backward(grad_output)
                return tuple(array * (self.passes == 1) for array in given)

        class Raises(ScriptedRun):
            def backward(self, grad_output=None):
                if self.passes:
                    raise ValueError("used up")
                return super().backward(grad_output)

        for kind, repeated in ((Kept, True), (UsedUp, False), (Raises, False)):
            code = Scripted()
            code.run = lambda layer, at, how=None, kind=kind, code=code: kind(code, layer, at)
            first, another, again = self.run(code)
            assert same(first.arrays, right(AT))
            assert not same(another.arrays, right(replace(AT, grad_output=OTHER.grad_output))) or another.faults
            assert (again.arrays.keys() == first.arrays.keys() and same(again.arrays, first.arrays)) is repeated


def test_what_is_not_asked_for_is_not_looked_at():
    observed = of(changing("weight", lambda array: None), how=How(gradients=("input",)))
    assert observed.gradients == ("input",)
    assert set(observed.arrays) == {"output", "input"}
    assert observed.faults == {}


@pytest.mark.parametrize(("how", "refuses"), [(PLAIN, False), (How(around="nan"), True)])
def test_code_that_does_not_take_what_its_backward_pass_is_given_refuses(how, refuses):
    observed = of(changing("weight", raising(NotImplementedError("no such memory"))), how=how)
    assert (observed.refusal == "no such memory") is refuses


def test_the_shape_of_every_array():
    assert [shape_of(name, LAYER) for name in ALL] == [(3, 6, 4, 8), (3, 4, 7, 8), (6, 2, 2, 3), (6,)]


def test_an_error_of_convchecks_speaks_for_itself_and_any_other_shows_where():
    assert explained(TargetError("no such thing")) == "no such thing"
    try:
        raising(KeyError("mine"))(None)
    except KeyError as error:
        text = explained(error)
    assert text.startswith("Traceback")
    assert text.endswith("KeyError: 'mine'")
    assert "test_observed.py" in text
