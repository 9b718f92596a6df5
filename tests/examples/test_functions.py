"""Pairs of functions as people write them, each in its own convention, checked through the command line."""

from pathlib import Path

import pytest

from convcheck import Layer, TargetError, verify
from convcheck.checks.observed import Observed
from convcheck.layer.data import integer_operands
from convcheck.targets import resolve
from tests.examples.test_real_code import HERE, named, run, wrong
from tests.examples.test_real_code import verify as verify_target


def pair(forward, backward, more=""):
    code = "plain_functions.py"
    return f"{{forward: {code}:{forward}, backward: {code}:{backward}{more}}}"


CONSTANTS = ", constants: {lr: 0.5, training: true}"
SAID = (
    ", arguments: {forward: [weight, x, bias, stride], backward: [stride, grad_output, weight, x]}"
    ", results: {forward: [output, stride, x], backward: [grad_bias, grad_input, grad_weight]}"
)
MEAN = ", mean_over_batch: [weight, bias]"


@pytest.mark.parametrize(
    ("target", "wrong_target", "expected"),
    [
        (
            "plain_functions.py:conv_forward",
            pair("conv_forward", "conv_backward_flipped"),
            named("input", by="kernel-not-flipped"),
        ),
        (
            "plain_functions.py:layer_forward",
            pair("layer_forward", "layer_backward_of_last_sample"),
            named("weight", by="last-sample-only"),
        ),
        (
            pair("forward_pass", "backward_pass", CONSTANTS),
            pair("forward_pass", "backward_pass_flipped", CONSTANTS),
            named("input", by="kernel-not-flipped"),
        ),
        (pair("apply", "unapply", SAID), pair("apply", "unapply_negative", SAID), named("input", by="sign-flipped")),
        (
            "plain_functions.py:local_forward",
            pair("local_forward", "local_backward_averaged"),
            {("bias", "central"): [], ("bias", "exact"): ["batch-averaged"]},
        ),
        (
            pair("local_forward", "local_backward", ", bias: per-position"),
            pair("local_forward", "local_backward_at_wrong_positions", ", bias: per-position"),
            {("bias", "central"): [], ("bias", "exact"): []},
        ),
    ],
    ids=["arrays", "another-order", "dictionary-and-constants", "arguments-and-results", "per-position", "positions"],
)
def test_right_functions_pass_and_wrong_ones_are_caught(target, wrong_target, expected):
    # One of them knows no padding.
    status, results = verify_target(target, *(("-k", "plain") if "unapply" in target else ()))
    skipped = {key for key, r in results.items() if r["status"] == "skipped"}
    assert status == 0
    assert {gradient for _, gradient, _ in skipped} <= {"bias"}
    status, results = verify_target(wrong_target, "-k", "plain")
    found = {key: names for key, names in wrong(results).items() if results["plain", *key]["status"] != "skipped"}
    assert (status, found) == (1, expected)


