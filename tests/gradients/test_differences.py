"""The numeric gradients are exact on integers, packed or not, and within the derived bound on real data."""

import math
import weakref
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from convcheck import Layer
from convcheck.checks.plan import plan
from convcheck.gradients import FASTEST, FORMULATIONS, ORACLE, formulation
from convcheck.gradients.numeric import differences
from convcheck.gradients.numeric.differences import Packing, central_gradient, exact_gradient, packing_for
from convcheck.gradients.numeric.directions import direction_count, directions_of
from convcheck.gradients.numeric.rounding import allowed_errors, allowed_output_error, gamma
from convcheck.layer.data import integer_magnitude, integer_operands, nonzero_terms, real_operands
from convcheck.layer.fields import DTYPES
from tests.strategies import layers

UNFOLD = formulation(FASTEST)


def gradients_of(layer):
    return ("input", "weight", "bias") if layer.bias else ("input", "weight")


@given(layer=layers(dtypes=("float64", "float32"), family=True))
@settings(max_examples=100, deadline=None)
def test_exact_differences_equal_the_gradient_packed_or_not_merged_or_not(layer):
    at = integer_operands(layer)
    base = UNFOLD.forward(layer, at.x, at.weight, at.bias)
    right = formulation(ORACLE).backward(layer, at.x, at.weight, at.grad_output)
    for gradient in gradients_of(layer):
        packing = packing_for(layer, gradient)
        for chosen, merge in ((packing, True), (packing, False), (Packing(packing.radix, 1), True)):
            directions = directions_of(gradient, layer, at)
            numeric = exact_gradient(UNFOLD.forward, directions, base, chosen, merge=merge)()
            np.testing.assert_array_equal(numeric.values, getattr(right, gradient))
            assert numeric.evaluations == chosen.evaluations(directions.count)


@given(layer=layers(dtypes=("float64", "float32"), family=True))
@settings(max_examples=100, deadline=None)
def test_the_bound_is_never_exceeded(layer):
    at = real_operands(layer)
    allowed = allowed_errors(layer, at, UNFOLD.forward, UNFOLD.backward)
    for gradient in gradients_of(layer):
        numeric = central_gradient(UNFOLD.forward, directions_of(gradient, layer, at), merge=True)()
        for name in FORMULATIONS:
            analytic = getattr(formulation(name).backward(layer, at.x, at.weight, at.grad_output), gradient)
            error = np.abs(analytic.astype(np.float64) - numeric.values)
            assert (error <= getattr(allowed, gradient)).all()


@given(layer=layers(dtypes=("float64", "float32"), family=True))
@settings(max_examples=60, deadline=None)
def test_the_bound_of_the_output_is_never_exceeded(layer):
    at = real_operands(layer)
    allowed = allowed_output_error(layer, at, UNFOLD.forward)
    outputs = [formulation(n).forward(layer, at.x, at.weight, at.bias).astype(np.float64) for n in FORMULATIONS]
    for output in outputs[1:]:
        assert (np.abs(output - outputs[0]) <= allowed).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_bound_is_tight_enough_to_catch_an_error_of_a_thousandth(dtype):
    layer = Layer(3, 4, (2, 3), stride=2, padding=1, input=(7, 8), dtype=dtype)
    at = real_operands(layer)
    allowed = allowed_errors(layer, at, UNFOLD.forward, UNFOLD.backward)
    right = UNFOLD.backward(layer, at.x, at.weight, at.grad_output)
    for gradient in gradients_of(layer):
        assert (getattr(allowed, gradient) < 1e-3 * np.abs(getattr(right, gradient)).max()).all()


def test_the_bound_notices_a_float32_sum_inside_a_float64_layer():
    layer = Layer(3, 4, (2, 3), input=(7, 8))
    at = real_operands(layer)
    allowed = allowed_errors(layer, at, UNFOLD.forward, UNFOLD.backward)
    single = at.map(lambda array: array.astype(np.float32))
    sloppy = UNFOLD.backward(layer, single.x, single.weight, single.grad_output)
    numeric = central_gradient(UNFOLD.forward, directions_of("weight", layer, at), merge=True)()
    assert (np.abs(sloppy.weight - numeric.values) > allowed.weight).any()


