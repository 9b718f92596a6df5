"""Every entry is reached once, and every output's change is booked to the entry that caused it."""

import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcheck import Layer
from convcheck.gradients import FASTEST, formulation
from convcheck.gradients.numeric.differences import Packing, exact_gradient, packing_for
from convcheck.gradients.numeric.directions import EntryDirections, Portion, direction_count, directions_of
from convcheck.layer.data import integer_operands
from tests.strategies import layers

FORWARD = formulation(FASTEST).forward


@given(layer=layers(max_axes=2, family=True))
@settings(max_examples=60, deadline=None)
def test_the_directions_of_the_input_partition_its_entries_and_no_output_sees_two_of_one(layer):
    at = integer_operands(layer)
    directions = directions_of("input", layer, at)
    ones = np.ones(layer.weight_shape)
    seen = np.zeros(layer.input_shape)
    for direction in range(directions.count):

        def mark(_, x, weight, bias):
            mark.moved = x - at.x
            return FORWARD(layer, x, weight, bias)

        directions.evaluate(mark, [[(direction, 1.0)]])
        assert set(np.unique(mark.moved)) <= {0.0, 1.0}
        seen += mark.moved
        assert FORWARD(layer, mark.moved, ones, None).max() <= np.prod([axis.repeats for axis in layer.axes])
    assert (seen == 1).all()


@given(layer=layers(dtypes=("float64", "float32"), max_axes=2, max_batch=2, family=True))
@settings(max_examples=40, deadline=None)
def test_coloured_and_uncoloured_gradients_are_equal(layer):
    at = integer_operands(layer)
    base = FORWARD(layer, at.x, at.weight, at.bias)
    for gradient in ("input", "weight") + ("bias",) * layer.bias:
        one_by_one = exact_gradient(FORWARD, EntryDirections(layer, at, gradient), base, Packing(2, 1), merge=False)()
        coloured = exact_gradient(FORWARD, directions_of(gradient, layer, at), base, Packing(2, 1), merge=False)()
        np.testing.assert_array_equal(coloured.values, one_by_one.values)
        assert coloured.evaluations <= one_by_one.evaluations


@given(layer=layers(max_axes=2, max_batch=2, family=True), cut=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_portions_of_the_directions_reach_each_its_own_entries_and_together_all(layer, cut):
    at = integer_operands(layer)
    base = FORWARD(layer, at.x, at.weight, at.bias)
    for gradient in ("input", "weight") + ("bias",) * layer.bias:
        whole = directions_of(gradient, layer, at)
        first = round(cut * whole.count)
        portions = [Portion(whole, 0, first), Portion(whole, first, whole.count)]
        assert sum(portion.count for portion in portions) == whole.count
        packing = packing_for(layer, gradient)
        one, other = (exact_gradient(FORWARD, portion, base, packing, merge=True)().values for portion in portions)
        assert not (one * other).any()
        np.testing.assert_array_equal(one + other, exact_gradient(FORWARD, whole, base, packing, merge=True)().values)


def test_colours_on_a_wrong_premise_alias():
    """Colours for dilation 1 on a forward pass with dilation 2: this is why the forward pass is checked first."""
    actual = Layer(1, 1, 3, padding=3, dilation=2, input=(9,), batch=1, bias=False)
    assumed = Layer(1, 1, 3, padding=2, input=(9,), batch=1, bias=False)
    assert actual.output_shape == assumed.output_shape
    at = integer_operands(actual)
    base = FORWARD(actual, at.x, at.weight, None)
    truth = formulation(FASTEST).backward(actual, at.x, at.weight, at.grad_output).input

    def forward(_, x, weight, bias):
        return FORWARD(actual, x, weight, bias)

    for layer, right in ((actual, True), (assumed, False)):
        numeric = exact_gradient(forward, directions_of("input", layer, at), base, Packing(2, 1), merge=False)()
        assert np.array_equal(numeric.values, truth) is right


@pytest.mark.parametrize(("gradient", "count"), [("input", 3 * 6), ("weight", 3 * 6), ("bias", 1)])
def test_the_number_of_directions_does_not_depend_on_the_image(gradient, count):
    for size in ((5, 7), (50, 70)):
        layer = Layer(6, 4, (2, 3), groups=2, padding=1, input=size)
        assert direction_count(gradient, layer) == count


def test_a_colour_that_only_padding_has_needs_no_evaluation():
    layer = Layer(1, 1, 3, padding=1, input=(1, 1))
    assert direction_count("input", layer) == 1
    assert direction_count("weight", layer) == 9


LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3)
AT = integer_operands(LAYER)
BASE = FORWARD(LAYER, AT.x, AT.weight, AT.bias)
KINDS = pytest.mark.parametrize("kind", ["input", "weight", "bias", "entry of the weight"])


def directions_for(kind):
    return EntryDirections(LAYER, AT, "weight") if kind.startswith("entry") else directions_of(kind, LAYER, AT)


def checked(layer, x, weight, bias):
    """The forward pass, of what it can be told from the layer that it is given."""
    assert x.shape == (len(x), *layer.input_shape[1:])
    assert weight.shape == layer.weight_shape
    assert bias.shape == layer.bias_shape
    assert len(x) == layer.batch or layer == LAYER
    return FORWARD(layer, x, weight, bias)


