"""What pictures show: the arrays of the formulations, on the worked examples of the texts and against brute force."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcheck import Layer, UsageError, backward, forward, load
from convcheck.explain.pictures import channels, errors, input_gradient, overlap, unfold_view, weight_gradient, wires
from convcheck.explain.pictures.drawing import style
from convcheck.explain.pictures.panel import Kind
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.pictures.stories import stories_of
from convcheck.explain.pictures.window import full_kinds, input_kinds, padded_kinds, window_of
from convcheck.gradients.dilate_flip import dilated_gradient, full_gradient, padded_input, rotated_kernel
from convcheck.gradients.unfold import unfold
from convcheck.layer.data import example_operands


def textbook(name):
    return next(layer for layer in load("textbook").layers if layer.name == name)


EVERYWHERE = [
    layer
    for suite in ("textbook", "hostile")
    for layer in load(suite).layers
    if not layer.transposed and not layer.repeats_samples
]


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
    n, c, f, window = chosen.sample, chosen.channel, chosen.filter, window_of(layer, chosen)

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
    shown = panels["1"]
    ranges = [range(i, i + size) for i, size in zip(shown.start, shown.values.shape, strict=True)]
    np.testing.assert_array_equal(shown.values, cut(padded, ranges))


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
    # Read by no window: the remainder, and what lies between windows that are further apart than they are wide.
    reached = np.zeros(kinds.shape, bool)
    for output, tap in product(product(*map(range, layer.output)), product(*map(range, layer.kernel))):
        reached[tuple(i * a.stride + t * a.dilation for a, i, t in zip(layer.axes, output, tap, strict=True))] = True
    np.testing.assert_array_equal(kinds == Kind.UNREAD, ~reached)
    np.testing.assert_array_equal(input_kinds(layer) == Kind.UNREAD, overlap.window_counts(layer) == 0)


@pytest.mark.parametrize(
    ("layer", "unread"),
    [
        (Layer(1, 1, 1, 2, input=[5, 5], batch=1), [1, 3]),
        (Layer(1, 1, 2, 3, input=[8, 8], batch=1), [2, 5]),
        (Layer(1, 1, 2, 2, input=[5, 5], batch=1), [4]),
    ],
    ids=["1x1 stride 2", "kernel 2 stride 3", "remainder"],
)
def test_every_picture_of_x_hatches_what_no_window_reads(layer, unread):
    at = example_operands(layer)
    hatched = {}
    for story in stories_of(layer, at, Selection.of(layer)):
        for panel in story.panels:
            if panel.shape == layer.input and "dL/dO" not in panel.title and not panel.wires:
                rows = np.flatnonzero((panel.kinds == Kind.UNREAD).all(axis=1))
                hatched[story.name, panel.number] = rows.tolist()
    assert {name for name, _ in hatched} == {"forward", "input-gradient", "weight-gradient", "overlap", "unfold"}
    assert all(rows == unread for rows in hatched.values()), hatched


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
    assert panels["6"].values[tuple(p - i for p, i in zip(place, panels["6"].start, strict=True))] == expected
    if len(panels["5"].outlined) < overlap.window_counts(layer)[place]:
        return  # more copies than the picture has columns
    assert sum(panels["5"].values[cell] for cell in panels["5"].outlined) == expected


@pytest.mark.parametrize("name", ["T4-non-square", "T1-groups", "T3-volume"])
def test_unfold_shows_the_matrices(name):
    layer = textbook(name)
    at, chosen = example_operands(layer), Selection.of(layer, sample=layer.batch - 1, channel=layer.channels - 1)
    panels = by_number(unfold_view.story(layer, at.x, at.weight, at.grad_output, chosen))
    n, f0 = chosen.sample, (layer.groups - 1) * layer.filters_per_group
    inside = chosen.channel % layer.channels_per_group

    def places(texts, shape):
        return [int(np.ravel_multi_index([int(i) for i in text.split(",")], shape)) for text in texts]

    taps, windows = places(panels["2"].labels[0], layer.kernel), places(panels["2"].labels[1], layer.output)
    filters = [int(text[1:]) for text in panels["3"].labels[0]]
    rows = [inside * int(np.prod(layer.kernel)) + tap for tap in taps]
    columns = unfold(layer, at.x)[n, -1]
    weight = at.weight[f0:, inside].reshape(layer.filters_per_group, -1)
    outputs = at.grad_output[n, f0:].reshape(layer.filters_per_group, -1)
    np.testing.assert_array_equal(panels["2"].values, columns[rows][:, windows])
    own = [f - f0 for f in filters]
    np.testing.assert_array_equal(panels["3"].values, weight[own][:, taps])
    np.testing.assert_array_equal(panels["4"].values, outputs[own][:, windows])
    np.testing.assert_array_equal(panels["5"].values, (weight.T @ outputs)[taps][:, windows])
    alone = replace(layer, batch=1)
    part = backward(alone, at.x[n : n + 1], at.weight, at.grad_output[n : n + 1])
    np.testing.assert_array_equal(panels["7"].values, part.weight[filters, inside].reshape(len(filters), -1)[:, taps])
    assert panels["2"].sides == panels["5"].sides == ("taps", "windows")


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
    assert [place for place, is_right in story.panels[0].marks.items() if not is_right] == [(0, 0), (2, 1)]
    np.testing.assert_array_equal(story.panels[2].values, (wrong - right)[0, 0])
    assert story.intro == ("2 of 9 entries differ: only rows 0, 2 of 0..2, the leading columns 0..1 of 0..2.",)
    wrong[0, 0, 1, 1] = np.nan
    assert errors.story(layer, "input", wrong, right).panels[0].outlined == {(1, 1)}


def test_digits_tell_what_differs_apart():
    right = np.arange(12.0).reshape(2, 1, 2, 3)
    wrong = right.copy()
    wrong[1, 0, 1, 2] += 0.0001
    wrong[0, 0, 1, 0] -= 1e-9
    story = errors.story(Layer(1, 1, 2, input=[2, 3]), "input", wrong, right)
    assert story.example[0] == "Outlined: the worst entry dL/dX[1,0,1,2], given 11.0001, expected 11."
    assert "dL/dX[0,0,1,0], given 2.999999999, expected 3" in story.example[1]
    assert story.panels[0].texts == {(1, 2): "11.0001"}
    # The other sample is not shown, and is not forgotten.
    assert story.panels[-1].values.tolist() == [[1], [1]]


def test_one_wrong_entry_of_many_stays_visible():
    layer = load("resnet50").layers[0]
    right = np.zeros(layer.input_shape)
    wrong = right.copy()
    wrong[0, 1, 17, 203] = 1
    wrong[0, 1, 100, 100] = -42
    panels = by_number(errors.story(layer, "input", wrong, right))
    blocks = {place for place, is_right in panels["4"].marks.items() if not is_right}
    assert blocks == {(1, 20), (10, 10)}
    assert {panels["4"].values[place] for place in blocks} == {1, -42}
    assert [panels[number].values.shape for number in "123"] == [(8, 8)] * 3
    assert panels["1"].outlined == {(100, 100)}
    assert style.cell_color(1, panels["4"].scale, least=panels["4"].least) != style.cell_color(0, 42)


def test_large_layers_show_a_lens_and_the_whole():
    layer = load("resnet50").layers[0]
    at, story = input_story(layer, filter=63)
    assert all(panel.values.size <= 100 for panel in story.panels if not panel.coarse)
    assert by_number(story)["6"].shown == "shown: rows 2–4 of 224, columns 2–4 of 224"
    assert by_number(story)["7"].coarse
    gradient = backward(layer, at.x, at.weight, at.grad_output).input[0, 0]
    for place, value in np.ndenumerate(by_number(story)["7"].values):
        block = gradient[tuple(slice(10 * i, 10 * i + 10) for i in place)]
        assert abs(value) == np.abs(block).max()
    told = stories_of(layer, at, Selection.of(layer, entry="input[0,2,26,222]"))
    assert sum(panel.values.size for one in told for panel in one.panels if not panel.coarse) < 3000
    shown = by_number(next(one for one in told if one.name == "input-gradient"))["6"]
    assert shown.outlined == {(26, 222)}
    assert 222 in range(shown.start[1], shown.start[1] + shown.values.shape[1])


#: A sum with its result: "5·5 + (−1)·2 = 23", "−13 − 19 + 1 = −31".
EQUATION = re.compile(r"([(−\d][−\d()· +]*) = (−?\d+)(?![\d·])")


@pytest.mark.parametrize("layer", EVERYWHERE, ids=lambda layer: layer.name)
def test_every_worked_sum_is_that_of_the_arrays(layer):
    chosen = Selection.of(layer, sample=layer.batch - 1, channel=layer.channels - 1)
    at = example_operands(layer)
    gradients, output = backward(layer, at.x, at.weight, at.grad_output), forward(layer, at.x, at.weight, at.bias)
    n, c, f = chosen.sample, chosen.channel, chosen.filter
    results = {
        "input-gradient": gradients.input[(n, c, *chosen.place)],
        "unfold": gradients.input[(n, c, *chosen.place)],
        "weight-gradient": gradients.weight[(f, c % layer.channels_per_group, *chosen.tap)],
        "forward": output[(n, f, *chosen.output)],
    }
    if layer.bias:
        results["bias-gradient"] = gradients.bias[f]
    told = {story.name: story for story in stories_of(layer, at, chosen)}
    for name, result in results.items():
        equations = [(left, value) for line in told[name].example for left, value in EQUATION.findall(line)]
        for left, value in equations:
            assert eval(left.replace("−", "-").replace("·", "*")) == int(value.replace("−", "-")), (name, left)
        lines = told[name].example[:1] if name == "unfold" else told[name].example
        assert re.search(r"= (−?\d+)(?:: [a-z0-9 ,]+)?\.$", lines[-1])[1].replace("−", "-") == str(int(result)), name


@pytest.mark.parametrize("layer", EVERYWHERE, ids=lambda layer: layer.name)
def test_the_same_entry_is_worked_out_in_every_picture(layer):
    generator = np.random.default_rng(len(layer.name))
    n, c, *place = (int(generator.integers(size)) for size in layer.input_shape)
    chosen = Selection.of(layer, entry=f"input[{n},{c},{','.join(map(str, place))}]")
    assert (chosen.sample, chosen.channel, chosen.place) == (n, c, tuple(place))
    told = {story.name: story for story in stories_of(layer, example_operands(layer), chosen)}
    assert (
        chosen.place
        in [*told["input-gradient"].panels, *told["overlap"].panels][-3].outlined | told["overlap"].panels[0].outlined
    )
    if overlap.window_counts(layer)[chosen.place]:
        pairs = zip(layer.axes, chosen.output, chosen.tap, strict=True)
        assert chosen.place == tuple(a.window(i)[t] - a.before for a, i, t in pairs)
        assert by_number(told["forward"])["3"].outlined == {chosen.output}
        assert by_number(told["weight-gradient"])["4"].outlined == {chosen.tap}


def test_entries_of_other_arrays_choose_the_slice():
    layer = textbook("T1-groups")
    chosen = Selection.of(layer, entry="weight[3,1,2,0]")
    assert (chosen.filter, chosen.channel, chosen.tap) == (3, 4, (2, 0))
    chosen = Selection.of(layer, entry="output[1,2,2,3]")
    assert (chosen.sample, chosen.filter, chosen.channel, chosen.output) == (1, 2, 3, (2, 3))
    assert Selection.of(layer, entry="bias[3]").filter == 3
    with pytest.raises(UsageError, match=r"sample=0 is another sample than that of entry='input.*, which is 1; leave"):
        Selection.of(layer, sample=0, entry="input[1,0,0,0]")


def test_dilation_shows_the_kernel_with_its_holes():
    layer = textbook("T3-dilation")
    at, story = input_story(layer)
    spread = by_number(story)["4c"]
    holds = spread.kinds == Kind.VALUE
    np.testing.assert_array_equal(spread.values[holds], rotated_kernel(layer, at.weight)[0, 0].ravel())
    assert (spread.kinds[~holds] == Kind.HOLE).all()
    assert spread.values.shape == tuple(axis.effective_kernel for axis in layer.axes)


def test_wires_are_the_pairs_that_read():
    layer = Layer(1, 1, [3], 2, [[1, 0]], input=[8], batch=1)
    (axis,) = layer.axes
    down, up = wires.story(layer, Selection.of(layer, entry="input[0,0,3]")).panels
    assert {(wire.start[1], wire.end[1], wire.label) for wire in down.wires} == {
        (2 * i + 1, 2 * i + a, str(a)) for i in range(axis.output_size) for a in range(3)
    }
    # Position 3 is padded position 4: output 1 through tap 2, output 2 through tap 0.
    assert [(wire.start[1], wire.end[1], wire.label) for wire in up.wires] == [(3, 4, "2"), (5, 4, "0")]


def test_depthwise_channels_have_a_filter_each():
    layer = next(layer for layer in load("hostile").layers if layer.name == "depthwise-multiplier")
    at = example_operands(layer)
    ahead, back, who = channels.story(layer, at.weight, Selection.of(layer)).panels
    high, wide, multiplier = ahead.blocks.high, ahead.blocks.wide, layer.filters_per_group
    assert multiplier > 1
    assert back.blocks.framed == (1, multiplier)
    for f in range(len(ahead.labels[1])):
        place = slice(0, high), slice(wide * f, wide * f + wide)
        np.testing.assert_array_equal(ahead.values[place], at.weight[f, 0])
        np.testing.assert_array_equal(back.values[place], at.weight[f, 0, ::-1, ::-1])
    expected = np.arange(layer.filters)[:, np.newaxis] // multiplier == np.arange(layer.channels)
    np.testing.assert_array_equal(who.values, expected[tuple(map(slice, who.values.shape))])


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