def test_gamma_is_highams():
    unit = 2.0**-53
    assert gamma(10, "float64") == 10 * unit / (1 - 10 * unit)
    assert gamma(2**24, "float32") == float("inf")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("channels", [1, 16, 512])
def test_packing_leaves_no_sum_beyond_what_the_dtype_represents(dtype, channels):
    layer = Layer(channels, 4, 3, padding=1, input=(7, 8), dtype=dtype)
    for gradient in ("input", "weight", "bias"):
        packing = packing_for(layer, gradient)
        largest = 9 * channels * 9 + 3 + 3 * sum(packing.radix**digit for digit in range(packing.digits))
        assert largest <= DTYPES[dtype].exact_limit
        assert packing.radix > 2 * 3 or gradient == "bias"


class TestNoRoomForADigit:
    """One channel more, and a step of 1 is exact only with zeros; only sizes are computed, no arrays are made."""

    FULL = Layer(2**24 - 1, 1, 1, input=(1,), batch=1, dtype="float32")
    ROOM = Layer(2**24 - 2, 1, 1, input=(1,), batch=1, dtype="float32")

    @pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
    def test_the_last_layer_with_room_has_one_digit_and_the_next_has_zeros_and_a_third_of_the_room(self, gradient):
        assert integer_magnitude(self.ROOM) == integer_magnitude(self.FULL) == 1
        assert nonzero_terms(self.ROOM) is None
        assert nonzero_terms(self.FULL) == 2**24 - 2**24 // 3 - 1
        assert packing_for(self.ROOM, gradient).digits == 1
        assert packing_for(self.FULL, gradient).digits == (1 if gradient == "bias" else 12)

    def test_the_exact_check_is_made_of_both_and_where_a_direction_has_no_room_it_is_said(self):
        for layer, digits in ((self.ROOM, 1), (self.FULL, 12)):
            exact = {step.gradient: step for step in plan(layer, ["exact"], math.inf)}
            count = math.ceil(layer.channels / digits)
            assert {name: step.evaluations for name, step in exact.items()} == {
                "input": count, "weight": count, "bias": 1,
            }  # fmt: skip
        for step in plan(self.FULL, ["projected"], math.inf):
            assert not step.skipped
            assert step.evaluations == 0
            assert "built-in backward pass" in step.note

    def test_where_even_zeros_leave_no_room_the_checks_are_skipped_with_a_reason(self, monkeypatch):
        monkeypatch.setitem(DTYPES, "float32", replace(DTYPES["float32"], precision=1))
        assert integer_operands(self.FULL) is None
        for step in plan(self.FULL, ["exact", "projected"], math.inf):
            assert step.skipped
            assert step.evaluations == 0
            assert step.note.endswith("sums of this layer exact in float32")

    def test_taps_count_as_channels_do(self):
        of_taps = [Layer(15, 2, (1, n), input=(1, n), batch=1, dtype="float32", groups=1) for n in (1118480, 1118481)]
        assert [15 * layer.kernel[1] for layer in of_taps] == [2**24 - 16, 2**24 - 1]
        grouped = Layer(2 * (2**24 - 1), 2, 1, groups=2, input=(1,), batch=1, dtype="float32")
        assert [nonzero_terms(layer) is None for layer in (*of_taps, grouped)] == [True, False, False]


def test_packing_divides_the_evaluations_by_more_than_ten():
    layer = Layer(64, 64, 3, padding=1, input=(7, 8))
    assert packing_for(layer, "input").evaluations(576) * 10 < 576


def test_a_change_larger_than_a_digit_would_be_misread():
    """The twin of packing: where the premise on the size of the changes fails, the result is wrong, not lucky."""
    layer = Layer(2, 2, 2, input=(4, 5), bias=False)
    at = integer_operands(layer)
    base = UNFOLD.forward(layer, at.x, at.weight, None)
    right = UNFOLD.backward(layer, at.x, at.weight, at.grad_output).input
    numeric = exact_gradient(UNFOLD.forward, directions_of("input", layer, at), base, Packing(2, 4), merge=False)()
    assert not np.array_equal(numeric.values, right)


