"""What a layer's checks share: its data, the outputs to start from, what rounding allows, the numeric gradients."""

from dataclasses import replace
from functools import partial
from math import prod
from types import SimpleNamespace

import numpy as np
import pytest

from convcheck import Layer
from convcheck.checks.expected import Expected
from convcheck.gradients import FASTEST, ORACLE, formulation
from convcheck.gradients.numeric import rounding
from convcheck.gradients.numeric.differences import NumericGradient, packing_for
from convcheck.gradients.numeric.directions import direction_count
from convcheck.layer.data import SHORT, integer_operands, real_operands
from convcheck.layer.fields import Dtype
from convcheck.targets import builtin
from tests.parts import LAYER, expected
from tests.targets_for_tests import UNFOLD

GRADIENTS = pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
OPERANDS = pytest.mark.parametrize("operand", ["x", "weight", "bias"])
SINGLE = replace(LAYER, dtype="float32")


@pytest.fixture
def without_integers(monkeypatch):
    """A layer with longer sums than its dtype has integers for."""
    monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 2))
    return Layer(1, 1, 1, input=(16, 17), batch=1, dtype="float32")


def source(forward=UNFOLD.forward, *, exact=True, builtin=False):
    def merged(of, *arguments):
        return forward(*arguments)

    return SimpleNamespace(forward=forward, merged=merged, exact=exact, builtin=builtin, merging=builtin)


def of(forward, layer=LAYER, **options):
    return expected(layer, source(forward, **options))


def same(one, other):
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("x", "weight", "bias", "grad_output")]
    return all(np.array_equal(left, right) for left, right in pairs)


def outputs(at, layer=LAYER, name=ORACLE):
    return formulation(name).forward(layer, at.x, at.weight, at.bias)


def test_the_gate_is_kept():
    assert expected(max_error=0.5).max_error == 0.5
    assert expected().max_error is None


class TestData:
    def test_is_integers_where_they_are_exact_and_the_code_is(self):
        asked = expected()
        assert asked.exact_data
        assert same(asked.operands, integer_operands(LAYER))
        assert same(asked.reals, real_operands(LAYER))
        assert asked.terms == SHORT

    def test_is_real_where_the_code_rounds_by_design(self):
        asked = of(UNFOLD.forward, exact=False)
        assert not asked.exact_data
        assert same(asked.operands, real_operands(LAYER))
        assert asked.terms == 1

    def test_is_real_where_no_integers_are_exact(self, without_integers):
        asked = expected(without_integers)
        assert asked.integers is None
        assert not asked.exact_data
        assert asked.operands is asked.reals

    def test_further_draws_are_of_the_same_kind(self):
        assert same(expected().draw(3), integer_operands(LAYER, 3))

    @pytest.mark.parametrize("exact", [True, False])
    def test_further_real_draws_have_short_sums(self, without_integers, exact):
        layer = replace(without_integers, input=(60, 50)) if exact else replace(LAYER, input=(40, 50))
        asked, real = of(UNFOLD.forward, layer, exact=exact), real_operands(layer, 3)
        drawn, again, other = (asked.draw(number) for number in (3, 3, 4))
        assert same(drawn, again)
        assert np.array_equal(drawn.x, real.x)
        kept = drawn.grad_output != 0
        assert np.array_equal(drawn.grad_output[kept], real.grad_output[kept])
        # As many as make sums of about that many terms, and one of every filter in any case.
        wanted = layer.filters * asked.terms
        assert wanted / 2 < kept.sum() < 2 * wanted + layer.filters
        assert not np.array_equal(kept, other.grad_output != 0)


class TestStart:
    def test_the_definition_and_its_gradients_are_those_of_the_slowest_formulation(self):
        asked, at = expected(), integer_operands(LAYER)
        assert np.array_equal(asked.definition, outputs(at))
        slow = formulation(ORACLE).backward(LAYER, at.x, at.weight, at.grad_output)
        assert all(np.array_equal(one, other) for one, other in zip(asked.reference, slow, strict=True))

    def test_is_a_copy_of_what_the_code_gave(self):
        buffer = np.zeros(LAYER.output_shape)

        def forward(*at):
            buffer[...] = UNFOLD.forward(*at)
            return buffer

        asked = of(forward)
        asked.start  # noqa: B018 - computed once, and kept
        buffer[...] = 0
        assert np.array_equal(asked.start, asked.definition)
        assert asked.follows_definition

    def test_one_entry_of_another_output_is_another_forward_pass(self):
        def forward(*at):
            output = UNFOLD.forward(*at)
            output.flat[-1] += 1e-9
            return output

        assert expected().follows_definition
        assert not of(forward).follows_definition
        assert of(forward, replace(LAYER, batch=1), exact=False).follows_definition is False

    def test_so_is_another_shape(self):
        assert not of(lambda *at: UNFOLD.forward(*at)[..., :1]).follows_definition

    def test_code_that_rounds_may_be_off_by_the_bound(self):
        allowance = of(UNFOLD.forward, exact=False).forward_allowance
        assert np.array_equal(allowance, of(UNFOLD.forward, exact=False).real_output_allowance)
        for share, right in ((0.9, True), (1.1, False)):
            assert of(lambda *at, s=share: UNFOLD.forward(*at) + s * allowance, exact=False).follows_definition is right
        assert expected().forward_allowance == 0


