"""The bounds of rounding are as wide as their derivation, and no wider: every one is derived here a second time."""

from math import inf, log2

import numpy as np
import pytest
from hypothesis import given, settings

from convcheck import Layer
from convcheck.gradients import FASTEST, ORACLE, formulation
from convcheck.gradients.numeric.rounding import (
    allowed_errors,
    allowed_output_error,
    backward_errors,
    gamma,
    gammas,
    output_errors,
    transformed,
)
from convcheck.layer.data import real_operands, with_zeros
from tests.strategies import layers

UNFOLD = formulation(FASTEST)
UNIT = {"float64": 2.0**-53, "float32": 2.0**-24}
LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3)
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])


def highams(terms, unit):
    return terms * unit / (1 - terms * unit)


def close(array, expected):
    np.testing.assert_allclose(array, expected, rtol=1e-9, atol=0)


def magnitudes(layer, at):
    """The passes on absolute values, by the slow formulation."""
    x, weight, bias, grad_output = (
        None if a is None else np.abs(a.astype(np.float64)) for a in (at.x, at.weight, at.bias, at.grad_output)
    )
    return (
        formulation(ORACLE).forward(layer, x, weight, bias),
        formulation(ORACLE).backward(layer, x, weight, grad_output),
    )


@DTYPES
def test_gamma_counts_the_roundings_and_ends_where_no_bound_holds(dtype):
    unit = UNIT[dtype]
    last = round(1 / unit) - 1
    for terms in (1, 2, 10, 1000, 2**20, last):
        assert gamma(terms, dtype) == terms * unit / (1 - terms * unit)
    assert gamma(last + 1, dtype) == gamma(last + 2, dtype) == inf
    counts = np.array([0.0, 1, 2, 10, 1000, 2**20, last, last + 1, last + 2, 3 * last])
    assert gammas(counts, dtype).tolist() == [gamma(int(count), dtype) for count in counts]


@DTYPES
def test_an_output_may_be_off_by_every_rounding_of_its_sum_and_of_that_it_is_compared_with(dtype):
    layer = Layer(4, 6, (2, 3), groups=2, input=(7, 8), dtype=dtype)
    at = real_operands(layer)
    output, _ = magnitudes(layer, at)
    # 12 products, and the bias: each term is rounded at most 13 times.
    expected = 2 * highams(13, UNIT[dtype]) * (1 + highams(13, UNIT["float64"])) * output
    close(allowed_output_error(layer, at, UNFOLD.forward), expected)
    close(output_errors(layer, at, UNFOLD.forward), expected)
    assert allowed_output_error(layer, at, UNFOLD.forward).dtype == np.float64


def test_the_bound_of_an_output_allows_for_its_own_rounding():
    """So long a sum that the rounding of the bound counts; the pass is a stand-in, no array is as large."""
    layer = Layer(2**40 - 1, 1, 1, input=(1,), batch=1)
    at = real_operands(Layer(1, 1, 1, input=(1,), batch=1))
    bound = allowed_output_error(layer, at, lambda *_: np.ones((1, 1, 1)))
    close(bound, 2 * highams(2**40, 2.0**-53) * (1 + highams(2**40, 2.0**-53)))


def counted(layer, at):
    """How many products that are not zero every entry of every gradient is a sum of."""
    there = [(array != 0).astype(np.float64) for array in (at.x, at.weight, at.grad_output)]
    return formulation(ORACLE).backward(layer, *there)


@given(layer=layers(dtypes=("float64", "float32"), max_axes=2, family=True))
@settings(max_examples=40, deadline=None)
def test_a_gradient_may_be_off_by_the_roundings_of_the_terms_that_are_not_zero(layer):
    for at in (real_operands(layer), with_zeros(layer, real_operands(layer), 0.4)):
        bounds = backward_errors(layer, at, UNFOLD.backward)
        sizes, counts = magnitudes(layer, at)[1], counted(layer, at)
        assert (bounds.bias is None) == (not layer.bias)
        for name in ("input", "weight") + ("bias",) * layer.bias:
            roundings = getattr(counts, name) + 4
            expected = highams(roundings, UNIT[layer.dtype]) + highams(roundings, UNIT["float64"])
            close(getattr(bounds, name), expected * getattr(sizes, name))
            assert getattr(bounds, name).dtype == np.float64


@DTYPES
def test_a_difference_may_be_off_by_both_sides(dtype):
    """By the sum of the analytic side, by two evaluations seen through grad_output, and by the sum of the differences.

    Every entry by loops: nothing is taken from the code but the operands.
    """
    layer = Layer(2, 3, 2, stride=1, input=(4,), batch=2, dtype=dtype)
    at = real_operands(layer)
    x, weight, bias, grad_output = (np.abs(a.astype(np.float64)) for a in (at.x, at.weight, at.bias, at.grad_output))
    output, sizes = magnitudes(layer, at)
    unit = UNIT[dtype]
    evaluation = highams(2 * 2 + 1, unit)
    steps = {"input": weight.max(), "weight": x.max(), "bias": 1.0}
    noise = {name: grad_output * (output + step) * evaluation for name, step in steps.items()}
    places = [(n, f, i) for n in range(2) for f in range(3) for i in range(3)]
    reached = {"input": np.zeros(x.shape), "weight": np.zeros(weight.shape), "bias": np.zeros(3)}
    for n, f, i in places:
        reached["input"][n, :, i : i + 2] += noise["input"][n, f, i]
        reached["weight"][f] += noise["weight"][n, f, i]
        reached["bias"][f] += noise["bias"][n, f, i]
    terms = {"input": 3 * 2, "weight": 2 * 3, "bias": 2 * 3}
    allowed = allowed_errors(layer, at, UNFOLD.forward, UNFOLD.backward)
    assert bias.shape == (3,)
    for name, count in terms.items():
        own, wide = highams(count + 4, unit), highams(count + 4, UNIT["float64"])
        size = getattr(sizes, name)
        expected = (own * size + wide * (size + reached[name]) + reached[name]) * (1 + wide)
        close(getattr(allowed, name), expected)
        assert getattr(allowed, name).dtype == np.float64


