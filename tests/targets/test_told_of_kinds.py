"""Transposed layers and padding modes in code of one's own: functions with a cache, layer objects, tapes, libraries.

The code computes with convcheck's own passes, on the layer that it was told of; so it is right only if it was told all.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.errors import TargetError
from convcheck.gradients import FASTEST, formulation
from convcheck.targets import resolve
from convcheck.targets.forms.library import HEADER
from convcheck.targets.probing import probed
from convcheck.targets.spec import TargetSpec
from tests.targets.test_tape import OfTensors

UNFOLD = formulation(FASTEST)

UP = Layer(4, 6, (3, 2), (2, 3), padding=1, output_padding=(1, 2), groups=2, transposed=True, input=(4, 3))
MODES = {
    mode: Layer(2, 3, (3, 2), stride=2, padding=(2, 1), padding_mode=mode, input=(5, 4))
    for mode in ("circular", "reflect", "replicate")
}
PLAIN = Layer(2, 3, (3, 2), stride=2, padding=(2, 1), input=(5, 4))
ALL = [PLAIN, UP, *MODES.values()]
KINDS = ["transposed", *MODES]


def told(x, weight, options):
    """The layer that options speak of, which are called as PyTorch calls them."""
    options = {"padding": options.pop("pad", 0), **options}
    transposed, groups = options.get("transposed", False), options.get("groups", 1)
    return Layer(
        channels=x.shape[1], filters=weight.shape[1] * groups if transposed else len(weight), kernel=weight.shape[2:],
        batch=len(x), input=x.shape[2:], **options,
    )  # fmt: skip


def mistaken(layer, x, weight, grad_output):
    """A backward pass that takes all padding for zeros; of a transposed layer, one that flips the kernel."""
    if layer.transposed:
        return UNFOLD.backward(layer, x, np.flip(weight, (2, 3)), grad_output)
    return UNFOLD.backward(Layer(**{**layer.spec(), "padding_mode": "zeros"}), x, weight, grad_output)


def functions(backward=UNFOLD.backward):
    def conv_forward(x, w, b, conv_param):
        layer = told(x, w, dict(conv_param))
        return UNFOLD.forward(layer, x, w, b), (layer, x, w)

    def conv_backward(dout, cache):
        return tuple(backward(*cache, dout))

    return {"forward": conv_forward, "backward": conv_backward}


def functions_with_options(backward=UNFOLD.backward):
    def forward(x, w, b, stride=1, padding=0, groups=1, padding_mode="zeros", transposed=False, output_padding=0):
        options = {
            "stride": stride, "padding": padding, "groups": groups, "padding_mode": padding_mode,
            "transposed": transposed, "output_padding": output_padding,
        }  # fmt: skip
        layer = told(x, w, options)
        return UNFOLD.forward(layer, x, w, b), (layer, x, w)

    return {"forward": forward, "backward": lambda dout, cache: tuple(backward(*cache, dout))}


def layer_objects(backward=UNFOLD.backward):
    class Conv2d:
        def __init__(
            self, in_channels, out_channels, kernel_size, stride=1, padding=0, groups=1, padding_mode="zeros",
            transposed=False, output_padding=0,
        ):  # fmt: skip
            self.options = {
                "stride": stride, "padding": padding, "groups": groups, "padding_mode": padding_mode,
                "transposed": transposed, "output_padding": output_padding,
            }  # fmt: skip
            pair = (in_channels, out_channels // groups) if transposed else (out_channels, in_channels // groups)
            size = (kernel_size,) * 2 if isinstance(kernel_size, int) else tuple(kernel_size)
            self.weight, self.bias = np.zeros((*pair, *size)), np.zeros(out_channels)

        def forward(self, x):
            self.x, self.layer = x, told(x, self.weight, dict(self.options))
            return UNFOLD.forward(self.layer, x, self.weight, self.bias)

        def backward(self, grad_output):
            found = backward(self.layer, self.x, self.weight, grad_output)
            self.weight_grad, self.bias_grad = found[1:]
            return found[0]

    return {"call": Conv2d, "style": "layer"}


def tapes(backward=UNFOLD.backward):
    def conv2d(
        x, weight, bias, stride=1, padding=0, groups=1, padding_mode="zeros", transposed=False, output_padding=0
    ):
        options = {
            "stride": stride, "padding": padding, "groups": groups, "padding_mode": padding_mode,
            "transposed": transposed, "output_padding": output_padding,
        }  # fmt: skip
        layer = told(x.data, weight.data, options)

        def arrive(grad):
            for tensor, found in zip((x, weight, bias), backward(layer, x.data, weight.data, grad), strict=True):
                tensor.grad = OfTensors(found)

        return OfTensors(UNFOLD.forward(layer, x.data, weight.data, bias.data), arrive)

    return {"call": conv2d, "style": "tape", "tensor": OfTensors}


FORMS = [functions, functions_with_options, layer_objects, tapes]


def needed(form):
    """What the mapping must say: of a dictionary, one does not see what is read of it."""
    return {
        functions: {"supports": [*KINDS, "groups", "per-axis"]},
        functions_with_options: {"supports": ["per-axis"]},
    }.get(form, {})


@pytest.mark.parametrize("form", FORMS)
def test_right_code_of_every_kind_passes(form):
    report = verify(ALL, target={**form(), **needed(form)}, checks=["forward", "exact"])
    assert report.passed, report
    assert all(result.passed for layer in report.layers for result in layer.results)


@pytest.mark.parametrize("form", FORMS)
def test_a_mistake_is_named(form):
    report = verify(ALL, target={**form(mistaken), **needed(form)}, checks=["forward", "exact"], shrink=False)
    assert [layer.passed for layer in report.layers] == [True, False, False, False, False]
    named = [
        {diagnosis.name for result in layer.results for diagnosis in result.diagnosis} for layer in report.layers[1:]
    ]
    assert named == [{"kernel-not-flipped"}, *[{"border-dropped"}] * 3]


def test_functions_that_are_not_said_to_take_them_are_not_told():
    seen = []

    def forward(x, w, b, conv_param):
        seen.append(set(conv_param))
        return functions()["forward"](x, w, b, conv_param)

    report = verify(
        ALL, target={**functions(), "forward": forward, "supports": ["per-axis"]}, checks=["forward", "exact"]
    )
    assert [layer.passed for layer in report.layers] == [True, False, False, False, False]
    assert seen
    assert all(keys == {"stride", "pad"} for keys in seen)
    reasons = [layer.results[0].message for layer in report.layers[1:]]
    assert "a transposed convolution" in reasons[0]
    assert [mode in reason for mode, reason in zip(MODES, reasons[1:], strict=True)] == [True] * 3


@pytest.mark.parametrize("form", FORMS)
def test_what_it_takes_is_found_by_trying(form):
    _, probe = probed(TargetSpec.parse({**form(), **needed(form)}), lambda spec: resolve(spec, Path()))
    assert {*KINDS, "plain", "output-padding"} <= probe.taken


def deconvolutions(backward=UNFOLD.backward):
    """A transposed layer by its name; what it is told says nothing of that."""

    class Deconv2d:
        def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
            self.stride, self.padding = stride, padding
            size = (kernel_size,) * 2 if isinstance(kernel_size, int) else tuple(kernel_size)
            self.weight, self.bias = np.zeros((in_channels, out_channels, *size)), np.zeros(out_channels)

        def forward(self, x):
            options = {"stride": self.stride, "padding": self.padding, "transposed": True}
            self.x, self.layer = x, told(x, self.weight, options)
            return UNFOLD.forward(self.layer, x, self.weight, self.bias)

        def backward(self, grad_output):
            found = backward(self.layer, self.x, self.weight, grad_output)
            self.weight_grad, self.bias_grad = found[1:]
            return found[0]

    return {"call": Deconv2d, "style": "layer"}


def test_a_transposed_layer_by_its_name():
    layer = Layer(4, 3, (3, 2), stride=2, padding=1, transposed=True, input=(4, 3))
    assert verify(layer, target=deconvolutions(), checks=["forward", "exact"]).passed
    flipped = deconvolutions(lambda layer, x, w, g: UNFOLD.backward(layer, x, np.flip(w, (2, 3)), g))
    report = verify(layer, target=flipped, checks=["forward", "exact"], shrink=False)
    assert {d.name for result in report.layers[0].results for d in result.diagnosis} == {"kernel-not-flipped"}
    _, probe = probed(TargetSpec.parse(deconvolutions()), lambda spec: resolve(spec, Path()))
    assert probe.base.transposed
    assert {"plain", "output-padding"}.isdisjoint(probe.taken)


def test_what_code_cannot_be_told_is_no_support():
    with pytest.raises(TargetError, match="cannot be told of circular padding"):
        resolve({**deconvolutions(), "supports": ["circular"]}, Path())


LIBRARY = r"""
#include "convcheck.h"
#include <string.h>

