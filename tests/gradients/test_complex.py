"""Complex numbers: JAX and PyTorch are the judges of the conjugate, Gaussian integers and bounds of all else."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from convcheck import Layer
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.differences import Packing, central_gradient, exact_gradient, packing_for
from convcheck.gradients.numeric.directions import EntryDirections, directions_of
from convcheck.gradients.numeric.projection import project
from convcheck.gradients.numeric.rounding import allowed_errors, backward_errors, output_errors
from convcheck.layer.data import integer_operands, real_operands
from convcheck.layer.fields import COMPLEX
from tests.strategies import layers

UNFOLD = formulation(FASTEST)
LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(5, 4), dtype="complex128")
SOME = layers(dtypes=COMPLEX, max_axes=2, max_batch=2, family=True)


def gradients_of(layer):
    return ("input", "weight", "bias") if layer.bias else ("input", "weight")


def right(layer, at):
    return UNFOLD.backward(layer, at.x, at.weight, at.grad_output)


def by_three_products(layer, x, weight, bias):
    """The forward pass as some libraries make it: (a + b)(c + d) - ac - bd for the imaginary part."""
    real = replace(layer, dtype="float32" if layer.dtype == "complex64" else "float64")
    a, b, c, d = (np.ascontiguousarray(part) for array in (x, weight) for part in (array.real, array.imag))
    nothing = None if bias is None else np.zeros_like(bias.real)
    first = UNFOLD.forward(real, a, c, None if bias is None else bias.real.copy())
    second = UNFOLD.forward(real, b, d, nothing)
    both = UNFOLD.forward(real, a + b, c + d, None if bias is None else bias.real + bias.imag)
    return (first - second + 1j * (both - first - second)).astype(layer.dtype)


@given(layer=SOME)
@settings(max_examples=60, deadline=None)
def test_differences_are_the_gradient_exactly_however_many_share_an_evaluation(layer):
    at = integer_operands(layer)
    base = UNFOLD.forward(layer, at.x, at.weight, at.bias)
    for gradient in gradients_of(layer):
        directions = directions_of(gradient, layer, at)
        for packing in (packing_for(layer, gradient), Packing(radix=2, digits=1)):
            found = exact_gradient(UNFOLD.forward, directions, base, packing, merge=True)()
            np.testing.assert_array_equal(found.values, getattr(right(layer, at), gradient), strict=False)


def test_one_entry_at_a_time_too():
    at = integer_operands(LAYER)
    base = UNFOLD.forward(LAYER, at.x, at.weight, at.bias)
    for gradient in gradients_of(LAYER):
        directions = EntryDirections(LAYER, at, gradient)
        found = exact_gradient(UNFOLD.forward, directions, base, Packing(radix=2, digits=1), merge=False)()
        np.testing.assert_array_equal(found.values, getattr(right(LAYER, at), gradient))


@pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
@pytest.mark.parametrize("dtype", COMPLEX)
def test_random_directions_show_either_part_of_a_single_entry(gradient, dtype):
    layer = replace(LAYER, dtype=dtype)
    at = integer_operands(layer)
    base = UNFOLD.forward(layer, at.x, at.weight, at.bias)
    good = getattr(right(layer, at), gradient)

    def agrees(analytic):
        return all(draw.equal for draw in project(UNFOLD.forward, layer, at, base, gradient, analytic).draws)

    assert agrees(good)
    for off in (1, 1j):
        wrong = good.copy()
        wrong.flat[-1] += off
        assert not agrees(wrong)
    assert not agrees(good.conj())
    assert not agrees(good + 0.5j)


@given(layer=SOME)
@settings(max_examples=40, deadline=None)
def test_every_way_to_multiply_is_within_the_bounds(layer):
    at = real_operands(layer)
    wide = at.wide()
    output = UNFOLD.forward(layer, wide.x, wide.weight, wide.bias)
    bound = output_errors(layer, at, UNFOLD.forward)
    for forward in (UNFOLD.forward, by_three_products):
        assert (np.abs(forward(layer, at.x, at.weight, at.bias) - output) <= bound).all()
    bounds, exact, found = backward_errors(layer, at, UNFOLD.backward), right(layer, wide), right(layer, at)
    allowed = allowed_errors(layer, at, UNFOLD.forward, UNFOLD.backward)
    for gradient in gradients_of(layer):
        error = np.abs(getattr(found, gradient) - getattr(exact, gradient))
        assert (error <= getattr(bounds, gradient)).all()
        for forward in (UNFOLD.forward, by_three_products):
            # Merged evaluations have other layers than the one whose parts are multiplied.
            merge = forward is UNFOLD.forward
            numeric = central_gradient(forward, directions_of(gradient, layer, at), merge=merge)().values
            assert (np.abs(numeric - getattr(found, gradient)) <= getattr(allowed, gradient)).all()


@pytest.mark.parametrize("part", [1, 1j])
def test_the_bounds_notice_operands_that_were_rounded_to_less(part):
    layer = Layer(3, 4, 3, input=(6, 7), dtype="complex64")
    at = real_operands(layer)
    moved = at.weight * np.complex64(1 + part * 2.0**-9)
    error = np.abs(UNFOLD.forward(layer, at.x, moved, at.bias) - UNFOLD.forward(layer, at.x, at.weight, at.bias))
    assert (error > output_errors(layer, at, UNFOLD.forward)).any()
    error = np.abs(UNFOLD.backward(layer, at.x, moved, at.grad_output).input - right(layer, at).input)
    assert (error > allowed_errors(layer, at, UNFOLD.forward, UNFOLD.backward).input).any()


@pytest.mark.parametrize("dtype", COMPLEX)
def test_the_largest_gaussian_integers_stay_exact_in_three_products_too(dtype):
    layer = Layer(40, 3, 3, input=(6, 6), dtype=dtype)
    largest = int(np.abs(integer_operands(layer, 1, 2**30).x.real).max())
    assert largest > (80 if dtype == "complex64" else 2**20)
    at = integer_operands(layer).map(lambda array: np.full_like(array, largest * (1 + 1j)))
    exact = UNFOLD.forward(layer, *(at.wide().x, at.wide().weight, at.wide().bias))
    np.testing.assert_array_equal(by_three_products(layer, at.x, at.weight, at.bias), exact)
    np.testing.assert_array_equal(UNFOLD.forward(layer, at.x, at.weight, at.bias), exact)
    if dtype == "complex64":
        # Of numbers that are not much larger it would not be so.
        more = at.map(lambda array: 2 * array + np.complex64(1 + 3j))
        exact = UNFOLD.forward(layer, *(more.wide().x, more.wide().weight, more.wide().bias))
        assert (by_three_products(layer, more.x, more.weight, more.bias) != exact).any()


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize("draw", [0, 3])
def test_both_parts_are_nonzero_integers_of_both_signs_and_differ(dtype, draw):
    at = integer_operands(replace(LAYER, dtype=dtype), draw)
    for array in (at.x, at.weight, at.bias, at.grad_output):
        assert array.dtype == dtype
        for part in (array.real, array.imag):
            assert part.all()
            assert (np.rint(part) == part).all()
            assert np.abs(part).max() <= 3
            assert array is at.bias or part.min() < 0 < part.max()
        assert (np.abs(array.real) != np.abs(array.imag)).any()


@pytest.mark.parametrize(
    "fields",
    [
        {"stride": (2, 1), "padding": ((1, 2), (0, 1))},
        {"groups": 2, "dilation": 2, "bias": False},
    ],
)
@pytest.mark.parametrize("dtype", COMPLEX)
def test_jax_gives_the_conjugate_for_the_conjugate(fields, dtype):
    jax = pytest.importorskip("jax")
    from convcheck.targets.forms.jax_code import _settings

    layer = Layer(channels=2, filters=4, kernel=(2, 3), input=(6, 7), dtype=dtype, **fields)
    at = integer_operands(layer)

    def forward(x, weight):
        return jax.lax.conv_general_dilated(
            x, weight, layer.stride, layer.padding, rhs_dilation=layer.dilation, feature_group_count=layer.groups
        )

    with _settings(jax, wide=dtype == "complex128"):
        _, pull = jax.vjp(forward, jax.numpy.asarray(at.x), jax.numpy.asarray(at.weight))
        grad_input, grad_weight = pull(jax.numpy.asarray(at.grad_output.conj()))
    np.testing.assert_array_equal(np.asarray(grad_input).conj(), right(layer, at).input)
    np.testing.assert_array_equal(np.asarray(grad_weight).conj(), right(layer, at).weight)
    assert (np.asarray(grad_input) != right(layer, at).input).any()
