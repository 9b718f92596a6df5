"""What pictures show of transposed and padded layers: every number is the layer's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from convcheck import Layer, backward, forward
from convcheck.explain.pictures import errors, input_gradient, mistaken, sliding, twins
from convcheck.explain.pictures.panel import COPIES, KIND_NAMES, Kind
from convcheck.explain.pictures.selection import Selection
from convcheck.explain.pictures.stories import stories_of
from convcheck.explain.pictures.terminal import render
from convcheck.explain.pictures.windowed import Windowed
from convcheck.layer.data import example_operands
from convcheck.mistakes import mistake
from tests.explain.kinds import KINDS, layers
from tests.explain.test_arrays import EQUATION, by_number

MODES = {"circular": "wrap", "reflect": "reflect", "replicate": "edge", "zeros": "constant"}


def told_of(layer, **chosen):
    at, selected = example_operands(layer), Selection.of(layer, **chosen)
    return at, selected, {story.name: story for story in stories_of(layer, at, selected, ["twins", *ALL])}


ALL = ("forward", "wires", "input-gradient", "weight-gradient", "bias-gradient", "channels", "overlap", "unfold")


def cut(array, panel):
    """The part of a whole map that a panel shows."""
    assert panel.shape == array.shape
    return array[tuple(slice(i, i + n) for i, n in zip(panel.start, panel.values.shape, strict=True))]


def last(story):
    return [panel for panel in story.panels if not panel.coarse][-1]


@settings(max_examples=60, deadline=None)
@given(layers())
def test_results_are_those_of_the_layer_whatever_its_kind(layer):
    at, chosen, told = told_of(layer, sample=layer.batch - 1, channel=layer.channels - 1)
    gradients, output = backward(layer, at.x, at.weight, at.grad_output), forward(layer, at.x, at.weight, at.bias)
    n, c, f = chosen.sample, chosen.channel, chosen.filter
    own = layer.slice_between(c, f)
    for name, array, entry in (
        ("forward", output[n, f], chosen.output),
        ("input-gradient", gradients.input[n, c], chosen.place),
        ("weight-gradient", gradients.weight[own], chosen.tap),
    ):
        panel = last(told[name])
        np.testing.assert_array_equal(panel.values, cut(array, panel))
        assert panel.outlined == {entry}, name
        for line in told[name].example:
            for left, value in EQUATION.findall(line):
                assert eval(left.replace("−", "-").replace("·", "*")) == int(value.replace("−", "-")), (name, left)
        result = told[name].example[-1].removesuffix(": the products in 3, added up.").removesuffix(".")
        assert result.replace("−", "-").endswith((f"= {int(array[entry])}", "0 (only zeros under the kernel)")), name
    # Folding unfolded columns gives dL/dX, or of a transposed layer O without its bias.
    folded = by_number(told["unfold"])["6"]
    expected = gradients.input[n, c]
    if layer.transposed:
        expected = forward(layer.alike(bias=False), at.x, at.weight, None)[n, f]
    np.testing.assert_array_equal(folded.values, cut(expected, folded))
    counts = np.zeros(layer.output if layer.transposed else layer.input)
    for o in np.ndindex(*layer.output):
        for tap in np.ndindex(*layer.kernel):
            read = tuple(int(axis.source[i, a]) for axis, i, a in zip(layer.axes, o, tap, strict=True))
            if -1 not in read:
                counts[o if layer.transposed else read] += 1
    overlap = told["overlap"].panels[0]
    np.testing.assert_array_equal(overlap.values, cut(counts, overlap))
    for story in told.values():
        for panel in story.panels:
            assert panel.values.shape == panel.kinds.shape
            assert panel.ticks is None or tuple(map(len, panel.ticks)) == panel.values.shape


@settings(max_examples=40, deadline=None)
@given(layers())
def test_a_transposed_layer_and_its_twin_give_the_same_and_stand_side_by_side(layer):
    at, _, told = told_of(layer)
    panels = by_number(told["twins"])
    for left, right in (("1", "2"), ("3", "4")):
        for side in "ab":
            np.testing.assert_array_equal(panels[left + side].values, panels[right + side].values)
            assert panels[left + side].outlined == panels[right + side].outlined
            assert panels[left + side].framed == panels[right + side].framed
    if layer.transposed:
        assert "Transposed, forward: O" in panels["1b"].title
        right = forward(layer.alike(bias=False), at.x, at.weight, None)
        shown = panels["1b"]
        np.testing.assert_array_equal(shown.values, cut(right[0, 0], shown))


def test_twins_of_a_wrong_layer_differ():
    layer = KINDS[0]
    at, chosen = example_operands(layer), Selection.of(layer)
    with pytest.MonkeyPatch.context() as patch:

        class Wrong:
            backward = staticmethod(backward)

            @staticmethod
            def forward(layer, x, weight, bias):
                return forward(layer, x, -weight if layer.transposed else weight, bias)

        patch.setattr(twins, "formulation", lambda name: Wrong)
        panels = by_number(twins.story(layer, at.x, at.weight, at.grad_output, chosen))
    assert not np.array_equal(panels["1b"].values, panels["2b"].values)
    np.testing.assert_array_equal(panels["3b"].values, panels["4b"].values)


@pytest.mark.parametrize("layer", [layer for layer in KINDS if layer.repeats_samples], ids=lambda layer: layer.name)
def test_padding_says_which_sample_it_holds(layer):
    at, chosen, told = told_of(layer)
    held = [
        np.pad(np.arange(size), pair, MODES[layer.padding_mode])
        for size, pair in zip(layer.input, layer.padding, strict=True)
    ]
    copy = COPIES[layer.padding_mode]
    for name, number in (("forward", "1"), ("weight-gradient", "1"), ("unfold", "1"), ("input-gradient", "5")):
        panel = by_number(told[name])[number]
        assert panel.shape == tuple(axis.padded_size for axis in layer.axes)
        for texts, samples, axis in zip(panel.ticks, held, layer.axes, strict=True):
            for position, text in enumerate(texts):
                inside = axis.before <= position < axis.before + axis.size
                assert text == (str(position) if inside else f"{position}={samples[position]}")
        for place in np.ndindex(*panel.shape):
            inside = all(a.before <= q < a.before + a.size for a, q in zip(layer.axes, place, strict=True))
            assert panel.kinds[place] in ((Kind.VALUE, Kind.UNREAD) if inside else (copy, Kind.UNREAD)), place
    padded = by_number(told["forward"])["1"].values
    own = chosen.channel
    np.testing.assert_array_equal(padded, np.pad(at.x[0, own], layer.padding, MODES[layer.padding_mode]))
    text = render(told["input-gradient"], layer)
    assert "copy" in text
    assert f"{held[0][0]}" in text
    assert "copy:" in KIND_NAMES[copy]


@settings(max_examples=40, deadline=None)
@given(layers())
def test_the_border_is_folded_back_where_it_came_from(layer):
    if not layer.repeats_samples:
        return
    at, chosen, told = told_of(layer)
    arrays = sliding.InputGradient.of(layer, at.weight, at.grad_output, chosen)
    # Arrows lead from the copies of the entry to itself, and what stands at both ends adds up to it.
    panel = by_number(told["input-gradient"])["5"]
    own = tuple(p + axis.before for p, axis in zip(chosen.place, layer.axes, strict=True))
    assert all(end == own for _, end in panel.arrows)
    copies = {start for start, _ in panel.arrows}
    held = np.ix_(*(axis.origin for axis in layer.axes))
    flat = np.arange(np.prod(layer.input)).reshape(layer.input)[held]
    assert copies | {own} == {tuple(map(int, place)) for place in np.argwhere(flat == flat[own])} == set(panel.outlined)
    assert sum(arrays.slide[place] for place in panel.outlined) == arrays.part[chosen.place]
    # Without the fold it would be another number, unless the copies add up to nothing.
    rest = sum(arrays.slide[place] for place in copies)
    assert (arrays.slide[own] == arrays.part[chosen.place]) == (rest == 0)


@pytest.mark.parametrize("layer", KINDS, ids=lambda layer: layer.name)
def test_the_kernel_is_flipped_where_it_truly_is(layer):
    at, chosen, told = told_of(layer)
    flips, reads = ("forward", "input-gradient") if layer.transposed else ("input-gradient", "forward")
    own = at.weight[layer.slice_between(chosen.channel, chosen.filter)]
    panels = by_number(told[flips])
    np.testing.assert_array_equal(panels["4a"].values, own)
    np.testing.assert_array_equal(panels["4b"].values, np.flip(own))
    np.testing.assert_array_equal(by_number(told[reads])["2"].values, own)
    assert "flip" not in told[reads].title
    assert "flip" in told[flips].title
    given = at.x[chosen.sample, chosen.channel] if layer.transposed else at.grad_output[chosen.sample, chosen.filter]
    np.testing.assert_array_equal(panels["1"].values, given)


@pytest.mark.parametrize("layer", KINDS, ids=lambda layer: layer.name)
def test_a_picture_of_wrong_code_marks_the_wrong_cells(layer):
    at = example_operands(layer)
    right = backward(layer, at.x, at.weight, at.grad_output).input
    wrong = right.copy()
    wrong[0, 0][(0,) * len(layer.input)] += 7
    marks = errors.story(layer, "input", wrong, right).panels[0].marks
    assert [place for place, is_right in marks.items() if not is_right] == [(0,) * len(layer.input)]


def test_the_weight_of_a_transposed_layer_is_named_channels_first():
    layer = Layer(2, 3, 2, input=[3, 3], batch=1, transposed=True, bias=False)
    at = example_operands(layer)
    right = backward(layer, at.x, at.weight, at.grad_output).weight
    wrong = right.copy()
    wrong[1, 2] += 1
    story = errors.story(layer, "weight", wrong, right)
    assert "channel 1 of 0..1, filter 2 of 0..2" in story.intro[0]
    assert story.panels[0].lines[0] == "channel 1, filter 2"
    plain = errors.story(Layer(3, 2, 2, input=[4, 4], batch=1, bias=False), "weight", wrong, right)
    assert "filter 1 of 0..1, channel 2 of 0..2" in plain.intro[0]


def test_a_dropped_border_is_marked_at_the_samples_whose_copies_it_is():
    layer = Layer(1, 1, 3, 1, 1, bias=False, input=[5, 6], batch=1, padding_mode="replicate")
    (story, *_), _ = mistaken.stories_of_mistake(mistake("border-dropped"), layer, example_operands(layer))
    wrong = {place for place, is_right in story.panels[0].marks.items() if not is_right}
    edge = {place for place in np.ndindex(5, 6) if 0 in place or place[0] == 4 or place[1] == 5}
    assert wrong
    assert wrong <= edge


def test_wires_go_to_the_copies_too():
    layer = Layer(1, 1, [3], padding=[[1, 1]], input=[4], batch=1, padding_mode="circular")
    _, _, told = told_of(layer, entry="input[0,0,0]")
    _, back = told["wires"].panels
    # Sample 0 is at position 1, and its copy at 5: output 3 reads that one through its last tap.
    assert {(wire.end[1], wire.label) for wire in back.wires} == {(1, "1"), (1, "0"), (5, "2")}
    assert [back.texts[4, position] for position in range(6)] == ["3", "0", "1", "2", "3", "0"]
    assert "X[0]" in told["wires"].example[0]
    assert back.lines == ("copies of it count too",)
    layer = Layer(1, 1, [3], 2, [[1, 0]], input=[3], batch=1, transposed=True)
    _, _, told = told_of(layer, entry="output[0,0,3]")
    ahead, back = told["wires"].panels
    assert "Forward: O[3]" in ahead.title
    assert {wire.label for wire in ahead.wires} == {"0", "2"}
    assert "O[3] = X[1]·W[2] + X[2]·W[0]" in told["wires"].example[0]
    assert "Backward: X" in back.title
    assert "O[3] -" not in render(told["wires"], layer)


@pytest.mark.parametrize("layer", KINDS[:1] + KINDS[3:4], ids=lambda layer: layer.name)
def test_arrays_of_a_slice_are_the_whole_of_it(layer):
    chosen = Selection.of(layer, entry=f"weight[1,0,{','.join('0' for _ in layer.kernel)}]")
    at = example_operands(layer)
    made = Windowed.of(layer, at.grad_output if layer.transposed else at.x, at.weight, chosen, None)
    plain = replace(layer, bias=False) if not layer.transposed else None
    expected = (
        backward(layer, at.x, at.weight, at.grad_output).input[0, chosen.channel]
        if plain is None else forward(plain, at.x, at.weight, None)[0, chosen.filter]
    )  # fmt: skip
    np.testing.assert_array_equal(made.values, expected)
    assert input_gradient.story(layer, at.weight, at.grad_output, chosen).panels
