"""Mistakes in transposed layers, and where padding repeats samples: what they give, and that they are named."""

from __future__ import annotations

import random

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.gradients import FASTEST, formulation
from convcheck.layer.similar import changed, revealing
from convcheck.mistakes import mistake
from convcheck.mistakes.blind_spots import possible, shown_by
from convcheck.targets.features import KINDS
from tests.mistaken import OF_PLAIN_LAYERS, VISIBLE, forms_visible_on, mistaken, scene_of
from tests.mistakes.test_caught import assert_named, odd_layer
from tests.targets_for_tests import Right

UNFOLD = formulation(FASTEST)

MODES = ("circular", "reflect", "replicate")
TRANSPOSED = Layer(
    4, 6, (2, 3), (2, 3), ((1, 0), (0, 2)), (3, 2), groups=2, input=(5, 4), batch=3, transposed=True,
    output_padding=(2, 1),
)  # fmt: skip
PADDED = {
    mode: Layer(3, 2, (2, 3), (2, 1), ((1, 2), (2, 1)), input=(5, 4), batch=3, padding_mode=mode) for mode in MODES
}
LAYERS = {**PADDED, "transposed": TRANSPOSED, "transposed 1d": Layer(3, 2, (4,), 3, ((1, 2),), transposed=True)}
NUMPY_MODES = {"circular": "wrap", "reflect": "reflect", "replicate": "edge", "zeros": "constant"}


def made(name, scene, gradient, variant=""):
    return {wrong.variant: wrong.array for wrong in mistake(name).wrong(scene, gradient)}[variant]