static int64_t count(const convcheck_layer *l, const int64_t *sizes) {
    int64_t all = 1;
    for (int64_t i = 0; i < l->rank; ++i) all *= sizes[i];
    return all;
}

/* The input that an output reads through a tap along one axis; -1 where there is none. */
static int64_t read(const convcheck_layer *l, int64_t i, int64_t output, int64_t tap, int64_t mode) {
    int64_t n = l->input[i], place;
    if (l->transposed) {
        place = output + l->before[i] - tap * l->dilation[i];
        return place < 0 || place % l->stride[i] || place / l->stride[i] >= n ? -1 : place / l->stride[i];
    }
    place = output * l->stride[i] + tap * l->dilation[i] - l->before[i];
    if (place >= 0 && place < n) return place;
    if (mode == CONVCHECK_CIRCULAR) return (place + n) % n;
    if (mode == CONVCHECK_REFLECT) return place < 0 ? -place : 2 * (n - 1) - place;
    if (mode == CONVCHECK_REPLICATE) return place < 0 ? 0 : n - 1;
    return -1;
}

/* Goes through all products of the forward pass: y += x w; or, with gradients, dx += w g and dw += x g. */
static void walk(const convcheck_layer *l, const double *x, const double *w, double *y, const double *g, double *dx,
                 double *dw, int64_t mode) {
    int64_t ins = count(l, l->input), taps = count(l, l->kernel), outs = count(l, l->output);
    int64_t cs = l->c / l->groups, fs = l->f / l->groups;
    for (int64_t s = 0; s < l->n; ++s) for (int64_t f = 0; f < l->f; ++f) for (int64_t e = 0; e < cs; ++e)
    for (int64_t o = 0; o < outs; ++o) for (int64_t a = 0; a < taps; ++a) {
        int64_t c = f / fs * cs + e, from = 0, step = 1, oo = o, aa = a;
        for (int64_t i = l->rank - 1; i >= 0 && from >= 0; --i) {
            int64_t at = read(l, i, oo % l->output[i], aa % l->kernel[i], mode);
            oo /= l->output[i]; aa /= l->kernel[i];
            from = at < 0 ? -1 : from + at * step;
            step *= l->input[i];
        }
        if (from < 0) continue;
        int64_t ix = (s * l->c + c) * ins + from, iy = (s * l->f + f) * outs + o;
        int64_t iw = (l->transposed ? c * fs + f % fs : f * cs + e) * taps + a;
        if (y) y[iy] += x[ix] * w[iw];
        else { dx[ix] += w[iw] * g[iy]; dw[iw] += x[ix] * g[iy]; }
    }
}