def test_groups_samples_and_two_axes_are_counted_as_the_sums_are_long():
    """On a layer of ones every entry in the middle is the whole sum, so that the bound follows from its length."""
    layer = Layer(6, 4, (2, 3), padding=(1, 2), groups=2, input=(6, 7), batch=3, dtype="float32")
    at = real_operands(layer).map(np.ones_like)
    allowed = allowed_errors(layer, at, UNFOLD.forward, UNFOLD.backward)
    unit, wide = UNIT["float32"], UNIT["float64"]
    evaluation = (3 * 6 + 1 + 1) * highams(3 * 6 + 1, unit)
    sites = 3 * layer.output[0] * layer.output[1]
    middle = {
        "input": (allowed.input[1, 2, 3, 3], 2 * 6, 2 * 6),
        "bias": (allowed.bias[0], sites, sites),
    }
    noise = {"input": 2 * 6 * evaluation}
    # Outputs at the edge see fewer entries, so that the bias's are added up.
    output, _ = magnitudes(layer, at)
    noise["bias"] = ((output + 1) * highams(19, unit))[:, 0].sum()
    for name, (bound, count, size) in middle.items():
        own, double = highams(count + 4, unit), highams(count + 4, wide)
        close(bound, (own * size + double * (size + noise[name]) + noise[name]) * (1 + double))


def test_without_a_bias_there_is_no_bound_for_it():
    layer = Layer(2, 3, 2, input=(5, 6), bias=False)
    at = real_operands(layer)
    assert allowed_errors(layer, at, UNFOLD.forward, UNFOLD.backward).bias is None
    assert transformed(layer, at, UNFOLD.forward, UNFOLD.backward)[1].bias is None
    assert backward_errors(layer, at, UNFOLD.backward).bias is None
    assert backward_errors(layer, at, UNFOLD.backward, exact=False).bias is None


class TestByTransforms:
    """Higham, section 24.1: a transform of n points in the 2-norm, three for a product, and Cauchy's inequality."""

    @staticmethod
    def parts(layer, at):
        unit = UNIT[layer.dtype]
        points = 1
        for size, (before, after), kernel, dilation in zip(
            layer.input, layer.padding, layer.kernel, layer.dilation, strict=True
        ):
            points *= size + before + after + dilation * (kernel - 1) + 1
        eta = unit + highams(4, unit) * (2**0.5 + unit)
        levels = log2(2 * points)
        relative = 3 * levels * eta / (1 - levels * eta) + highams(4, unit)
        norms = {}
        for name in ("x", "weight", "grad_output"):
            maps = getattr(at, name).astype(np.float64).reshape(-1, *getattr(at, name).shape[2:])
            norms[name] = max(float(np.sqrt((one**2).sum())) for one in maps)
        return points, relative, norms

    @DTYPES
    def test_what_is_added_to_the_bounds_of_the_direct_algorithm(self, dtype):
        layer = Layer(4, 6, (2, 3), padding=((1, 0), (0, 2)), dilation=(2, 1), groups=2, input=(7, 8), dtype=dtype)
        at = real_operands(layer)
        _, relative, norms = self.parts(layer, at)
        output = relative * 2 * norms["x"] * norms["weight"]
        given = relative * 3 * norms["grad_output"] * norms["weight"]
        taken = relative * 2 * norms["grad_output"] * norms["x"]
        direct = output_errors(layer, at, UNFOLD.forward)
        close(output_errors(layer, at, UNFOLD.forward, exact=False), direct + output)
        sharp = backward_errors(layer, at, UNFOLD.backward)
        wide = backward_errors(layer, at, UNFOLD.backward, exact=False)
        close(wide.input, sharp.input + given)
        close(wide.weight, sharp.weight + taken)
        close(wide.bias, sharp.bias)

    @DTYPES
    def test_the_numeric_side_is_two_evaluations_seen_through_grad_output(self, dtype):
        layer = Layer(4, 6, (2, 3), padding=((1, 0), (0, 2)), dilation=(2, 1), groups=2, input=(7, 8), dtype=dtype)
        at = real_operands(layer)
        points, relative, norms = self.parts(layer, at)
        output, allowed = transformed(layer, at, UNFOLD.forward, UNFOLD.backward)
        close(output, output_errors(layer, at, UNFOLD.forward, exact=False))
        direct = allowed_errors(layer, at, UNFOLD.forward, UNFOLD.backward)
        sizes = np.abs(at.grad_output.astype(np.float64))
        per_filter = max(sizes[:, f].sum() for f in range(6))
        start = 2 * norms["x"] * norms["weight"]
        given, taken = (norms["grad_output"] * norms[name] for name in ("weight", "x"))
        through = sizes.max() * 3 * 6
        close(
            allowed.input,
            direct.input + relative * (3 * given + through * (start + points**0.5 * norms["weight"])),
        )
        close(allowed.weight, direct.weight + relative * (2 * taken + per_filter * (start + norms["x"])))
        close(allowed.bias, direct.bias + relative * per_filter * (start + 1))