class TestReading:
    """What several directions share is told apart, also where every digit is the largest and all sums are."""

    @pytest.mark.parametrize("digits", [2, 3, 7, 17, 18])
    @pytest.mark.parametrize("sites", [1, 2, 40, 3_000, 100_000])
    @pytest.mark.parametrize("extreme", [3, -3, None])
    @pytest.mark.parametrize("gradient", ["input", "weight"])
    def test_the_sums_are_those_of_every_direction_alone(self, gradient, digits, sites, extreme):
        layer, at, base, changes = self.case(digits, sites, extreme)
        directions = directions_of(gradient, layer, at)
        read = differences._reading(directions, base, Packing(8, digits))
        right = directions.sums(changes * at.grad_output)
        np.testing.assert_array_equal(read(self.packed(base, changes)), right)
        fewer = self.packed(base, changes[: digits // 2])
        both = read(np.concatenate([fewer, self.packed(base, changes)]))
        np.testing.assert_array_equal(both[: digits // 2], right[: digits // 2])
        np.testing.assert_array_equal(both[digits:], right)

    @pytest.mark.parametrize("wrong", [0.5, 2.0**-30, np.nan, np.inf, -np.inf, 8.0**9, -(8.0**9), 2.0**62, 1e300])
    def test_what_is_no_sum_of_digits_is_not_read_and_what_is_beside_it_is(self, wrong):
        layer, at, base, changes = self.case(9, 7, None)
        directions = directions_of("weight", layer, at)
        outputs = np.concatenate([self.packed(base, changes)] * 2)
        outputs[0, 0, 1, 4] += wrong
        found = differences._reading(directions, base, Packing(8, 9))(outputs)
        assert np.isnan(found[:9]).all()
        np.testing.assert_array_equal(found[9:], directions.sums(changes * at.grad_output))

    @staticmethod
    def case(digits, sites, extreme):
        """A layer with two filters, its data, an output to start from, and a change of it for every digit."""
        layer, generator = Layer(digits, 2, 1, input=(sites,), batch=1, bias=False), np.random.default_rng(digits)
        at, shape = integer_operands(layer), (digits, *layer.output_shape)
        if extreme is not None:
            at = replace(at, grad_output=np.full(layer.output_shape, 3.0))
        changes = generator.integers(-3, 4, shape) if extreme is None else np.full(shape, extreme)
        return layer, at, generator.integers(-40_000, 40_000, layer.output_shape).astype(float), changes.astype(float)

    @staticmethod
    def packed(base, changes):
        """One evaluation of all changes, each with its power of 8."""
        return (base + sum(8.0**digit * change for digit, change in enumerate(changes)))[np.newaxis]


@given(layer=layers(dtypes=("float64", "float32"), family=True))
@settings(max_examples=60, deadline=None)
def test_integer_data_are_small_nonzero_and_of_both_signs(layer):
    at = integer_operands(layer)
    for array in (at.x, at.weight, at.grad_output):
        assert array.dtype == layer.dtype
        assert set(np.unique(array)) <= {-3.0, -2.0, -1.0, 1.0, 2.0, 3.0}


def test_integer_data_shrink_where_sums_are_long_and_have_zeros_where_ones_do_not_fit():
    assert np.abs(integer_operands(Layer(1, 1, 1, input=(2000, 1000), batch=1, dtype="float32")).x).max() == 2
    longer = integer_operands(Layer(1, 1, 1, input=(5000, 4000), batch=1, dtype="float32"))
    assert np.abs(longer.grad_output).max() == 1
    assert np.abs(longer.grad_output).sum() < 2**24 < np.abs(longer.x).sum()


def test_a_step_of_one_is_exact_on_real_data():
    for dtype in ("float64", "float32"):
        x = real_operands(Layer(8, 4, 3, input=(30, 40), dtype=dtype)).x
        one = x.dtype.type(1)
        np.testing.assert_array_equal((x + one) - one, x)
        np.testing.assert_array_equal((x - one) + one, x)


@pytest.mark.parametrize("precision", [*range(6, 30), 53])
@pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
@pytest.mark.parametrize("channels", [1, 7, 64])
def test_as_many_directions_share_an_evaluation_as_stay_exact_and_no_more(precision, gradient, channels, monkeypatch):
    monkeypatch.setitem(DTYPES, "float32", replace(DTYPES["float32"], precision=precision))
    layer = Layer(channels, 1, (2, 1), input=(2, 1), batch=1, dtype="float32")
    magnitude = integer_magnitude(layer)
    if not magnitude or nonzero_terms(layer):
        return
    change = {"input": magnitude, "weight": magnitude, "bias": 1}[gradient]
    packing = packing_for(layer, gradient)
    assert packing.radix == {1: 4, 2: 8, 3: 8}[change]

    def largest_output(digits):
        return 2 * channels * magnitude**2 + magnitude + sum(change * packing.radix**digit for digit in range(digits))

    directions = direction_count(gradient, layer)
    if packing.digits:
        assert largest_output(packing.digits) <= 2**precision
    assert packing.digits <= directions
    assert packing.digits == directions or largest_output(packing.digits + 1) > 2**precision


def test_no_chunk_is_kept_while_the_next_ones_are_evaluated(monkeypatch):
    monkeypatch.setattr("convcheck.gradients.numeric.differences._MERGED_ENTRIES", 1)
    layer, seen, alive = Layer(2, 3, (2, 2), input=(4, 5), batch=2), [], []
    at = real_operands(layer)

    def forward(*given):
        alive.append(sum(output() is not None for output in seen))
        output = UNFOLD.forward(*given).copy()
        seen.append(weakref.ref(output))
        return output

    def ask(*given):
        output = forward(*given)
        return lambda: output

    for way in (forward, ask):
        seen.clear()
        alive.clear()
        central_gradient(way, directions_of("weight", layer, at), merge=True)()
        assert len(alive) > 2
        assert max(alive) <= 1


class TestCalls:
    """What the forward pass is called with: merged up to a size, or never."""

    LAYER = Layer(2, 3, (2, 2), input=(4, 5), batch=2)

    def calls(self, differences, gradient, *, merge, **options):
        at, seen, told = real_operands(self.LAYER), [], []
        if differences is exact_gradient:
            at = integer_operands(self.LAYER)
            options["base"] = UNFOLD.forward(self.LAYER, at.x, at.weight, at.bias)

        def forward(layer, x, weight, bias):
            seen.append((len(x) // 2) * (len(weight) // 3))
            assert merge or layer == self.LAYER
            return UNFOLD.forward(layer, x, weight, bias)

        directions = directions_of(gradient, self.LAYER, at)
        numeric = differences(forward, directions, merge=merge, advance=told.append, **options)()
        return numeric, seen, told, directions.count

    @pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
    def test_central_differences_are_the_same_merged_or_not(self, gradient):
        together, calls, told, count = self.calls(central_gradient, gradient, merge=True)
        assert sum(calls) == sum(told) == together.evaluations == 2 * count
        apart, calls, told, _ = self.calls(central_gradient, gradient, merge=False)
        assert calls == [1] * (2 * count)
        assert told == [2] * count
        assert apart.evaluations == 2 * count
        np.testing.assert_allclose(apart.values, together.values, rtol=1e-12)

    @pytest.mark.parametrize("gradient", ["input", "weight"])
    def test_exact_differences_are_told_as_they_are_made(self, gradient):
        packing = Packing(8, 3)
        _, calls, told, count = self.calls(exact_gradient, gradient, merge=True, packing=packing)
        assert (calls, told) == ([3], [3])
        assert count == 8
        _, calls, told, _ = self.calls(exact_gradient, gradient, merge=False, packing=packing)
        assert calls == told == [1, 1, 1]

    @pytest.mark.parametrize(("entries", "merged"), [(1, [1] * 8), (3, [3, 3, 2]), (7, [7, 1]), (8, [8]), (100, [8])])
    def test_no_call_is_larger_than_is_allowed_unless_one_evaluation_is(self, entries, merged, monkeypatch):
        size = directions_of("weight", self.LAYER, real_operands(self.LAYER)).entries
        monkeypatch.setattr("convcheck.gradients.numeric.differences._MERGED_ENTRIES", entries * size)
        _, calls, *_ = self.calls(exact_gradient, "weight", merge=True, packing=Packing(8, 1))
        assert calls == merged
        monkeypatch.setattr("convcheck.gradients.numeric.differences._MERGED_ENTRIES", 2 * entries * size + 1)
        _, calls, *_ = self.calls(central_gradient, "weight", merge=True)
        assert calls == [2 * number for number in merged]
        monkeypatch.setattr("convcheck.gradients.numeric.differences._MERGED_ENTRIES", 1)
        _, calls, *_ = self.calls(exact_gradient, "weight", merge=True, packing=Packing(8, 1))
        assert calls == [1] * 8
