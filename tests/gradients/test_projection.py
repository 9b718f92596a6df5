"""A right gradient passes every draw, a wrong one none, and the stated probability is what the size implies."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcheck import Layer
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.directions import OPERAND_OF
from convcheck.gradients.numeric.projection import TARGET_PROBABILITY, draw_size, project
from convcheck.layer.data import integer_magnitude, integer_operands
from convcheck.layer.fields import DTYPES
from tests.draws import hidden_from_one_draw, projected_directions
from tests.strategies import layers

UNFOLD = formulation(FASTEST)


def setting(layer):
    at = integer_operands(layer)
    return at, UNFOLD.forward(layer, at.x, at.weight, at.bias), UNFOLD.backward(layer, at.x, at.weight, at.grad_output)


@given(layer=layers(dtypes=("float64", "float32"), family=True), data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_right_gradient_passes_and_one_wrong_entry_is_caught(layer, data):
    at, base, right = setting(layer)
    for gradient in ("input", "weight") + ("bias",) * layer.bias:
        analytic = getattr(right, gradient)
        projection = project(UNFOLD.forward, layer, at, base, gradient, analytic)
        assert all(draw.equal for draw in projection.draws)
        assert projection.false_pass_probability <= TARGET_PROBABILITY
        wrong = analytic.copy()
        wrong.flat[data.draw(st.integers(0, wrong.size - 1))] += 1
        assert not all(draw.equal for draw in project(UNFOLD.forward, layer, at, base, gradient, wrong).draws)


@pytest.mark.parametrize("size", [(8, 9), (32, 32), (64, 48)])
def test_an_unflipped_kernel_is_caught_at_every_size(size):
    """Directions of one sign would accept it at 32×32 and above."""
    layer = Layer(4, 4, 3, padding=1, input=size, batch=1)
    at, base, right = setting(layer)
    unflipped = UNFOLD.backward(layer, at.x, np.flip(at.weight, (2, 3)), at.grad_output).input
    rotated = np.flip(right.weight, (2, 3))
    for gradient, wrong in (("input", unflipped), ("weight", rotated)):
        assert not any(draw.equal for draw in project(UNFOLD.forward, layer, at, base, gradient, wrong).draws)


@pytest.mark.parametrize("spoil", [np.nan, np.inf, 0.5, 1e300])
def test_what_is_no_integer_or_huge_is_unequal(spoil):
    layer = Layer(2, 3, 2, input=(4, 5))
    at, base, right = setting(layer)
    wrong = right.weight.copy()
    wrong.flat[0] = spoil
    assert not any(draw.equal for draw in project(UNFOLD.forward, layer, at, base, "weight", wrong).draws)


def test_the_probability_is_one_over_the_number_of_values_per_draw():
    layer = Layer(2, 3, 2, input=(4, 5), dtype="float32")
    at, base, right = setting(layer)
    size, count = draw_size(layer)
    projection = project(UNFOLD.forward, layer, at, base, "weight", right.weight)
    assert len(projection.draws) == count
    # Without an absolute tolerance: any number of this size would be within it.
    assert projection.false_pass_probability == pytest.approx(float(2 * size + 1) ** -count, rel=1e-12, abs=0)
    assert float(2 * size + 1) ** -count <= TARGET_PROBABILITY < float(2 * size + 1) ** -(count - 1)


def test_no_direction_is_drawn_where_the_dtype_leaves_no_room():
    # Sums of few terms have room, however long those of the gradients are.
    assert draw_size(Layer(1, 1, 1, input=(5000, 4000), batch=1, dtype="float32")) == (2**20, 2)
    # Here integers of magnitude 1 stay exact, with zeros among them or without, and a step of all at once does not.
    for channels in (2**24 - 2, 2**24 - 1):
        assert draw_size(Layer(channels, 1, 1, input=(1,), batch=1, dtype="float32")) == (0, 0)


@pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
def test_every_draw_is_another_direction_with_both_signs_and_the_size_that_was_stated(gradient):
    layer = Layer(3, 40, 3, input=(6, 7))
    size, count = draw_size(layer)
    directions = projected_directions(layer, gradient)
    assert len(directions) == count
    assert len({direction.tobytes() for direction in directions}) == count
    for direction in directions:
        assert direction.min() < -0.8 * size
        assert 0.8 * size < direction.max() <= size


@pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
@pytest.mark.parametrize("number", [0, 1])
def test_what_one_draw_cannot_see_the_others_do(gradient, number):
    layer = Layer(2, 3, 2, input=(4, 5))
    at, base, right = setting(layer)
    wrong = hidden_from_one_draw(layer, gradient, getattr(right, gradient), number)
    draws = project(UNFOLD.forward, layer, at, base, gradient, wrong).draws
    assert [draw.equal for draw in draws] == [index == number for index in range(len(draws))]
    assert [draw.analytic == draw.numeric for draw in draws] == [draw.equal for draw in draws]


def test_a_wrong_entry_is_missed_as_often_as_stated(monkeypatch):
    """Where hardly any room is left, directions are of -2..2: one draw in five has a zero at the wrong entry."""
    monkeypatch.setitem(DTYPES, "float32", replace(DTYPES["float32"], precision=8))
    layer = Layer(4, 1, 2, input=(3, 3), batch=1, dtype="float32")
    assert draw_size(layer) == (2, 18)
    missed = draws = 0
    for seed in range(200):
        at, base, right = setting(replace(layer, seed=seed))
        wrong = right.input.copy()
        wrong.flat[seed % wrong.size] += 1
        projection = project(UNFOLD.forward, replace(layer, seed=seed), at, base, "input", wrong)
        missed += sum(draw.equal for draw in projection.draws)
        draws += len(projection.draws)
    stated = projection.false_pass_probability ** (1 / 18)
    assert abs(missed - draws * stated) < 5 * (draws * stated * (1 - stated)) ** 0.5


def test_both_sides_of_a_draw_are_the_sums_that_they_are_said_to_be():
    layer = Layer(2, 3, 2, input=(4, 5))
    at, base, right = setting(layer)
    wrong = right.weight + np.arange(right.weight.size).reshape(right.weight.shape)
    draws = project(UNFOLD.forward, layer, at, base, "weight", wrong).draws
    for draw, direction in zip(draws, projected_directions(layer, "weight"), strict=True):
        assert draw.analytic == (wrong * direction).sum()
        assert draw.numeric == (right.weight * direction).sum()


def test_sums_beyond_what_floating_point_holds_are_exact():
    """Nearly 2**52 more in one half of the outputs and less in the other, before the step too or after it only."""
    layer = Layer(2, 3, 2, input=(4, 6), batch=16, bias=False)
    at, base, _ = setting(layer)
    at = replace(at, grad_output=np.ones_like(at.grad_output))
    right = UNFOLD.backward(layer, at.x, at.weight, at.grad_output)
    halves = np.repeat([2.0**52 - 2**24, 2**24 - 2.0**52], base.size // 2).reshape(base.shape)
    for gradient in ("input", "weight"):
        for start in (base, base + halves):
            draws = project(
                lambda *given: UNFOLD.forward(*given) + halves, layer, at, start, gradient, getattr(right, gradient)
            ).draws
            assert all(draw.equal for draw in draws)


def test_sums_that_no_longer_fit_64_bits_are_still_exact():
    layer = Layer(2, 3, 2, input=(4, 5))
    at, base, right = setting(layer)
    wrong = right.weight.copy()
    # By 2**64 too much on one side: what 64 bits cannot tell from nothing.
    wrong.flat[0] += 2.0**64
    draws = project(UNFOLD.forward, layer, at, base, "weight", wrong).draws
    first = [int(direction.flat[0]) for direction in projected_directions(layer, "weight")]
    assert not any(draw.equal for draw in draws)
    for draw, entry in zip(draws, first, strict=True):
        assert draw.analytic - draw.numeric == pytest.approx(2.0**64 * entry, rel=1e-9)


@pytest.mark.parametrize("precision", [*range(9, 34), 53])
@pytest.mark.parametrize(
    "layer",
    [
        Layer(1, 1, 1, input=(1, 1), batch=1, dtype="float32"),
        Layer(2, 3, 2, input=(4, 5), batch=1, dtype="float32"),
        Layer(48, 5, 3, padding=1, input=(9, 9), dtype="float32"),
        # So many terms and outputs that 64 bits are what ends first; only sizes are computed.
        Layer(2**12, 2**11 + 1, 9, input=(2**9 + 8, 2**9 + 8), batch=1, dtype="float32"),
    ],
    ids=["one", "small", "middle", "huge"],
)
def test_a_draw_is_as_large_as_its_sums_stay_exact_and_no_larger(layer, precision, monkeypatch):
    monkeypatch.setitem(DTYPES, "float32", replace(DTYPES["float32"], precision=precision))
    magnitude = integer_magnitude(layer)
    terms = layer.channels_per_group * layer.kernel[0] * layer.kernel[1]
    outputs = layer.batch * layer.filters * layer.output[0] * layer.output[1]

    def fits(size):
        # An output after the step: of operands as large as can be, one of them moved by the size; and the bias.
        output = terms * magnitude * (magnitude + size) + magnitude
        # The sum over all outputs of what the step changes, times grad_output, in 64 bits with one to spare.
        total = outputs * (terms * magnitude * size) * magnitude
        return output <= 2**precision and total <= 2**62

    size, count = draw_size(layer)
    assert isinstance(size, int)
    if size:
        assert magnitude
        assert fits(size)
        assert size == 2**20 or not fits(size + 1)
        assert float(2 * size + 1) ** -count <= TARGET_PROBABILITY < float(2 * size + 1) ** -(count - 1)
    else:
        assert not magnitude or not fits(1)
        assert count == 0


def test_the_same_layer_is_always_projected_in_the_same_directions_and_another_seed_in_others():
    layer = Layer(2, 3, 2, input=(4, 5))
    first, again, other = (projected_directions(at, "weight") for at in (layer, layer, replace(layer, seed=1)))
    assert all(np.array_equal(one, same) for one, same in zip(first, again, strict=True))
    assert not any(np.array_equal(one, same) for one, same in zip(first, other, strict=True))


@pytest.mark.parametrize("spoil", [0.5, 1e300])
def test_what_cannot_be_summed_in_integers_is_shown_as_it_is(spoil):
    layer = Layer(2, 3, 2, input=(4, 5))
    at, base, right = setting(layer)
    wrong = right.weight.copy()
    wrong.flat[0] = spoil
    draws = project(UNFOLD.forward, layer, at, base, "weight", wrong).draws
    for draw, direction in zip(draws, projected_directions(layer, "weight"), strict=True):
        assert draw.equal is False
        assert draw.analytic == pytest.approx((wrong * direction).sum())
        assert draw.numeric == (right.weight * direction).sum()


def test_a_forward_pass_that_gives_fractions_is_unequal_and_its_change_is_shown():
    layer = Layer(2, 3, 2, input=(4, 5))
    at, base, right = setting(layer)
    draws = project(lambda *args: UNFOLD.forward(*args) + 0.25, layer, at, base, "weight", right.weight).draws
    for draw in draws:
        assert not draw.equal
        assert draw.numeric - draw.analytic == pytest.approx(0.25 * at.grad_output.sum(), abs=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_direction_moves_the_operand_that_the_gradient_is_of_and_keeps_its_dtype(dtype):
    layer = Layer(2, 3, 2, input=(4, 5), dtype=dtype)
    at, base, right = setting(layer)
    for gradient in ("input", "weight", "bias"):
        seen = []

        def forward(given, x, weight, bias, seen=seen):
            seen.append({"x": x, "weight": weight, "bias": bias})
            assert given == layer
            return UNFOLD.forward(given, x, weight, bias)

        project(forward, layer, at, base, gradient, getattr(right, gradient))
        for operands in seen:
            moved = {name for name, array in operands.items() if not np.array_equal(array, getattr(at, name))}
            assert moved == {OPERAND_OF[gradient]}
            assert {array.dtype for array in operands.values()} == {np.dtype(dtype)}
