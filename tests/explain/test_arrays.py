"""What pictures show: the arrays of the formulations, on the worked examples of the texts and against brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcheck import Layer, UsageError, backward, load
from convcheck.explain.pictures import channels, errors, input_gradient, overlap, unfold_view, weight_gradient
from convcheck.explain.pictures.panel import Kind
from convcheck.explain.pictures.stories import stories_of
from convcheck.explain.pictures.window import Selection, full_kinds, padded_kinds, window_of
from convcheck.gradients.dilate_flip import dilated_gradient, full_gradient, padded_input, rotated_kernel
from convcheck.gradients.unfold import unfold
from convcheck.layer.data import example_operands


def textbook(name):
    return next(layer for layer in load("textbook").layers if layer.name == name)


EVERYWHERE = [layer for suite in ("textbook", "hostile") for layer in load(suite).layers]


def by_number(story):
    return {panel.number: panel for panel in story.panels}


def input_story(layer, **chosen):
    at = example_operands(layer)
    return at, input_gradient.story(layer, at.weight, at.grad_output, Selection.of(layer, **chosen))


def test_t3_stride_2_step_by_step():
    layer = textbook("T3-stride-2")
    at, story = input_story(layer)
    panels = by_number(story)
    (d00, d01), (d10, d11) = at.grad_output[0, 0]
    f = at.weight[0, 0]
    assert panels["2"].values.tolist() == [[d00, 0, d01], [0, 0, 0], [d10, 0, d11]]
    assert panels["3"].shape == (7, 7)
    assert panels["3"].values[2:5, 2:5].tolist() == panels["2"].values.tolist()
    assert panels["4b"].values.tolist() == [row[::-1] for row in f.tolist()[::-1]]
    # dL/dx22 = dO00 f22 + dO01 f20 + dO10 f02 + dO11 f00
    assert panels["5"].values[2, 2] == d00 * f[2, 2] + d01 * f[2, 0] + d10 * f[0, 2] + d11 * f[0, 0]


def test_t3_weight_gradient():
    layer = textbook("T3-stride-2")
    at = example_operands(layer)
    story = weight_gradient.story(layer, at.x, at.grad_output, Selection.of(layer))
    (d00, d01), (d10, d11) = at.grad_output[0, 0]
    x = at.x[0, 0]
    # dL/df00 = dO00 x00 + dO01 x02 + dO10 x20 + dO11 x22
    assert by_number(story)["4"].values[0, 0] == d00 * x[0, 0] + d01 * x[0, 2] + d10 * x[2, 0] + d11 * x[2, 2]
    assert by_number(story)["3"].outlined == {(0, 0), (0, 2), (2, 0), (2, 2)}


@pytest.mark.parametrize("layer", EVERYWHERE, ids=lambda layer: layer.name)
def test_panels_are_the_formulations_own_arrays(layer):
    chosen = Selection.of(layer, sample=layer.batch - 1, channel=layer.channels - 1)
    at = example_operands(layer)
    gradients = backward(layer, at.x, at.weight, at.grad_output)
    n, c, f, window = chosen.sample, chosen.channel, chosen.filter, window_of(layer)

    def cut(array, ranges):
        return array[tuple(slice(r.start, r.stop) for r in ranges)]

    panels = by_number(input_gradient.story(layer, at.weight, at.grad_output, chosen))
    np.testing.assert_array_equal(panels["1"].values, cut(at.grad_output[n, f], window.output))
    np.testing.assert_array_equal(
        panels["2"].values, cut(dilated_gradient(layer, at.grad_output)[n, f], window.dilated)
    )
    np.testing.assert_array_equal(panels["3"].values, cut(full_gradient(layer, at.grad_output)[n, f], window.full))
    inside = f % layer.filters_per_group
    np.testing.assert_array_equal(panels["4b"].values, rotated_kernel(layer, at.weight)[c, inside])
    last = panels["6" if layer.filters_per_group > 1 else "5"]
    np.testing.assert_array_equal(last.values, cut(gradients.input[n, c], window.input))
    panels = by_number(weight_gradient.story(layer, at.x, at.grad_output, chosen))
    last = panels["5" if layer.batch > 1 else "4"]
    np.testing.assert_array_equal(last.values, gradients.weight[f, c % layer.channels_per_group])
    padded = padded_input(layer, at.x)[n, c]
    np.testing.assert_array_equal(panels["1"].values, padded[tuple(map(slice, panels["1"].values.shape))])


@pytest.mark.parametrize("layer", EVERYWHERE, ids=lambda layer: layer.name)
def test_kinds_say_where_values_are(layer):
    ones = np.ones((1, layer.filters, *layer.output))
    for padded, formulation in ((False, dilated_gradient), (True, full_gradient)):
        holds = formulation(layer, ones)[0, 0] == 1
        np.testing.assert_array_equal(full_kinds(layer, padded=padded) == Kind.VALUE, holds)
    inside = padded_input(layer, np.ones((1, layer.channels, *layer.input)))[0, 0] == 1
    kinds = padded_kinds(layer)
    assert not inside[kinds == Kind.BORDER].any()
    assert inside[kinds == Kind.VALUE].all()
    reached = np.zeros(kinds.shape, bool)
    reached[tuple(slice(axis.padded_size - axis.remainder) for axis in layer.axes)] = True
    np.testing.assert_array_equal(kinds == Kind.UNREAD, ~reached)


def test_remainder_stands_between_the_gradient_and_the_border():
    kinds = full_kinds(Layer(1, 1, 3, 3, input=[10], batch=1), padded=True)
    v, i, r, b = Kind.VALUE, Kind.INSERTED, Kind.REMAINDER, Kind.BORDER
    assert kinds.tolist() == [b, b, v, i, i, v, i, i, v, r, b, b]


@pytest.mark.parametrize("layer", EVERYWHERE, ids=lambda layer: layer.name)
def test_overlap_counts_by_brute_force(layer):
    counts = np.zeros([axis.padded_size for axis in layer.axes])
    for output in product(*map(range, layer.output)):
        for tap in product(*map(range, layer.kernel)):
            counts[tuple(axis.window(i)[a] for axis, i, a in zip(layer.axes, output, tap, strict=True))] += 1
    inside = tuple(slice(axis.before, axis.before + axis.size) for axis in layer.axes)
    np.testing.assert_array_equal(overlap.window_counts(layer), counts[inside])


@pytest.mark.parametrize("layer", EVERYWHERE, ids=lambda layer: layer.name)
def test_copies_in_the_unfolded_input_add_up(layer):
    at = example_operands(layer)
    panels = by_number(unfold_view.story(layer, at.x, at.weight, at.grad_output, Selection.of(layer)))
    (entry,) = panels["1"].outlined
    copies = {panels["2"].values[cell] for cell in panels["2"].outlined}
    assert copies <= {padded_input(layer, at.x)[(0, 0, *entry)]}
    place = tuple(p - axis.before for p, axis in zip(entry, layer.axes, strict=True))
    expected = backward(layer, at.x, at.weight, at.grad_output).input[(0, 0, *place)]
    if len(panels["3"].outlined) < overlap.window_counts(layer)[place]:
        return  # more copies than the picture has columns
    assert sum(panels["3"].values[cell] for cell in panels["3"].outlined) == expected


def test_unfold_shows_the_matrix():
    layer = textbook("T4-non-square")
    at = example_operands(layer)
    panel = by_number(unfold_view.story(layer, at.x, at.weight, at.grad_output, Selection.of(layer)))["2"]
    columns = [int(np.ravel_multi_index([int(i) for i in text.split(",")], layer.output)) for text in panel.labels[1]]
    np.testing.assert_array_equal(panel.values, unfold(layer, at.x)[0, 0, :6][:, columns])


def test_channels_regroup_slices():
    layer = textbook("T1-20-filters-over-RGB")
    weight = example_operands(layer).weight
    forward, back = channels.story(layer, weight, Selection.of(layer)).panels
    for c, f in product(range(3), range(20)):
        place = (slice(3 * c, 3 * c + 3), slice(3 * f, 3 * f + 3))
        np.testing.assert_array_equal(forward.values[place], weight[f, c])
        np.testing.assert_array_equal(back.values[place], weight[f, c, ::-1, ::-1])


def test_error_map_marks_the_worst_entry():
    layer = textbook("T3-stride-1")
    right = np.arange(9.0).reshape(1, 1, 3, 3)
    wrong = right.copy()
    wrong[0, 0, 2, 1] += 5
    wrong[0, 0, 0, 0] += 1
    story = errors.story(layer, "input", wrong, right)
    assert [panel.outlined for panel in story.panels] == [{(2, 1)}] * 3
    np.testing.assert_array_equal(story.panels[2].values, (wrong - right)[0, 0])
    assert story.intro == ("2 of 9 entries differ: only rows 0, 2 of 0..2, the leading columns 0..1 of 0..2.",)
    wrong[0, 0, 1, 1] = np.nan
    assert errors.story(layer, "input", wrong, right).panels[0].outlined == {(1, 1)}


def test_large_layers_show_a_window():
    layer = load("resnet50").layers[0]
    at, story = input_story(layer, filter=63)
    assert all(panel.values.size <= 300 for panel in story.panels)
    assert by_number(story)["6"].shown == "shown: rows 0–5 of 224, columns 0–5 of 224"
    assert sum(panel.values.size for told in stories_of(layer, at, Selection.of(layer)) for panel in told.panels) < 6000


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"sample": 3}, "sample=3 is out of range; layer groups has samples 0..2"),
        ({"channel": 8}, "channel=8 is out of range; layer groups has channels 0..7"),
        ({"filter": -1}, "filter=-1 is out of range; layer groups has filters 0..3"),
        (
            {"channel": 5, "filter": 1},
            "filter=1 does not read channel 5, which is in group 1; expected a filter of 2..3",
        ),
    ],
)
def test_slices_that_do_not_exist(chosen, message):
    layer = next(layer for layer in load("hostile").layers if layer.name == "groups")
    with pytest.raises(UsageError) as caught:
        Selection.of(layer, **chosen)
    assert str(caught.value) == message


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_layer_can_be_told(data):
    rank = data.draw(st.integers(1, 3))

    def per_axis(low, high):
        return [data.draw(st.integers(low, high)) for _ in range(rank)]

    groups = data.draw(st.integers(1, 2))
    kernel, dilation, size = per_axis(1, 4), per_axis(1, 9), per_axis(1, 20)
    padding = [
        [data.draw(st.integers(0, 9)) + d * (k - 1), data.draw(st.integers(0, 9))]
        for k, d in zip(kernel, dilation, strict=True)
    ]
    layer = Layer(
        channels=groups * data.draw(st.integers(1, 2)), filters=groups * data.draw(st.integers(1, 2)), kernel=kernel,
        stride=per_axis(1, 9), dilation=dilation, padding=padding, input=size, groups=groups, batch=1,
    )  # fmt: skip
    at = example_operands(layer)
    for story in stories_of(layer, at, Selection.of(layer)):
        for panel in story.panels:
            assert panel.values.shape == panel.kinds.shape
            assert panel.values.size