@pytest.mark.parametrize("batch", [3, 7])
@pytest.mark.parametrize("backward", ["mean_backward", "mean_of_samples_backward"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_mean_over_the_batch_that_is_declared_is_right(batch, backward, dtype, monkeypatch):
    monkeypatch.chdir(HERE)
    layer = Layer(2, 3, (3, 2), padding=1, input=(5, 6), batch=batch, dtype=dtype)
    report = verify(layer, target=pair("conv_forward", backward, MEAN))
    assert report.passed, report


@pytest.mark.parametrize("batch", [3, 7])
@pytest.mark.parametrize(
    ("backward", "mean", "gradients"),
    [
        ("mean_of_all_but_one_backward", MEAN, {"weight"}),
        ("conv_backward", MEAN, {"weight", "bias"}),
        ("mean_backward", "", {"weight", "bias"}),
        ("mean_backward", ", mean_over_batch: [input, weight, bias]", {"input"}),
    ],
)
def test_a_mean_that_is_none_or_is_not_declared_is_caught(batch, backward, mean, gradients, monkeypatch):
    monkeypatch.chdir(HERE)
    layer = Layer(2, 3, (3, 2), padding=1, input=(5, 6), batch=batch)
    report = verify(layer, target=pair("conv_forward", backward, mean))
    assert {r.gradient for r in report.layers[0].results if r.check == "exact" and not r.passed} == gradients


@pytest.mark.parametrize(
    ("target", "wrong_target", "expected"),
    [
        ("factories.py:make_layer", "factories.py:make_averaging_layer", named("weight", by="batch-averaged")),
        (
            "factories.py:filled_in_forward",
            "{forward: factories.py:filled_in_forward, backward: factories.py:filled_in_backward_flipped}",
            named("input", by="kernel-not-flipped"),
        ),
    ],
)
def test_factories_and_partials(target, wrong_target, expected):
    status, results = verify_target(target)
    assert (status, wrong(results)) == (0, {})
    status, results = verify_target(wrong_target, "-k", "plain")
    assert (status, wrong(results)) == (1, expected)


class TestWhatIsFoundByTryingIsSaid:
    @pytest.mark.parametrize(
        ("target", "found"),
        [
            ("plain_functions.py:conv_forward", []),
            (
                "plain_functions.py:layer_forward",
                ["forward returns (cache, output)", "backward returns (grad_weight, grad_input)"],
            ),
            (pair("forward_pass", "backward_pass", CONSTANTS), ["forward takes its bias as (F, 1)"]),
            ("plain_functions.py:local_forward", ["forward takes its bias as (F, *output), one per output position"]),
        ],
    )
    def test_in_words(self, target, found):
        resolved = resolve(target, HERE)
        layer = Layer(2, 3, (3, 2), input=(5, 6), bias=resolved.takes_bias())
        assert not Observed.of(resolved, layer, integer_operands(layer)).faults
        assert list(resolved.found) == found

    def test_the_order_of_results_is_known_even_where_their_shapes_are_alike(self, monkeypatch):
        monkeypatch.chdir(HERE)
        alike = Layer(2, 2, (3, 3), padding=1, input=(3, 3), batch=2, bias=False)
        assert verify(alike, target="plain_functions.py:layer_forward").passed
        wrong_one = pair("layer_forward", "layer_backward_of_last_sample")
        assert not verify(alike, target=wrong_one).passed

    @pytest.mark.parametrize("filters", [1, 3, 4])
    def test_a_bias_that_fits_in_a_wrong_way_is_not_taken_for_right(self, filters, tmp_path):
        """With as many filters as columns, a vector can be added as well, along the wrong axis."""
        source = Path(HERE / "plain_functions.py").read_text().replace("+ b[:, None, None]", "+ b")
        (tmp_path / "columns.py").write_text(source)
        layer = Layer(2, filters, (3, 3), input=(4, 6))
        assert verify(layer, target=f"{tmp_path}/columns.py:conv_forward").passed
        conv, flipped = (f"'{tmp_path}/columns.py:{name}'" for name in ("conv_forward", "conv_backward_flipped"))
        assert not verify(layer, target=f"{{forward: {conv}, backward: {flipped}}}").passed


class TestWhatIsNotUnderstood:
    @pytest.mark.parametrize(
        ("signature", "words"),
        [
            ("x, w, b, stride, training", ['"training" of forward', "constants: {training: VALUE}"]),
            ("x, w, b, stride, padded_by", ['"padded_by" of forward', "keywords: {padding: padded_by}"]),
            ("x, w, b, stride, n_groups", ['"n_groups" of forward', "keywords: {groups: n_groups}"]),
            ("x, w, b, stride, lr", ['"lr" of forward', "constants: {lr: VALUE}"]),
        ],
    )
    def test_the_parameter_is_named_with_a_line_that_fits_it(self, signature, words, tmp_path):
        (tmp_path / "odd.py").write_text(f"def forward({signature}): pass\ndef backward(dout, cache): pass\n")
        with pytest.raises(TargetError) as caught:
            resolve("odd.py:forward", tmp_path)
        assert all(word in str(caught.value) for word in words), caught.value

    @pytest.mark.parametrize(
        ("mapping", "words"),
        [
            (", constants: {lrr: 1}", ["constants", '"lrr"', "parameter"]),
            (", arguments: {backward: [dout, cache]}", ["arguments.backward", '"dout" is not known', "grad_output"]),
            (", arguments: {backward: [grad_output]}", ["arguments.backward", '"x"']),
            (", results: {forward: [cache]}", ["results.forward", "output"]),
        ],
    )
    def test_what_a_mapping_says_wrongly(self, mapping, words):
        with pytest.raises(TargetError) as caught:
            resolve(pair("conv_forward", "conv_backward", mapping), HERE)
        assert all(word in str(caught.value) for word in words), caught.value

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            (
                "def forward(x, w, b): return x\ndef backward(dout, lr): pass",
                ['"lr" of backward', "constants: {lr: VALUE}", "arguments: {backward: [grad_output, x]}"],
            ),
            (
                "def forward(x, w, b): return x, 1, 2\ndef backward(dout, cache): pass",
                ["forward returned 3 values", "results: {forward: [output, cache, NAME]}"],
            ),
        ],
    )
    def test_what_only_shows_when_it_runs(self, source, words, tmp_path):
        (tmp_path / "odd.py").write_text(source)
        report = verify(Layer(2, 2, (1, 1), input=(3, 4)), target=f"{tmp_path}/odd.py:forward")
        text = " ".join(r.message or "" for r in report.layers[0].results)
        assert all(word in text for word in words), text