int my_conv_forward_float64(const convcheck_layer *l, const double *x, const double *w, const double *b, double *y,
                            char *message) {
    int64_t outs = count(l, l->output);
    for (int64_t i = 0; i < l->n * l->f * outs; ++i) y[i] = b ? b[i / outs % l->f] : 0;
    walk(l, x, w, y, 0, 0, 0, l->padding_mode);
    return CONVCHECK_OK;
}

int my_conv_backward_float64(const convcheck_layer *l, const double *x, const double *w, const double *b,
                             const double *g, double *dx, double *dw, double *db, char *message) {
    int64_t outs = count(l, l->output);
    memset(dx, 0, l->n * l->c * count(l, l->input) * sizeof *dx);
    memset(dw, 0, l->f * l->c / l->groups * count(l, l->kernel) * sizeof *dw);
    walk(l, x, w, 0, g, dx, dw, BACKWARD_MODE);
    for (int64_t f = 0; db && f < l->f; ++f) db[f] = 0;
    for (int64_t i = 0; db && i < l->n * l->f * outs; ++i) db[i / outs % l->f] += g[i];
    return CONVCHECK_OK;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize("mode", ["l->padding_mode", "CONVCHECK_ZEROS"])
def test_a_library(mode, tmp_path):
    (tmp_path / "kinds.c").write_text(LIBRARY)
    shutil.copy(HEADER, tmp_path / "convcheck.h")
    command = ["cc", "-O1", "-shared", "-fPIC", f"-DBACKWARD_MODE={mode}", "-o", "libkinds.so", "kinds.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    layers = [*ALL, Layer(2, 3, 4, padding=((2, 1),), padding_mode="reflect", input=(6,))]
    target = {"library": str(tmp_path / "libkinds.so"), "supports": KINDS}
    report = verify(layers, target=target, checks=["forward", "exact"], shrink=False)
    right = mode == "l->padding_mode"
    assert [layer.passed for layer in report.layers] == [True, True, right, right, right, right]
    named = {d.name for layer in report.layers for result in layer.results for d in result.diagnosis}
    assert named == (set() if right else {"border-dropped"})
    without = verify(layers, target={"library": target["library"]}, checks=["forward", "exact"], shrink=False)
    assert [layer.passed for layer in without.layers] == [True, False, False, False, False, False]
    assert "a transposed convolution" in without.layers[1].results[0].message
