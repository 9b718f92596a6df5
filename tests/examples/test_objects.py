"""Layer objects and autograds as people write them, each in its own convention, checked through the command line."""

import pytest

from convcheck import Layer
from convcheck.checks.observed import Observed
from convcheck.layer.data import integer_operands
from convcheck.targets import resolve
from tests.examples.test_real_code import HERE, named, run, verify, wrong

CHANNELS_LAST = ", layout: NHWC, weight_layout: HWIO"
ONE_SAMPLE = ", layout: CHW"
TAPE = ", style: tape, tensor: objects/own_autograd.py:Tensor"
SCALARS = ", style: tape, tensor: objects/tape_of_scalars.py:Var"

UNNAMED = {("input", "central"): [], ("input", "exact"): []}

EXAMPLES = {
    "arrays": ("arrays_given.py:Convolution", "arrays_given.py:FlippedWeights", "",
        named("weight", by="weight-gradient-flipped")),
    "sides-apart": ("sides_apart.py:ConvLayer", "sides_apart.py:OnlyTheLastSample", "",
        named("bias", by="last-sample-only")),
    "word-and-lazy": ("keras_like.py:Conv2D", "keras_like.py:Overwrites", CHANNELS_LAST,
        named("input", by="overlap-overwritten")),
    "nested-dictionaries": ("nested.py:Block", "nested.py:Descends", "", named("weight", by="sign-flipped")),
    "params-and-update": ("dictionaries.py:Conv", "dictionaries.py:StepsFirst", "",
        named("input", by="updated-before-input")),
    "objects-that-forget": ("parameter_objects.py:Conv2d", "parameter_objects.py:TurnsTheKernel", "",
        named("input", by="kernel-not-flipped")),
    "names-of-ones-own": ("own_names.py:Faltung", "own_names.py:Shifted", "", named("input", by="right-when-shifted")),
    "one-sample": ("one_sample.py:Convolutional", "one_sample.py:KernelNotTurned", ONE_SAMPLE,
        named("input", by="kernel-not-flipped")),
    "update-too-early": ("one_sample.py:Convolutional", "one_sample.py:LearnsFirst", ONE_SAMPLE, UNNAMED),
    "tape": ("own_autograd.py:conv2d", "own_autograd.py:conv2d_of_one_sample", TAPE,
        named("bias", by="last-sample-only")),
    "layer-of-tensors": ("own_autograd.py:Conv2d", "own_autograd.py:LastSampleOnly", TAPE,
        named("bias", by="last-sample-only")),
    "tape-of-scalars": ("tape_of_scalars.py:conv1d", "tape_of_scalars.py:conv1d_of_every_step", SCALARS,
        named("input", by="partly-right")),
}  # fmt: skip

FOUND = {
    "word-and-lazy": [
        "its parameters are made at the first forward pass, and set after it",
        "its constructor takes kernel_size as one number per axis",
    ],
    "sides-apart": ["forward_pass is given training=True"],
    "nested-dictionaries": [
        "weight in conv2d_1.W.val",
        "bias in conv2d_1.b.val",
    ],
    "names-of-ones-own": [
        "weight in maske",
        "bias in schwelle",
        "grad weight in fuer_maske",
        "grad bias in fuer_schwelle",
    ],
    "one-sample": ["grad weight in the update of the weight", "grad bias in the update of the bias"],
    "update-too-early": ["grad weight in the update of the weight", "grad bias in the update of the bias"],
    "layer-of-tensors": ["backward is given grad_output as an array"],
    "tape": ["backward is given grad_output as an array"],
    "tape-of-scalars": ["backward starts from (output * grad_output).sum()"],
}


def check(place, more):
    layers = "line" if "tape_of_scalars" in more else "plain" if more == ONE_SAMPLE else "not line"
    return verify(f"{{call: objects/{place}{more}}}", "-k", layers, suite="objects/layers.yaml")


@pytest.mark.parametrize("name", EXAMPLES)
def test_right_code_passes_and_wrong_code_is_caught(name):
    right, mistaken, more, expected = EXAMPLES[name]
    status, results = check(right, more)
    assert (status, wrong(results)) == (0, {})
    assert results
    status, results = check(mistaken, more)
    assert (status, wrong(results)) == (1, expected)


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_was_found_by_trying_is_said(name):
    place, _, more, _ = EXAMPLES[name]
    target = resolve(f"{{call: objects/{place}{more}}}", HERE)
    layer = Layer(2, 3, 3, input=8 if "tape_of_scalars" in more else (6, 5))
    assert not Observed.of(target, layer, integer_operands(layer)).faults
    assert list(target.found) == FOUND.get(name, [])


def fitted(name):
    place, _, more, _ = EXAMPLES[name]
    return run("--target", f"{{call: objects/{place}{more}}}" if more else f"objects/{place}", "--strict")


@pytest.mark.parametrize("name", ["arrays", "nested-dictionaries"])
def test_right_code_passes_strictly_on_the_suite_that_fits_it(name):
    done = fitted(name)
    assert done.returncode == 0, done.stdout
    assert all(text in done.stdout for text in FOUND.get(name, []))


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, (_, _, more, _) in EXAMPLES.items() if more != ONE_SAMPLE])
def test_all_right_code_passes_strictly_on_the_suite_that_fits_it(name):
    """Without what takes minutes, because it loops over all pairs of 65 channels and 66 filters."""
    done = fitted(name)
    assert done.returncode == 0, done.stdout
