"""What the mistakes give, against loops that make the mistake as a person would."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from convcheck import Layer
from convcheck.gradients import unfold
from convcheck.mistakes import mistake
from tests.mistaken import scene_of

LAYER = Layer(
    2, 3, kernel=(3, 2), stride=(2, 3), padding=((1, 2), (0, 1)), dilation=(1, 2), input=(6, 8), batch=2, seed=3
)
SQUARE = Layer(2, 2, kernel=3, padding=1, input=(5, 5), batch=2, seed=4)


def loops(scene, *, stride=None, dilation=None, assign=False, weight=None, start=None):
    """grad_input by nested loops over samples, windows and taps; windows may leave the padded input."""
    layer = scene.layer
    stride, dilation = stride or layer.stride, dilation or layer.dilation
    start = start or [before for before, _ in layer.padding]
    kernel = scene.weight if weight is None else weight
    gradient = np.zeros(layer.input_shape)
    for i in np.ndindex(*layer.output):
        for a in np.ndindex(*layer.kernel):
            p = tuple(x * s + y * d - b for x, y, s, d, b in zip(i, a, stride, dilation, start, strict=True))
            if all(0 <= q < n for q, n in zip(p, layer.input, strict=True)):
                part = np.einsum("nf,fc->nc", scene.grad_output[(..., *i)], kernel[(..., *a)])
                gradient[(..., *p)] = part if assign else gradient[(..., *p)] + part
    return gradient


def made(name, scene, gradient="input", variant=None):
    found = {wrong.variant: wrong.array for wrong in mistake(name).wrong(scene, gradient)}
    return found[variant] if variant is not None else next(iter(found.values()))


def test_the_loops_are_right():
    scene = scene_of(LAYER)
    assert np.array_equal(loops(scene), scene.right.input)


def test_kernel_not_flipped():
    scene = scene_of(LAYER)
    assert np.array_equal(made("kernel-not-flipped", scene), loops(scene, weight=scene.weight[..., ::-1, ::-1]))


@pytest.mark.parametrize(("axis", "others"), [(0, "columns"), (1, "rows")])
def test_kernel_flipped_one_axis(axis, others):
    scene = scene_of(LAYER)
    unflipped = np.flip(scene.weight, 3 - axis)
    variant = f"the wrong way round along {others} only"
    assert np.array_equal(made("kernel-flipped-one-axis", scene, variant=variant), loops(scene, weight=unflipped))


def test_channel_axes_not_swapped():
    scene = scene_of(SQUARE)
    assert np.array_equal(made("channel-axes-not-swapped", scene), loops(scene, weight=scene.weight.swapaxes(0, 1)))


def test_stride_and_dilation_ignored():
    scene = scene_of(LAYER)
    assert np.array_equal(made("stride-ignored", scene), loops(scene, stride=(1, 1)))
    assert np.array_equal(made("dilation-ignored", scene), loops(scene, dilation=(1, 1)))
    rows, columns = (made("stride-ignored", scene, variant=f"along {axis} only") for axis in ("rows", "columns"))
    assert np.array_equal(rows, loops(scene, stride=(1, 3)))
    assert np.array_equal(columns, loops(scene, stride=(2, 1)))
    # Of a dilation along one axis, that it is ignored along this one alone goes without saying.
    assert [variant for variant, _ in mistake("dilation-ignored").wrong(scene, "input")] == [""]


def test_every_part_of_three_axes():
    scene = scene_of(Layer(1, 2, 2, stride=(2, 3, 2), dilation=2, padding=1, input=(5, 6, 7)))
    for name, argument in (("stride-ignored", "stride"), ("dilation-ignored", "dilation")):
        forms = dict(mistake(name).wrong(scene, "input"))
        assert len(forms) == 7
        for kept, words in (((0,), "rows and columns"), ((1,), "planes and columns"), ((0, 1), "columns")):
            changed = [size if axis in kept else 1 for axis, size in enumerate(getattr(scene.layer, argument))]
            assert np.array_equal(forms[f"along {words} only"], loops(scene, **{argument: changed}))


def test_padding_offset():
    scene = scene_of(LAYER)
    for variant, start in {
        "cropped on the wrong side": (2, 1),
        "cropped one sample too early": (0, -1),
        "cropped one sample too late": (2, 1),
        "cropped one sample too early, along rows only": (0, 0),
        "cropped one sample too late, along columns only": (1, 1),
        "cropped behind only": (0, 0),
        "cropped in front only": (3, 1),
    }.items():
        assert np.array_equal(made("padding-offset", scene, variant=variant), loops(scene, start=start))
    padded = made("padding-offset", scene, variant="not cropped")
    assert padded.shape == (2, 2, 9, 9)
    cuts = {
        "not cropped, along rows only": padded[..., :8],
        "not cropped, along columns only": padded[..., 1:7, :],
        "not cropped in front": padded[..., :7, :8],
        "not cropped behind": padded[..., 1:, :],
        "taken off twice behind": padded[..., 1:4, :7],
    }
    for variant, cut in cuts.items():
        assert np.array_equal(made("padding-offset", scene, variant=variant), cut)


def test_overlap_overwritten_by_the_last_window():
    scene = scene_of(LAYER)
    assert np.array_equal(made("overlap-overwritten", scene, variant="the last window wins"), loops(scene, assign=True))


@pytest.mark.parametrize(("axis", "name"), [(0, "row"), (1, "column")])
def test_overlap_overwritten_by_a_row_of_windows(axis, name):
    layer = Layer(2, 3, 3, stride=(1, 2), padding=1, input=(5, 6), batch=2)
    scene = scene_of(layer)
    expected = np.zeros((2, 2, 7, 8))
    for at in range(layer.output[axis]):
        # All that one row of windows passes back, added up, takes the place of what stood there.
        alone = np.zeros_like(scene.grad_output)
        kept = (slice(None),) * (2 + axis) + (at,)
        alone[kept] = scene.grad_output[kept]
        padded = replace(layer, padding=0, input=(7, 8))
        strip = unfold.backward(padded, np.zeros(padded.input_shape), scene.weight, alone).input
        rows = (slice(None),) * (2 + axis) + (slice(at * layer.stride[axis], at * layer.stride[axis] + 3),)
        expected[rows] = strip[rows]
    form = made("overlap-overwritten", scene, variant=f"the last {name} of windows wins")
    assert np.array_equal(form, expected[..., 1:-1, 1:-1])


def test_clamped_index_is_the_slip_of_the_second_text():
    # delta_in[r, c] = sum of delta_out[max(0, r - a), max(0, c - b)] w[a, b], on an output as large as the input.
    layer = Layer(1, 1, 3, padding=((0, 2), (0, 2)), input=(6, 6), batch=1)
    scene = scene_of(layer)
    slipped = np.zeros((6, 6))
    for r, c, a, b in product(range(6), range(6), range(3), range(3)):
        slipped[r, c] += scene.grad_output[0, 0, max(0, r - a), max(0, c - b)] * scene.weight[0, 0, a, b]
    assert np.array_equal(made("clamped-index", scene, variant="clamped to the first")[0, 0], slipped)
    wrong = slipped != scene.right.input[0, 0]
    assert not wrong[2:, 2:].any()
    assert wrong.sum() <= 20


def test_wrapped_index_is_what_python_does():
    layer = Layer(1, 1, 3, padding=((0, 2), (0, 2)), input=(6, 6), batch=1)
    scene = scene_of(layer)
    wrapped = np.zeros((6, 6))
    for r, c, a, b in product(range(6), range(6), range(3), range(3)):
        wrapped[r, c] += scene.grad_output[0, 0, r - a, c - b] * scene.weight[0, 0, a, b]
    assert np.array_equal(made("wrapped-index", scene, variant="negative indices")[0, 0], wrapped)


def test_weight_gradients():
    scene = scene_of(LAYER)
    right = scene.right.weight
    assert np.array_equal(made("weight-gradient-flipped", scene, "weight"), right[..., ::-1, ::-1])
    assert np.array_equal(made("weight-axes-swapped", scene, "weight"), right.swapaxes(0, 1))
    alone = scene.with_arrays(grad_output=scene.grad_output * np.array([0, 1]).reshape(2, 1, 1, 1))
    assert np.array_equal(made("last-sample-only", scene, "weight", "the last sample"), alone.right.weight)


def test_reshape_instead_of_transpose():
    scene = scene_of(LAYER)
    rows = scene.grad_output.reshape(3, -1)
    assert np.array_equal(made("reshape-instead-of-transpose", scene, "bias", "batch and filters"), rows.sum(axis=1))
    # The product of columns and rows, (C * k, F), in the shape of the weight without being transposed.
    product_of_both = (scene.columns[:, 0] @ scene.rows[:, 0].swapaxes(1, 2)).sum(axis=0)
    form = made("reshape-instead-of-transpose", scene, "weight", "the result, which stands as channels, taps, filters")
    assert np.array_equal(form, product_of_both.reshape(scene.layer.weight_shape))
    # W as (C * k, F) by a reshape, where W~ had to be transposed.
    flat = scene.weight.reshape(-1, 3)
    columns = (flat @ scene.rows[:, 0])[:, np.newaxis]
    form = made("reshape-instead-of-transpose", scene, variant="the weight, read as channels, taps, filters")
    assert np.array_equal(form, unfold.fold(scene.layer, columns))


def test_one_window_or_row_of_windows():
    scene = scene_of(LAYER)
    for variant, kept in {
        "the last window": np.s_[:, :, -1, -1],
        "the last window of the last sample": np.s_[-1, :, -1, -1],
        "the last row": np.s_[:, :, -1],
        "the last column of the last sample": np.s_[-1, :, :, -1],
    }.items():
        some = np.zeros_like(scene.grad_output)
        some[kept] = scene.grad_output[kept]
        right = scene.with_arrays(grad_output=some).right
        assert np.array_equal(made("last-window-only", scene, "weight", variant), right.weight)
        assert np.array_equal(made("last-window-only", scene, "bias", variant), right.bias)
    assert len(mistake("last-window-only").wrong(scene, "input")) == 6
    assert len(mistake("last-window-only").wrong(scene_of(Layer(1, 2, 2, input=(4, 4, 4))), "weight")) == 14


def test_summed_too_far_within_each_group():
    scene = scene_of(Layer(4, 6, 2, groups=2, input=(3, 4)))
    right = scene.right
    channels = made("summed-too-far", scene, "input", "over the channels")
    assert np.array_equal(channels[:, 0], right.input[:, :2].sum(axis=1))
    assert np.array_equal(channels[:, 0], channels[:, 1])
    assert np.array_equal(channels[:, 2], right.input[:, 2:].sum(axis=1))
    taps = made("summed-too-far", scene, "weight", "over the taps")
    assert np.array_equal(taps[..., 1, 0], right.weight.sum(axis=(2, 3)))
    assert np.array_equal(made("summed-too-far", scene, "bias", "over the filters")[3:], [right.bias[3:].sum()] * 3)


def test_grad_output_read_with_rows_and_columns_exchanged():
    scene = scene_of(LAYER)
    # Columns of windows numbered column by column, rows of grad_output row by row.
    high, wide = scene.layer.output
    order = [i * wide + j for j in range(wide) for i in range(high)]
    columns = scene.columns[:, 0][..., order]
    expected = (scene.rows[:, 0] @ columns.swapaxes(1, 2)).sum(axis=0).reshape(scene.layer.weight_shape)
    assert high != wide
    assert np.array_equal(made("axes-swapped", scene, "weight", "grad_output transposed"), expected)


def test_a_dilated_gradient_that_is_too_long():
    scene = scene_of(Layer(1, 1, [3], stride=2, input=[8], batch=1))
    g, x = scene.grad_output[0, 0], scene.x[0, 0]
    long = np.zeros(6)
    long[::2] = g
    behind = made("dilated-too-far", scene, "weight", "s - 1 zeros behind the last sample too")
    # One of eight samples is left over: seven are read, of which six meet the gradient.
    assert np.array_equal(behind[0, 0], np.correlate(x[:7], long, "valid"))
    assert behind.shape == (1, 1, 2)
    wide = np.zeros(7)
    wide[::3] = g
    between = made("dilated-too-far", scene, "weight", "s zeros between the samples")
    assert np.array_equal(between[0, 0], np.correlate(x[:7], wide, "valid"))


@pytest.mark.parametrize("rate", [1.0, 0.5, 0.001])
def test_updated_before_input(rate):
    scene = scene_of(LAYER)
    updated = scene.weight - rate * scene.right.weight
    form = made("updated-before-input", scene, variant=f"learning rate {rate:g}")
    assert np.allclose(form, loops(scene, weight=updated), rtol=1e-13, atol=1e-11)


def test_gradient_repeated_and_not_dilated_in_one_dimension():
    layer = Layer(1, 1, [2], stride=2, input=[7], batch=1)
    scene = scene_of(layer)
    g, w = scene.grad_output[0, 0], scene.weight[0, 0]
    assert np.array_equal(made("gradient-repeated", scene)[0, 0], np.convolve(np.repeat(g, 2), w))
    # Three outputs correlated as they are: full size is 4, and one more for the remainder.
    assert np.array_equal(
        made("gradient-not-dilated", scene, variant="grad_input too small")[0, 0], [*np.convolve(g, w), 0]
    )


def test_remainder_dropped_in_one_dimension():
    scene = scene_of(Layer(1, 1, [2], stride=3, input=[7], batch=1))
    right = scene.right.input[0, 0]
    assert np.array_equal(made("remainder-dropped", scene, variant="grad_input too small")[0, 0], right[:-2])
    misplaced = made("remainder-dropped", scene, variant="zeros in front instead of behind")[0, 0]
    assert np.array_equal(misplaced, [0, 0, *right[:-2]])


def test_groups_ignored():
    layer = Layer(4, 6, 2, groups=2, input=(3, 4))
    scene = scene_of(layer)
    first = made("groups-ignored", scene, variant="only the first group is computed")
    assert np.array_equal(first[:, :2], scene.right.input[:, :2])
    assert not first[:, 2:].any()
    shared = made("groups-ignored", scene, "weight", "every group reads the first one")
    assert np.array_equal(shared[:3], scene.right.weight[:3])
    assert not np.array_equal(shared[3:], scene.right.weight[3:])


def test_what_the_shapes_forbid_is_not_made():
    scene = scene_of(LAYER)
    assert mistake("channel-axes-not-swapped").wrong(scene, "input") == ()
    assert mistake("groups-ignored").wrong(scene, "input") == ()
    assert mistake("gradient-not-dilated").wrong(scene_of(SQUARE), "input") == ()
    assert mistake("padding-offset").wrong(scene_of(Layer(1, 1, 2)), "input") == ()