def spread(layer, x, weight, grad_output, meets):
    """Both gradients of a transposed layer by loops; input p meets output ``meets(axis, p, a)`` through tap a."""
    channels, filters = layer.channels_per_group, layer.filters_per_group
    grad_x, grad_weight = np.zeros_like(x), np.zeros_like(weight)
    for c in range(layer.channels):
        for f in range(filters):
            for p in np.ndindex(*layer.input):
                for a in np.ndindex(*layer.kernel):
                    o = tuple(meets(axis, q, b) for axis, q, b in zip(layer.axes, p, a, strict=True))
                    if all(0 <= i < m for i, m in zip(o, layer.output, strict=True)):
                        passed = grad_output[(slice(None), c // channels * filters + f, *o)]
                        grad_x[(slice(None), c, *p)] += weight[(c, f, *a)] * passed
                        grad_weight[(c, f, *a)] += x[(slice(None), c, *p)] @ passed
    return grad_x, grad_weight


def of_loops(scene, meets, **arrays):
    at = {"x": scene.x, "weight": scene.weight, "grad_output": scene.grad_output} | arrays
    return spread(scene.layer, at["x"], at["weight"], at["grad_output"], meets)


def right(axis, p, a):
    return p * axis.stride + a * axis.dilation - axis.before


class TestTransposed:
    scene = scene_of(TRANSPOSED)

    def test_the_loops_are_right(self):
        grad_input, grad_weight = of_loops(self.scene, right)
        np.testing.assert_array_equal(grad_input, self.scene.right.input)
        np.testing.assert_array_equal(grad_weight, self.scene.right.weight)

    def test_stride_and_dilation_exchanged(self):
        wrong = of_loops(self.scene, lambda axis, p, a: p * axis.dilation + a * axis.stride - axis.before)
        for gradient, array in zip(("input", "weight"), wrong, strict=True):
            np.testing.assert_array_equal(made("stride-dilation-exchanged", self.scene, gradient), array)

    def test_output_padding_misplaced(self):
        wrong = of_loops(self.scene, lambda axis, p, a: right(axis, p, a) + axis.output_padding)
        for gradient, array in zip(("input", "weight"), wrong, strict=True):
            np.testing.assert_array_equal(made("output-padding-misplaced", self.scene, gradient), array)

    def test_weight_axes_not_exchanged(self):
        """A reshape to the plain layer's weight, group by group, hides the order."""
        groups = np.split(self.scene.weight, 2)
        exchanged = np.concatenate([w.reshape(3, 2, 2, 3).swapaxes(0, 1) for w in groups])
        grad_input, _ = of_loops(self.scene, right, weight=exchanged)
        np.testing.assert_array_equal(made("weight-axes-not-exchanged", self.scene, "input"), grad_input)
        of_plain = np.concatenate([w.swapaxes(0, 1) for w in np.split(self.scene.right.weight, 2)])
        assert of_plain.shape == (6, 2, 2, 3)
        found = made("weight-axes-not-exchanged", self.scene, "weight", "filters first")
        np.testing.assert_array_equal(found, of_plain)
        found = made("weight-axes-not-exchanged", self.scene, "weight", "filters first, in the shape of the weight")
        np.testing.assert_array_equal(found, of_plain.reshape(TRANSPOSED.weight_shape))

    @pytest.mark.parametrize(
        ("name", "variant", "meets"),
        [
            ("stride-ignored", "", lambda axis, p, a: p + a * axis.dilation - axis.before),
            ("dilation-ignored", "", lambda axis, p, a: p * axis.stride + a - axis.before),
            (
                "padding-offset", "padded on the wrong side",
                lambda axis, p, a: p * axis.stride + a * axis.dilation - axis.after,
            ),
            (
                "clamped-index", "clamped to both ends",
                lambda axis, p, a: min(max(right(axis, p, a), 0), axis.output_size - 1),
            ),
            ("wrapped-index", "both ends", lambda axis, p, a: right(axis, p, a) % axis.output_size),
        ],
    )  # fmt: skip
    def test_mistakes_that_plain_layers_have_too(self, name, variant, meets):
        for gradient, array in zip(("input", "weight"), of_loops(self.scene, meets), strict=True):
            np.testing.assert_array_equal(made(name, self.scene, gradient, variant), array)
            assert not np.array_equal(array, self.scene.answer(gradient))

    def test_output_padding_left_out(self):
        cut = self.scene.grad_output.copy()
        cut[:, :, -2:] = cut[..., -1:] = 0
        wrong = of_loops(self.scene, right, grad_output=cut)
        for gradient, array in zip(("input", "weight"), wrong, strict=True):
            found = made("remainder-dropped", self.scene, gradient, "the outputs of output_padding are left out")
            np.testing.assert_array_equal(found, array)

    def test_one_gradient_for_each_sample(self):
        found = made("batch-not-summed", self.scene, "weight")
        for sample, gradient in enumerate(found):
            alone = np.zeros_like(self.scene.grad_output)
            alone[sample] = self.scene.grad_output[sample]
            np.testing.assert_array_equal(gradient, of_loops(self.scene, right, grad_output=alone)[1])

    def test_the_last_tap_of_the_last_filter(self):
        weight, grad_output = np.zeros_like(self.scene.weight), self.scene.grad_output.copy()
        weight[..., -1, -1] = self.scene.weight[..., -1, -1]
        found = made("overlap-overwritten", self.scene, "input", "the last tap wins")
        np.testing.assert_array_equal(found, of_loops(self.scene, right, weight=weight)[0])
        grad_output[:, [0, 1, 3, 4]] = 0
        found = made("overlap-overwritten", self.scene, "input", "the last filter and tap win")
        np.testing.assert_array_equal(found, of_loops(self.scene, right, weight=weight, grad_output=grad_output)[0])

    def test_plain_layers_do_not_make_them(self):
        plain = scene_of(Layer(4, 4, 3, stride=2, padding=1))
        for name in ("stride-dilation-exchanged", "output-padding-misplaced", "weight-axes-not-exchanged"):
            assert mistake(name).wrong(plain, "input") == mistake(name).wrong(plain, "weight") == ()


def padded_gradient(layer, x, weight, grad_output):
    """dL/d(padded input) of a layer, as that of a layer without padding."""
    plain = Layer(
        **{**layer.spec(), "padding": 0, "padding_mode": "zeros", "input": [a.padded_size for a in layer.axes]}
    )
    return UNFOLD.backward(plain, np.pad(x, [(0, 0), (0, 0), *layer.padding]), weight, grad_output).input


class TestPadding:
    @pytest.mark.parametrize("mode", MODES)
    def test_border_dropped(self, mode):
        layer, scene = PADDED[mode], scene_of(PADDED[mode])
        padded = padded_gradient(layer, scene.x, scene.weight, scene.grad_output)
        (top, _), (left, _) = layer.padding
        cropped = padded[:, :, top : top + 5, left : left + 4]
        np.testing.assert_array_equal(made("border-dropped", scene, "input"), cropped)
        assert not np.array_equal(cropped, scene.right.input)

    @pytest.mark.parametrize("mode", MODES)
    def test_another_mode(self, mode):
        layer, scene = PADDED[mode], scene_of(PADDED[mode])
        padded = padded_gradient(layer, scene.x, scene.weight, scene.grad_output)
        for other in set(MODES) - {mode}:
            folded = padded
            for place, (size, pair) in enumerate(zip(layer.input, layer.padding, strict=True), 2):
                at = np.pad(np.arange(size), pair, NUMPY_MODES[other])
                total = np.zeros((size, *np.moveaxis(folded, place, 0).shape[1:]))
                np.add.at(total, at, np.moveaxis(folded, place, 0))
                folded = np.moveaxis(total, 0, place)
            found = made("padding-mode-confused", scene, "input", f"as {other} padding")
            np.testing.assert_array_equal(found, folded)

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize(("name", "ignored"), [("stride-ignored", "stride"), ("dilation-ignored", "dilation")])
    def test_an_option_ignored(self, mode, name, ignored):
        layer = Layer(3, 2, (2, 3), (2, 1), ((1, 2), (2, 1)), (1, 2), input=(5, 4), batch=3, padding_mode=mode)
        scene = scene_of(layer)
        walk = {"stride": layer.stride, "dilation": layer.dilation} | {ignored: (1, 1)}
        places = np.pad(np.arange(20).reshape(5, 4), layer.padding, NUMPY_MODES[mode])
        grad_input, grad_weight = np.zeros((3, 3, 20)), np.zeros_like(scene.weight)
        for o in np.ndindex(*layer.output):
            for a in np.ndindex(*layer.kernel):
                at = places[tuple(i * s + b * d for i, b, s, d in zip(o, a, *walk.values(), strict=True))]
                passed = scene.grad_output[(..., *o)]
                grad_input[..., at] += passed @ scene.weight[(..., *a)]
                grad_weight[(..., *a)] += passed.T @ scene.x.reshape(3, 3, 20)[..., at]
        np.testing.assert_array_equal(made(name, scene, "input"), grad_input.reshape(scene.x.shape))
        np.testing.assert_array_equal(made(name, scene, "weight"), grad_weight)

    @pytest.mark.parametrize("name", ["border-dropped", "padding-mode-confused"])
    def test_without_padding_there_is_none(self, name):
        bare = scene_of(Layer(2, 3, 3, padding_mode="circular"))
        assert mistake(name).wrong(bare, "input") == ()
        # And all else is as with zeros.
        zeros = scene_of(Layer(2, 3, 3))
        forms = {wrong.variant for wrong in mistake("wrapped-index").wrong(zeros, "input")}
        assert forms == {wrong.variant for wrong in mistake("wrapped-index").wrong(bare, "input")}

    def test_an_index_that_wraps_round_is_right_where_the_padding_does(self):
        class Wraps(Right):
            """Scatters to (i*s + a*d - before) modulo the size."""

            def backward(self, grad_output):
                given, layer = super().backward(grad_output), self.layer
                total = np.zeros_like(self.x)
                for o in np.ndindex(*layer.output):
                    for a in np.ndindex(*layer.kernel):
                        p = tuple((i * x.stride + b * x.dilation - x.before) % x.size
                                  for x, i, b in zip(layer.axes, o, a, strict=True))  # fmt: skip
                        total[(..., *p)] += grad_output[(..., *o)] @ self.weight[(..., *a)]
                return total, given.weight, given.bias

        named = {}
        for mode, layer in PADDED.items():
            report = verify(
                layer, target={"call": Wraps, "supports": [mode]}, checks=["forward", "exact"], shrink=False
            )
            named[mode] = {d.name for result in report.layers[0].results for d in result.diagnosis}
        assert named == {
            "circular": set(), "reflect": {"padding-mode-confused"}, "replicate": {"padding-mode-confused"},
        }  # fmt: skip


FORMS = [
    pytest.param(name, *form, id=f"{name}-{form[0].name}-{form[1]}-{form[2]}".replace(" ", "_"))
    for name, layer in LAYERS.items()
    for form in forms_visible_on(layer)
    if form[0].name in {
        "border-dropped", "padding-mode-confused", "stride-dilation-exchanged", "output-padding-misplaced",
        "weight-axes-not-exchanged", "kernel-not-flipped", "weight-gradient-flipped", "sign-flipped",
        "last-sample-only",
    }
]  # fmt: skip


@pytest.mark.parametrize(("name", "entry", "gradient", "variant"), FORMS)
def test_is_named(name, entry, gradient, variant):
    target = mistaken(entry, gradient, variant)
    report = verify(LAYERS[name], target=target, checks=["exact"], shrink=False)
    (failed,) = [result for result in report.layers[0].results if result.status == "failed"]
    assert failed.gradient == gradient
    assert [diagnosis.name for diagnosis in failed.diagnosis] == [entry.name]


def odd_layer_of_a_kind(generator):
    """Draw a layer on which much looks the same, transposed or padded with samples."""
    while True:
        layer = odd_layer(generator)
        behind = [generator.randrange(max(s, d)) for s, d in zip(layer.stride, layer.dilation, strict=True)]
        small = [min(n, 5) for n in layer.input]
        kinds = [
            {"transposed": True, "input": small, "output_padding": behind},
            {"padding_mode": generator.choice(MODES)},
        ]
        other = changed(layer, generator.choice(kinds))
        if other is not None and other.multiply_adds <= 20_000:
            return other


@pytest.mark.parametrize("count", [240, pytest.param(10_000, marks=pytest.mark.long)])
def test_every_form_is_named_on_odd_layers(count):
    generator = random.Random(count)
    while count > 0:
        layer = odd_layer_of_a_kind(generator)
        forms = forms_visible_on(layer)
        for form in generator.sample(forms, min(len(forms), 12)):
            assert_named(layer, *form)
            count -= 1


def test_most_mistakes_of_plain_layers_have_their_like():
    def shown(**kind):
        return {entry.name for _, layer in revealing(2, **kind) for entry, _, _ in forms_visible_on(layer)}

    alike = {
        "stride-ignored", "dilation-ignored", "axes-swapped", "groups-ignored", "padding-offset", "clamped-index",
        "wrapped-index", "remainder-dropped", "overlap-overwritten", "last-filter-only", "last-output-skipped",
        "last-window-only", "summed-too-far", "batch-not-summed", "updated-before-input", "kernel-not-flipped",
    }  # fmt: skip
    assert alike <= shown(transposed=True)
    # Where padding repeats samples, an index that is clamped or wraps round is padding of another mode.
    assert shown(padding_mode="reflect") >= {
        "stride-ignored",
        "axes-swapped",
        "overlap-overwritten",
        "batch-not-summed",
    }


def test_every_mistake_of_these_kinds_alone_is_among_the_forms():
    assert {entry.name for entry in set(VISIBLE) - set(OF_PLAIN_LAYERS) if not entry.of_complex} < {
        param.values[1].name for param in FORMS
    }


@pytest.mark.parametrize(
    ("spoiled", "name"),
    [
        (lambda w, layer: np.flip(w, (2, 3)), "forward-kernel-flipped"),
        (
            lambda w, layer: np.concatenate([g.reshape(3, 2, 2, 3).swapaxes(0, 1) for g in np.split(w, 2)]),
            "forward-weight-axes-not-exchanged",
        ),
    ],
)
def test_wrong_forward_passes_of_transposed_layers_are_named(spoiled, name):
    class Wrong(Right):
        def forward(self, x, weight, bias, layer):
            super().forward(x, weight, bias, layer)
            return UNFOLD.forward(layer, x, spoiled(weight, layer), bias)

    report = verify(TRANSPOSED, target={"call": Wrong, "supports": ["transposed"]}, checks=["forward"], shrink=False)
    assert {d.name for result in report.layers[0].results for d in result.diagnosis} == {name}


@pytest.mark.parametrize("mode", MODES)
def test_a_forward_pass_that_pads_with_zeros_is_named(mode):
    class Zeros(Right):
        def forward(self, x, weight, bias, layer):
            super().forward(x, weight, bias, layer)
            return UNFOLD.forward(Layer(**{**layer.spec(), "padding_mode": "zeros"}), x, weight, bias)

    report = verify(PADDED[mode], target={"call": Zeros, "supports": [mode]}, checks=["forward"], shrink=False)
    (found,) = {d.name for result in report.layers[0].results for d in result.diagnosis}
    assert found == "forward-padding-mode"
    assert "zeros" in report.layers[0].results[0].message


@pytest.mark.parametrize("kind", [{"transposed": True}, {"padding_mode": "reflect"}])
def test_what_could_have_been_shown_is_of_the_same_kind(kind):
    """Mistakes that only other kinds of layers show are no gap of a suite."""
    layer = Layer(2, 3, 3, padding=1, **kind)
    known = possible([layer])
    assert known == set().union(*(shown_by(other) for _, other in revealing(2, **kind)))
    assert {"gradient-not-dilated", "input-not-padded"}.isdisjoint(name for name, _, _ in known)
    target = {"call": Right, "supports": sorted(KINDS)}
    report = verify(layer, target=target, strict=True, checks=["forward", "exact"])
    assert all(spot.layer == "" or ("transposed: true" if "transposed" in kind else "reflect") in spot.layer
               for spot in report.blind_spots if spot.code.startswith("CC1"))  # fmt: skip


def test_a_kernel_the_wrong_way_round_is_put_right_by_kind():
    """In a transposed layer it is the forward pass that flips the kernel."""

    class Flipped(Right):
        def backward(self, grad_output):
            flipped = np.flip(self.weight, tuple(range(2, self.weight.ndim)))
            wrong = UNFOLD.backward(self.layer, self.x, flipped, grad_output)
            return wrong.input, *super().backward(grad_output)[1:]

    fixes = {}
    for layer in (TRANSPOSED, Layer(4, 6, (2, 3), input=(5, 4))):
        report = verify(layer, target={"call": Flipped, "supports": ["transposed"]}, checks=["exact"], shrink=False)
        (found,) = {d for result in report.layers[0].results for d in result.diagnosis}
        assert found.name == "kernel-not-flipped"
        fixes[layer.transposed] = found.fix
    assert "as it is in all of the backward pass" in fixes[True]
    assert "W[..., ::-1, ::-1]" in fixes[False]