class TestLinear:
    """Differences are derivatives only of what is linear."""

    @OPERANDS
    def test_the_convolution_is_in_every_operand(self, operand):
        assert expected().linear_in(operand)
        assert expected(SINGLE).linear_in(operand)
        assert expected(replace(LAYER, seed=1)).linear_in(operand)

    @OPERANDS
    def test_one_with_a_square_or_a_relu_inside_is_not(self, operand):
        assert not of(lambda *at: UNFOLD.forward(*at) ** 2).linear_in(operand)
        assert not of(lambda *at: np.maximum(UNFOLD.forward(*at), 0)).linear_in(operand)

    def test_one_that_is_not_linear_in_one_operand_may_be_in_the_others(self):
        squared = of(lambda layer, x, w, b: UNFOLD.forward(layer, x, w * np.abs(w), b))
        assert [squared.linear_in(operand) for operand in ("x", "weight", "bias")] == [True, False, True]

    @pytest.mark.parametrize("layer", [LAYER, SINGLE])
    def test_the_limit_is_what_rounding_may_do_to_two_changes(self, layer):
        """Each change is of two outputs; the outputs near the start are no larger than its sums of absolute values."""
        at = integer_operands(layer)
        terms = layer.channels_per_group * prod(layer.kernel) + 1
        start = UNFOLD.forward(layer, at.x, at.weight, at.bias)
        sums = terms * (np.abs(at.x).max() + 2) * (np.abs(at.weight).max() + 2)
        limit = 4 * rounding.gamma(terms + 4, layer.dtype) * (np.abs(start).max() + sums)

        def bent(more, of, x, weight, bias):
            # Twice the step is off by this much, and the single step is not.
            output = UNFOLD.forward(of, x, weight, bias).astype(np.float64)
            return output + more * (np.abs(x - at.x).max() == 2)

        assert of(partial(bent, 0.999 * limit), layer).linear_in("x")
        assert not of(partial(bent, 1.001 * limit), layer).linear_in("x")

    def test_the_step_is_random_signed_and_of_the_operands_dtype(self):
        seen = []

        def forward(layer, x, weight, bias):
            seen.append(x)
            return UNFOLD.forward(layer, x, weight, bias)

        of(forward, SINGLE).linear_in("x")
        first, seen[:] = list(seen), []
        of(forward, SINGLE).linear_in("x")
        assert all(np.array_equal(one, other) for one, other in zip(first, seen, strict=True))
        start = integer_operands(SINGLE).x
        once, twice = sorted((x for x in seen if not np.array_equal(x, start)), key=lambda x: np.abs(x - start).max())
        assert set(np.unique(once - start)) == {-1, 0, 1}
        assert np.array_equal(twice - start, 2 * (once - start))
        assert once.dtype == np.float32


class TestOwnRounding:
    @GRADIENTS
    def test_differences_of_integers_are_exact(self, gradient):
        assert expected().own_rounding(gradient) == 0
        assert of(lambda *at: 2 * UNFOLD.forward(*at) + 1).own_rounding(gradient) == 0

    @GRADIENTS
    @pytest.mark.parametrize("layer", [LAYER, SINGLE])
    def test_elsewhere_every_output_that_sees_an_entry_counts(self, gradient, layer):
        asked = of(lambda *at: UNFOLD.forward(*at) / 3, layer)
        at = integer_operands(layer)
        terms = layer.channels_per_group * prod(layer.kernel) + 1
        sums = terms * (np.abs(at.x).max() + 2) * (np.abs(at.weight).max() + 2)
        output = rounding.gamma(terms + 4, layer.dtype) * (float(np.abs(asked.start).max()) + sums)
        seen = {"input": layer.filters_per_group * prod(layer.kernel)}.get(gradient, layer.batch * prod(layer.output))
        assert asked.own_rounding(gradient) == pytest.approx(2 * output * seen * np.abs(at.grad_output).max(), rel=1e-6)

    def test_one_fraction_among_the_outputs_is_enough(self):
        def forward(*at):
            output = UNFOLD.forward(*at)
            output.flat[7] += 0.5
            return output

        assert of(forward).own_rounding("input") > 0


