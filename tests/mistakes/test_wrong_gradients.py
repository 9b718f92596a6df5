"""What the mistakes give, against loops that make the mistake as a person would."""

from itertools import product

import numpy as np
import pytest

from convcheck import Layer
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


@pytest.mark.parametrize("axis", [0, 1])
def test_kernel_flipped_one_axis(axis):
    scene = scene_of(LAYER)
    unflipped = np.flip(scene.weight, 3 - axis)
    variant = f"reversed along spatial axis {axis} only"
    assert np.array_equal(made("kernel-flipped-one-axis", scene, variant=variant), loops(scene, weight=unflipped))


def test_channel_axes_not_swapped():
    scene = scene_of(SQUARE)
    assert np.array_equal(made("channel-axes-not-swapped", scene), loops(scene, weight=scene.weight.swapaxes(0, 1)))


def test_stride_and_dilation_ignored():
    scene = scene_of(LAYER)
    assert np.array_equal(made("stride-ignored", scene), loops(scene, stride=(1, 1)))
    assert np.array_equal(made("dilation-ignored", scene), loops(scene, dilation=(1, 1)))


def test_padding_offset():
    scene = scene_of(LAYER)
    for variant, start in {
        "cropped on the wrong side": (2, 1),
        "cropped one sample too early": (0, -1),
        "cropped one sample too late": (2, 1),
    }.items():
        assert np.array_equal(made("padding-offset", scene, variant=variant), loops(scene, start=start))
    assert made("padding-offset", scene, variant="not cropped").shape == (2, 2, 9, 9)


def test_overlap_overwritten_by_the_last_window():
    scene = scene_of(LAYER)
    assert np.array_equal(made("overlap-overwritten", scene, variant="the last window wins"), loops(scene, assign=True))


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