class TestEvaluations:
    """Several at once give what each gives alone, and each is as far from the start as its steps are long."""

    @KINDS
    def test_are_the_same_together_and_alone(self, kind):
        directions = directions_for(kind)
        last = directions.count - 1
        taken = [[(0, 1.0)], [(last // 2, 2.0), (last, -1.0)], [(last, 5.0)], [(0, -3.0), (last // 3, 1.0)]]
        together = directions.evaluate(checked, taken)
        assert together.shape == (4, *LAYER.output_shape)
        unit = {d: directions.evaluate(checked, [[(d, 1.0)]])[0] - BASE for d in (0, last // 3, last // 2, last)}
        for output, steps in zip(together, taken, strict=True):
            np.testing.assert_array_equal(output, BASE + sum(amount * unit[d] for d, amount in steps))

    @KINDS
    def test_one_alone_is_of_the_layer_itself(self, kind):
        given = []

        def forward(layer, *at):
            given.append(layer)
            return FORWARD(layer, *at)

        directions_for(kind).evaluate(forward, [[(0, 1.0)]])
        assert given[0] is LAYER

    @KINDS
    def test_do_not_move_the_start(self, kind):
        directions_for(kind).evaluate(checked, [[(0, 1.0)]])
        assert all(np.array_equal(one, other) for one, other in zip(
            (AT.x, AT.weight, AT.bias), (integer_operands(LAYER).x, integer_operands(LAYER).weight,
                                         integer_operands(LAYER).bias), strict=True))  # fmt: skip

    def test_keep_an_output_that_the_code_uses_again(self):
        buffer = np.zeros(LAYER.output_shape)

        def forward(*at):
            buffer[...] = FORWARD(*at)
            return buffer

        for kind in ("bias", "entry of the weight"):
            directions = directions_for(kind)
            first, second = directions.evaluate(forward, [[(0, 1.0)], [(0, 2.0)]])
            assert not np.array_equal(first, second)


@pytest.mark.parametrize(("size", "kept"), [(100, True), (200, False)])
def test_index_arrays_of_large_images_go_with_their_directions(size, kept):
    layer = Layer(1, 1, 3, input=(size, size), batch=1)
    at = integer_operands(layer)
    directions = directions_of("input", layer, at)
    exact_gradient(FORWARD, directions, FORWARD(layer, at.x, at.weight, at.bias), Packing(2, 1), merge=True)()
    found = weakref.ref(directions._colors(layer.axes))
    del directions
    assert (found() is not None) == kept


class TestBooking:
    @KINDS
    def test_adds_up(self, kind):
        directions = directions_for(kind)
        gradient = directions.empty_gradient()
        assert not gradient.any()
        assert gradient.dtype == np.float64
        weighted = np.arange(float(BASE.size)).reshape(BASE.shape) + 1
        directions.book(gradient, [directions.count - 1], directions.sums(weighted[np.newaxis]))
        once = directions.finish(gradient).copy()
        directions.book(gradient, [directions.count - 1], directions.sums(weighted[np.newaxis]))
        np.testing.assert_array_equal(directions.finish(gradient), 2 * once)
        assert once.shape == {"input": AT.x, "bias": AT.bias}.get(kind, AT.weight).shape
        assert once.any()

    @KINDS
    def test_a_direction_reaches_the_entries_that_it_moves_and_no_others(self, kind):
        directions = directions_for(kind)
        moved = []

        def forward(layer, *at):
            moved.append(at)
            return FORWARD(layer, *at)

        place = {"input": 0, "bias": 2}.get(kind, 1)
        for direction in (0, directions.count // 2, directions.count - 1):
            gradient = directions.empty_gradient()
            directions.book(gradient, [direction], directions.sums(np.ones((1, *BASE.shape))))
            directions.evaluate(forward, [[(direction, 1.0)]])
            entries = moved.pop()[place] != (AT.x, AT.weight, AT.bias)[place]
            reached = directions.finish(gradient) != 0
            assert not (reached & ~entries).any()
            assert reached.any()


@pytest.mark.parametrize(
    ("layer", "gradient", "entries"),
    [
        (LAYER, "bias", 3 * 6 * 4 * 8),
        (LAYER, "input", 3 * 4 * (2 * 3) * 4 * 8),
        (Layer(2, 3, 1, stride=4, input=(9, 9), batch=2), "input", 2 * 2 * 9 * 9),
        (Layer(2, 30, 1, input=(5, 5), batch=2), "input", 2 * 30 * 5 * 5),
        (LAYER, "weight", 3 * 6 * 4 * 8),
        (Layer(9, 8, 3, input=(3, 3), batch=1), "weight", 8 * 9 * 3 * 3),
    ],
)
def test_what_is_merged_is_bounded_by_the_largest_array_of_one_evaluation(layer, gradient, entries):
    assert directions_of(gradient, layer, integer_operands(layer)).entries == entries


def test_every_entry_has_a_direction_of_its_own():
    for gradient, array in (("input", AT.x), ("weight", AT.weight), ("bias", AT.bias)):
        assert EntryDirections(LAYER, AT, gradient).count == array.size