def test_a_function_without_its_other_half_gets_a_line_to_paste(tmp_path):
    (tmp_path / "alone.py").write_text("def correlate(x, w, b): return x\n")
    done = run("course.yaml", "--target", f"{tmp_path}/alone.py:correlate")
    assert done.returncode == 2
    assert f"{{forward: {tmp_path}/alone.py:correlate, backward: {tmp_path}/alone.py:NAME}}" in done.stderr


SHAPED = """
from tests.examples.plain_functions import conv_backward as grads, conv_forward as conv
def forward(x, w, b, stride, pad):
    F = len(w)
    assert b.shape == {shape}
    return conv(x, w, b.reshape(-1), stride, pad), (x, w, b, stride, pad)
def backward(dout, cache):
    dx, dw, db = grads(dout, *cache)
    F = len(dw)
    return dx, dw, {db}.reshape({shape})
"""


@pytest.mark.parametrize("shape", ["(1, 1, 1, F)", "(F, 1)", "(F, 1, 1)", "(1, F)", "(1, F, 1, 1)"])
@pytest.mark.parametrize("filters", [1, 3])
def test_a_bias_and_its_gradient_in_any_shape_with_one_entry_per_filter(shape, filters, tmp_path):
    (tmp_path / "right.py").write_text(SHAPED.format(shape=shape, db="db"))
    (tmp_path / "wrong.py").write_text(SHAPED.format(shape=shape, db="-db"))
    layers = [Layer(2, filters, (3, 2), stride=2, padding=1, input=(5, 6), bias=bias) for bias in (True, False)]
    assert verify(layers, target=f"{tmp_path}/right.py:forward").passed
    report = verify(layers[0], target=f"{tmp_path}/wrong.py:forward")
    assert [d.name for r in report.layers[0].results for d in r.diagnosis] == ["sign-flipped"] * 2


class TestChannelsLast:
    LAYERS = (
        Layer(2, 3, 3, padding=1, input=(4, 5), name="padded"),
        Layer(3, 2, 2, stride=2, input=(6, 7), name="bare"),
    )

    @staticmethod
    def target(backward):
        code = "channels_last_functions.py"
        pair = f"forward: {code}:conv_forward, backward: {code}:{backward}"
        return f"{{{pair}, layout: NHWC, weight_layout: HWIO}}"

    def test_right(self, monkeypatch):
        monkeypatch.chdir(HERE)
        assert verify(self.LAYERS, target=self.target("conv_backward")).passed

    def test_a_crop_from_behind_is_named_where_it_fails(self, monkeypatch):
        monkeypatch.chdir(HERE)
        padded, bare = verify(self.LAYERS, target=self.target("conv_backward_from_behind")).layers
        assert padded.passed
        assert {d.name for r in bare.results for d in r.diagnosis} == {"crash-empty-slice"}

    def test_a_wrong_bias_gradient_is_caught(self, monkeypatch):
        monkeypatch.chdir(HERE)
        report = verify(self.LAYERS, target=self.target("conv_backward_of_one_pixel"))
        assert {r.gradient for layer in report.layers for r in layer.results if not r.acceptable} == {"bias"}