class TestBounds:
    @pytest.mark.parametrize("exact", [True, False])
    @pytest.mark.parametrize("layer", [LAYER, SINGLE])
    def test_on_real_data_are_those_of_the_rounding(self, layer, exact):
        asked, at, passes = (
            of(UNFOLD.forward, layer, exact=exact),
            real_operands(layer),
            (UNFOLD.forward, UNFOLD.backward),
        )
        output = rounding.output_errors(layer, at, UNFOLD.forward, exact=exact)
        assert np.array_equal(asked.real_output_allowance, output)
        bounds = rounding.allowed_errors(layer, at, *passes), rounding.transformed(layer, at, *passes)[1]
        assert all(np.array_equal(one, other) for one, other in zip(asked.allowed, bounds[not exact], strict=True))

    def test_the_output_on_real_data_is_computed_in_float64(self):
        asked, at = expected(SINGLE), real_operands(SINGLE)
        wide = at.map(lambda array: array.astype(np.float64))
        assert asked.real_output.dtype == np.float64
        np.testing.assert_allclose(asked.real_output, outputs(wide, SINGLE), rtol=1e-13)


class TestNumericGradients:
    def counting(self, layer=LAYER, forward=UNFOLD.forward, **options):
        """What is asked, how many evaluations it was told of, and the sizes of the calls."""
        told, calls = [], []

        def counted(given, x, weight, bias):
            calls.append(len(x) // layer.batch * (len(weight) // layer.filters))
            return forward(given, x, weight, bias)

        return Expected(layer, source(counted, **options), None, told.append), told, calls

    @GRADIENTS
    def test_exact_ones_share_evaluations_and_are_computed_once(self, gradient):
        asked, told, calls = self.counting()
        found = asked.exact(gradient)
        packing, directions = packing_for(LAYER, gradient), direction_count(gradient, LAYER)
        assert np.array_equal(found.values, getattr(asked.reference, gradient))
        assert found.evaluations == sum(told) == packing.evaluations(directions)
        before = len(calls)
        assert asked.exact(gradient) is found
        assert len(calls) == before

    @GRADIENTS
    def test_by_unit_steps_they_share_none(self, gradient):
        asked, told, _ = self.counting()
        found = asked.exact(gradient, packed=False)
        assert np.array_equal(found.values, getattr(asked.reference, gradient))
        assert found.evaluations == sum(told) == direction_count(gradient, LAYER)
        if gradient != "bias":
            assert asked.exact(gradient).evaluations < found.evaluations

    @pytest.mark.parametrize("gradient", ["input", "weight"])
    @pytest.mark.parametrize("spoilt", [lambda y: y + 0.25, lambda y: y * 4, lambda y: y * np.nan])
    def test_where_shared_steps_give_what_cannot_be_read_unit_steps_do(self, gradient, spoilt):
        def near(layer, x, weight, bias):
            output = UNFOLD.forward(layer, x, weight, bias)
            return spoilt(output) if max(np.abs(x).max(), np.abs(weight).max()) > 4 else output

        asked, *_ = self.counting(forward=near)
        assert np.array_equal(asked.exact(gradient).values, getattr(asked.reference, gradient))
        assert asked.exact(gradient).evaluations == direction_count(gradient, LAYER)

    @GRADIENTS
    def test_of_another_forward_pass_every_entry_is_differenced_by_itself(self, gradient):
        def twice(layer, x, weight, bias):
            return 2 * UNFOLD.forward(layer, x, weight, bias)

        asked, told, calls = self.counting(forward=twice)
        for packed in (True, False):
            found = asked.exact(gradient, packed=packed)
            assert np.array_equal(found.values, 2 * getattr(asked.reference, gradient))
            assert found.evaluations == sum(told) == getattr(asked.reference, gradient).size
        assert set(calls) == {1}

    @GRADIENTS
    def test_central_ones_are_those_of_the_real_data(self, gradient):
        asked, told, calls = self.counting()
        found, at = asked.central(gradient), real_operands(LAYER)
        right = getattr(formulation(ORACLE).backward(LAYER, at.x, at.weight, at.grad_output), gradient)
        np.testing.assert_allclose(found.values, right, rtol=1e-10, atol=1e-10)
        assert found.evaluations == sum(told) == 2 * direction_count(gradient, LAYER)
        before = len(calls)
        assert asked.central(gradient) is found
        assert len(calls) == before

    def test_every_kind_and_gradient_is_kept_apart(self):
        asked, *_ = self.counting()
        shapes = {name: getattr(asked.reference, name).shape for name in ("input", "weight", "bias")}
        for name, shape in shapes.items():
            assert asked.exact(name).values.shape == asked.central(name).values.shape == shape
            assert not np.array_equal(asked.exact(name).values, asked.central(name).values)

    @pytest.mark.parametrize("kind", ["exact", "central"])
    @GRADIENTS
    def test_only_the_built_in_passes_are_given_several_at_once(self, gradient, kind):
        for merging in (True, False):
            asked, _, calls = self.counting(builtin=merging)
            asked.exact(gradient, packed=False) if kind == "exact" else asked.central(gradient)
            assert (max(calls) > 1) is (merging and gradient != "bias")


class TestSeveralAtOnce:
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("count", [1, 2, 4])
    @pytest.mark.parametrize("kind", [{}, {"transposed": True}, {"padding_mode": "circular"}])
    def test_what_is_right_for_several_data_is_what_is_right_for_each(self, bias, count, kind):
        layer = replace(LAYER, bias=bias, **kind)
        shared = expected(layer)
        data = [integer_operands(layer, 20 + number) for number in range(count)]
        shared.foresee([*data, data[0]])
        for at in data:
            found = shared.right(at)
            right = UNFOLD.backward(layer, at.x, at.weight, at.grad_output)._asdict()
            right["output"] = UNFOLD.forward(layer, at.x, at.weight, at.bias)
            for name, array in right.items():
                assert array is None or np.array_equal(found[name], array), name
            assert (found.get("bias") is None) is not bias

    def test_data_may_lack_the_bias_that_the_layer_has(self):
        shared = expected()
        with_bias, without = shared.draws[0], replace(shared.draws[1], bias=None)
        shared.foresee([without, with_bias])
        for at in (without, with_bias):
            assert np.array_equal(shared.right(at)["output"], UNFOLD.forward(LAYER, at.x, at.weight, at.bias))

    def test_what_was_known_of_some_of_them_is_kept(self):
        shared = expected()
        known, new = (integer_operands(LAYER, number) for number in (20, 21))
        told = {"output": np.zeros(1)}
        shared.know(known, told)
        shared.foresee([new, known])
        assert shared.right(known) is told
        assert np.array_equal(shared.right(new)["output"], UNFOLD.forward(LAYER, new.x, new.weight, new.bias))

    @pytest.mark.parametrize("small", [True, False])
    def test_the_shared_draws_are_kept_and_of_a_large_layer_others_make_way(self, small):
        shared = expected()
        shared.small = small
        first, other = shared.draws[0], integer_operands(LAYER, 20)
        right = shared.right(first)
        of_other = shared.right(other)
        shared.right(integer_operands(LAYER, 21))
        assert shared.right(first) is right
        assert (shared.right(other) is of_other) is small

    def test_what_a_large_layer_gives_is_not_computed_ahead(self):
        shared = expected()
        shared.small = False
        first, second = shared.draws[:2]
        shared.foresee([first, second])
        shared.know(second, told := {"output": np.zeros(1)})
        assert shared.right(second) is told
        assert np.array_equal(shared.right(first)["output"], UNFOLD.forward(LAYER, first.x, first.weight, first.bias))

    def test_a_layer_is_small_by_its_entries(self):
        assert expected().small
        assert not expected(replace(LAYER, batch=2000)).small


class TestPortions:
    @pytest.mark.parametrize("check", ["exact", "central"])
    @GRADIENTS
    def test_add_up_to_the_gradient_and_are_then_known(self, gradient, check):
        whole = getattr(expected(), check)(gradient)
        count = direction_count(gradient, LAYER)
        found = [expected().portion(check, gradient, first, min(first + 2, count)) for first in range(0, count, 2)]
        together = sum(portion.values for portion in found)
        np.testing.assert_array_equal(together, whole.values)
        known = NumericGradient(together, 7)
        source = builtin(FASTEST)
        asked = Expected(LAYER, source, None, lambda evaluations: None, {(check, gradient): known})
        assert getattr(asked, check)(gradient) is known
        assert asked.on(replace(LAYER, name="another")).layer.name == "another"
        assert getattr(asked.on(replace(LAYER, name="another")), check)(gradient) is known
        other = "central" if check == "exact" else "exact"
        assert getattr(asked, other)(gradient) is not known

    def test_what_is_known_says_nothing_of_another_forward_pass_or_of_unit_steps(self):
        known = {("exact", "input"): NumericGradient(np.zeros(LAYER.input_shape), 7)}
        asked = Expected(LAYER, builtin(FASTEST), None, lambda evaluations: None, known)
        assert asked.exact("input", packed=False).values.any()
        other = source(lambda *at: 2 * UNFOLD.forward(*at))
        asked = Expected(LAYER, other, None, lambda evaluations: None, known)
        np.testing.assert_array_equal(asked.exact("input").values, 2 * asked.reference.input)

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_there_are_none_of_a_wrong_forward_pass(self, dtype):
        layer = replace(LAYER, dtype=dtype)
        for wrong in (lambda *at: 2 * UNFOLD.forward(*at), lambda *at: UNFOLD.forward(*at)[:1]):
            assert expected(layer, source(wrong)).portion("exact", "input", 0, 1) is None
        assert expected(layer, source()).portion("exact", "input", 0, 1) is not None
