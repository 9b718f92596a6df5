"""The data of every regime are what it says, and all that is summed of them stays exact."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from convcheck import Layer
from convcheck.checks import regimes
from convcheck.checks.ran import LeftOutError
from convcheck.checks.regimes import REGIMES, real
from convcheck.layer.data import SHORT, integer_operands, real_operands, short_sums, with_zeros
from convcheck.layer.fields import Dtype
from tests.one_condition import LAYER, SINGLE
from tests.parts import Scripted, changing, expected, raising, right_arrays
from tests.targets_for_tests import UNFOLD


def rounding_code():
    code = Scripted()
    code.exact = False
    return code


def data(regime, code=None, layer=LAYER):
    code = code or Scripted()
    return list((REGIMES | {"real": real})[regime](expected(layer, code), code))


def arrays(at):
    named = {"x": at.x, "weight": at.weight, "bias": at.bias, "grad_output": at.grad_output}
    return {name: array for name, array in named.items() if array is not None}


def same(one, other):
    return all(np.array_equal(array, arrays(other)[name]) for name, array in arrays(one).items())


class TestData:
    def test_short_sums_keep_an_entry_of_every_filter_and_few_of_each(self):
        layer = Layer(3, 5, 2, input=(40, 40), batch=2)
        thin = short_sums(layer, real_operands(layer), 64)
        per_filter = np.count_nonzero(thin.grad_output, axis=(0, 2, 3))
        assert (per_filter >= 1).all()
        assert per_filter.max() < 3 * 64
        assert short_sums(LAYER, real_operands(LAYER), 1e9).grad_output.all()

    def test_zeros_are_as_many_as_asked_for_and_one_sample_has_nothing_else(self):
        layer = Layer(8, 8, 3, input=(12, 12), batch=4)
        at = with_zeros(layer, integer_operands(layer), 0.4)
        assert 0.3 < np.mean(at.x == 0) < 0.5
        assert [bool(sample.any()) for sample in at.grad_output].count(False) == 1

    def test_further_draws_are_other_numbers_of_the_same_kind(self):
        first, second, third = integer_operands(LAYER), integer_operands(LAYER, 1), integer_operands(LAYER, 2)
        assert not np.array_equal(first.x, second.x)
        assert not np.array_equal(second.x, third.x)
        for at in (first, second, third):
            assert {*np.unique(at.x)} == {-3, -2, -1, 1, 2, 3}
            assert [array.shape for array in arrays(at).values()] == [
                LAYER.input_shape, LAYER.weight_shape, LAYER.bias_shape, LAYER.output_shape,
            ]  # fmt: skip
            assert {array.dtype for array in arrays(at).values()} == {np.dtype("float64")}
        assert integer_operands(replace(LAYER, bias=False), 1).bias is None
        assert not np.array_equal(real_operands(LAYER).x, real_operands(LAYER, 1).x)

    def test_large_integers_keep_every_sum_exact(self):
        at = integer_operands(LAYER, 4, 2**40)
        sizes = at.map(np.abs)
        for total in (
            UNFOLD.forward(LAYER, sizes.x, sizes.weight, sizes.bias),
            *UNFOLD.backward(LAYER, sizes.x, sizes.weight, sizes.grad_output),
        ):
            assert 2**20 < total.max() <= 2**53


@pytest.mark.parametrize("code", [Scripted, rounding_code])
def test_no_two_runs_are_on_the_same_data(code):
    every = [integer_operands(LAYER)]
    for regime in [*REGIMES, "real"]:
        if regime != "large" or code is Scripted:
            every += data(regime, code())
    for number, at in enumerate(every):
        for other in every[:number]:
            assert not np.array_equal(at.x, other.x) or not np.array_equal(at.grad_output, other.grad_output)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("layer", [LAYER, SINGLE, replace(LAYER, bias=False)])
def test_what_is_known_to_be_right_is_right(regime, layer):
    """Also where it follows from what is right for other data."""
    code = Scripted()
    shared = expected(layer, code)
    for at in REGIMES[regime](shared, code):
        wide = at.map(lambda array: array.astype(np.float64))
        for name, array in right_arrays(wide, layer).items():
            known = shared.right(at).get(name)
            assert known is None if array is None else np.array_equal(known, array)


class TestReals:
    def test_with_short_sums(self):
        (at,) = data("real")
        assert same(at, short_sums(LAYER, real_operands(LAYER), SHORT))
        assert same(data("real", layer=SINGLE)[0], short_sums(SINGLE, real_operands(SINGLE), SHORT))

    def test_and_with_whole_ones_where_no_integers_were_compared(self):
        short, whole = data("real", rounding_code())
        assert same(short, short_sums(LAYER, real_operands(LAYER), 1))
        assert same(whole, real_operands(LAYER))
        one = Layer(1, 1, 1, input=(1,), batch=1)
        assert [same(at, real_operands(one)) for at in data("real", rounding_code(), one)] == [True]


class TestIntegers:
    def test_sparse_ones_and_such_as_a_relu_leaves(self):
        thin, relu, weight, alone, dead = data("sparse", layer=replace(LAYER, batch=9, filters=20, channels=40))
        for array in arrays(thin).values():
            assert 0.15 < np.mean(array == 0) < 0.7
        assert not all(sample.any() for sample in thin.grad_output)
        assert (relu.x >= 0).all()
        assert 0.4 < np.mean(relu.x == 0) < 0.6
        for array in (relu.weight, relu.grad_output):
            assert array.all()
            assert (array < 0).any()
        assert not dead.x.any()
        assert dead.weight.all()
        assert dead.grad_output.all()
        assert 0.85 < np.mean(weight.weight == 0) < 0.95
        assert weight.x.all()
        assert weight.grad_output.all()
        assert np.count_nonzero(alone.grad_output) == 1
        assert alone.weight.all()
        assert {at.weight.dtype for at in data("sparse", layer=SINGLE)} == {np.dtype("float32")}

    def test_a_grad_output_of_zeros_only(self):
        (at,) = data("zero-grad-output")
        assert not at.grad_output.any()
        assert at.grad_output.dtype == LAYER.dtype
        assert at.x.all()
        assert at.weight.all()

    def test_one_sign(self):
        positive, negative, behind_relu = data("one-sign")
        assert all((array > 0).all() for array in arrays(positive).values())
        assert all((array < 0).all() for array in arrays(negative).values())
        assert (behind_relu.x > 0).all()
        assert all((array > 0).any() and (array < 0).any() for array in (behind_relu.weight, behind_relu.grad_output))

    def test_large_integers(self):
        (at,) = data("large")
        assert same(at, integer_operands(LAYER, 4, 2**40))
        assert np.abs(at.x).max() > 2**20
        (single,) = data("large", layer=SINGLE)
        assert np.abs(single.x).max() > 100

    @pytest.mark.parametrize("layer", [LAYER, SINGLE, Layer(1, 40, 3, input=(4, 4), batch=1)])
    def test_large_ones_are_as_large_as_the_rounding_of_means_allows(self, layer, monkeypatch):
        asked = []

        def noted(layer, draw, most):
            asked.append(most)
            return integer_operands(layer, draw, most)

        monkeypatch.setattr(regimes, "integer_operands", noted)
        code = Scripted()
        code.averages = ("weight",)
        (at,) = data("large", code, layer)
        terms = max(layer.batch * prod(layer.output), layer.filters_per_group * prod(layer.kernel))
        roundoff = np.finfo(layer.dtype).eps / 2
        # What rounding makes of a mean times the number of samples must be taken for the integer that it was.
        errors = [2 * (terms + 4) * roundoff * terms * size**2 for size in (asked[0], asked[0] + 1)]
        assert errors[0] <= 1 / 4 < errors[1]
        assert 3 < np.abs(at.x).max() <= asked[0]

    def test_are_left_out_with_the_reason(self, monkeypatch):
        with pytest.raises(LeftOutError, match="the target rounds on integers too"):
            data("large", rounding_code())
        # As large as they ever are where nothing larger is exact: 3, with sums of 96 terms.
        monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 96 * 9))
        with pytest.raises(LeftOutError, match=f"no larger integers.*{LAYER.dtype}"):
            data("large")
        monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 96 * 16))
        assert np.abs(data("large")[0].x).max() == 4
        monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 2))
        with pytest.raises(LeftOutError, match="no larger integers"):
            data("large")

    @pytest.mark.parametrize("layer", [LAYER, SINGLE])
    def test_tiny_ones_have_subnormal_products(self, layer):
        (at,) = data("tiny", layer=layer)
        least = np.finfo(layer.dtype).smallest_normal
        assert all((np.abs(array) >= least).all() for name, array in arrays(at).items() if name != "bias")
        given = right_arrays(at, layer)
        for name in ("output", "input", "weight"):
            assert given[name].any()
            assert (np.abs(given[name]) < least).all()
        # Two bits are to spare: halved twice, nothing is lost.
        assert all(np.array_equal(4 * (array / 4), array) for array in given.values())

    @pytest.mark.parametrize("layer", [LAYER, SINGLE])
    def test_where_the_forward_pass_makes_zeros_of_them_or_there_are_many_they_are_normal(self, layer, monkeypatch):
        least = np.finfo(layer.dtype).smallest_normal
        flushing = Scripted(changing("output", lambda array: np.where(np.abs(array) < least, 0, array)))
        (flushed,) = data("tiny", flushing, layer)
        (raised,) = data("tiny", Scripted(changing("output", raising(ValueError()))), layer)
        monkeypatch.setattr("convcheck.checks.regimes._FEW", 1)
        (many,) = data("tiny", layer=layer)
        for at in (flushed, many):
            given = right_arrays(at, layer)
            assert all((np.abs(array[array != 0]) >= least).all() for array in given.values())
            assert max(np.abs(array).max() for array in given.values()) < 2.0**-50
        assert np.abs(right_arrays(raised, layer)["output"]).max() < least

    def test_of_code_that_rounds_they_are_real_and_far_from_subnormal(self):
        (at,) = data("tiny", rounding_code(), SINGLE)
        products = right_arrays(at, SINGLE)["weight"]
        assert np.abs(at.x[at.x != 0]).min() ** 2 > 2.0**-100
        assert np.abs(products).max() < 2.0**-20

    def test_means_are_left_out(self):
        code = Scripted()
        code.averages = ("weight",)
        with pytest.raises(LeftOutError, match="divides by the number of samples"):
            data("tiny", code)
