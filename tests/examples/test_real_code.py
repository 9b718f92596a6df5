"""Code as people write it, right and wrong, checked through the command line as its authors would."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.shell import convcheck

HERE = Path(__file__).parent


VARIABLES = {"COLUMNS": "300", "JAX_PLATFORMS": "cpu"}


def run(*arguments):
    status, out, err = convcheck(["verify", *arguments], HERE, **VARIABLES)
    return SimpleNamespace(returncode=status, stdout=out, stderr=err)


def run_in_a_process(*arguments, folder=HERE):
    environment = os.environ | VARIABLES | {"PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, "-m", "convcheck", "verify", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def verify(target, *arguments, suite="course.yaml"):
    """Return the exit status and every result, by layer, gradient and check."""
    done = run(suite, "--target", target, "--output-format", "json", *arguments)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    results = {(layer["name"], r["gradient"], r["check"]): r for layer in report["layers"] for r in layer["results"]}
    return done.returncode, results


def wrong(results):
    """Return what did not pass: {(gradient, check): [slugs]}."""
    return {
        (gradient, check): [d["name"] for d in result["diagnosis"]]
        for (_, gradient, check), result in results.items()
        if result["status"] != "passed"
    }


def needs(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


def course(forward, backward):
    return f"{{forward: course_loops.py:{forward}, backward: course_loops.py:{backward}}}"


RIGHT = [
    "course_loops.py:conv_forward_naive",
    course("conv_forward_naive", "conv_backward_naive"),
    "im2col_layer.py:Conv2d",
    "im2col_layer.py:AddsUpByDesign",
    pytest.param("torch_function.py:Conv", marks=needs("torch")),
    pytest.param("torch_function.py:Conv.apply", marks=needs("torch")),
    pytest.param("torch_function.py:Module", marks=needs("torch")),
    pytest.param("torch_function.py:conv_with_unused_options", marks=needs("torch")),
    pytest.param("torch_function.py:ChannelsLast", marks=needs("torch")),
    pytest.param("torch_function.py:make_module", marks=needs("torch")),
    pytest.param("torch.nn:Conv2d", marks=needs("torch")),
    pytest.param("torch.nn.functional:conv2d", marks=needs("torch")),
]


@pytest.mark.parametrize("target", RIGHT)
def test_right_code_passes(target):
    status, results = verify(target)
    assert (status, wrong(results)) == (0, {})
    # Of what can be differentiated again, three derivatives more.
    assert len(results) == 3 * (1 + 3 * 3 + 3 * target.startswith("torch"))


def named(*gradients, **names):
    """What is expected of gradients that fail both checks: the mistake in them."""
    return {(gradient, check): [names["by"]] for gradient in gradients for check in ("central", "exact")}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (course("conv_forward_naive", "backward_overwrites"), named("input", by="overlap-overwritten")),
        (course("conv_forward_naive", "backward_flips"), named("input", by="kernel-not-flipped")),
        (course("conv_forward_naive", "backward_of_last_sample"), named("weight", by="last-sample-only")),
        ("im2col_layer.py:AddsUp", {("weight", "exact"): ["stale-accumulation"]}),
        ("im2col_layer.py:Averages", named("weight", by="batch-averaged")),
        ("im2col_layer.py:PadsInPlace", {("output", "forward"): ["inputs-modified"]}),
        ("im2col_layer.py:Random", {("input", "central"): None, ("input", "exact"): ["nondeterministic"]}),
        ("im2col_layer.py:Forgets", {("bias", "central"): [], ("bias", "exact"): ["zero-gradient"]}),
        pytest.param("torch_function.py:NotFlipped", named("input", by="kernel-not-flipped"), marks=needs("torch")),
        pytest.param("torch_function.py:WrongModule", named("input", by="kernel-not-flipped"), marks=needs("torch")),
        pytest.param(
            "torch_function.py:WrongChannelsLast", named("input", by="kernel-not-flipped"), marks=needs("torch")
        ),
        pytest.param(
            "torch_function.py:make_wrong_module", named("input", by="kernel-not-flipped"), marks=needs("torch")
        ),
        pytest.param(
            "torch_function.py:NoBiasGradient",
            {("bias", "central"): [], ("bias", "exact"): ["zero-gradient"]},
            marks=needs("torch"),
        ),
        pytest.param(
            "torch_function.py:IgnoresUpstream",
            named("input", "weight", "bias", by="grad-output-ignored"),
            marks=needs("torch"),
        ),
        pytest.param(
            "torch_function.py:ScalesInPlace", {("input", "exact"): ["inputs-modified"]}, marks=needs("torch")
        ),
    ],
)
def test_wrong_code_is_caught_where_it_is_wrong(target, expected):
    status, results = verify(target, "-k", "plain")
    found = wrong(results)
    for key in (key for key, names in expected.items() if names is None):
        # What something random happens to resemble differs from run to run.
        found[key] = None
    assert (status, found) == (1, expected)


def test_a_gradient_of_the_wrong_shape_says_both_shapes():
    done = run("course.yaml", "--target", course("conv_forward_naive", "backward_forgets_to_crop"))
    assert done.returncode == 1
    assert "grad_input has shape (2, 2, 9, 8); expected (2, 2, 7, 6)" in done.stdout


class TestForward:
    def test_a_true_convolution_is_named_and_its_own_gradient_accepted(self):
        status, results = verify(course("forward_flips", "backward_of_flipped"), "-k", "plain")
        assert status == 1
        assert results["plain", "output", "forward"]["diagnosis"][0]["name"] == "forward-is-convolution"
        own = "agrees with the differences of its own forward pass, which is not the definition's"
        assert results["plain", "input", "exact"]["status"] == "passed"
        assert results["plain", "input", "exact"]["message"] == own

    def test_a_gradient_of_the_definition_under_another_forward_pass_is_said_to_be_that(self):
        status, results = verify(course("forward_flips", "conv_backward_naive"), "-k", "plain")
        assert status == 1
        said = "it is the gradient of the definition's forward pass, not of the target's own; "
        assert results["plain", "weight", "exact"]["message"].startswith(said)

    def test_an_ignored_stride_is_named(self):
        status, results = verify(course("forward_ignores_stride", "conv_backward_naive"), "-k", "strided")
        output = results["strided", "output", "forward"]
        assert (status, output["diagnosis"][0]["name"]) == (1, "forward-stride-ignored")
        assert output["message"].startswith("the forward pass ignores the stride; output has shape (2, 3, 8, 6)")
        assert results["strided", "input", "exact"]["status"] == "inconclusive"


class TestWhatCannotBeChecked:
    def test_options_that_a_target_does_not_take_are_skipped_and_do_not_pass(self):
        done = run("hostile", "-k", "dilated or groups", "--target", "course_loops.py:conv_forward_naive")
        assert done.returncode == 1
        assert "the target does not take padding that differs in front and behind, dilation, a stride" in done.stdout
        assert "no gradient was checked, so the layer has not passed" in done.stdout

    def test_a_target_may_say_so_itself(self):
        status, results = verify("im2col_layer.py:Unready", "-k", "strided")
        assert status == 1
        assert {(r["status"], r["message"]) for r in results.values()} == {("skipped", "no strides yet")}

    def test_without_a_gradient_of_the_bias_the_rest_is_checked(self):
        target = (
            "{forward: course_loops.py:conv_forward_naive, backward: course_loops.py:backward_without_bias, "
            "gradients: [input, weight]}"
        )
        status, results = verify(target, "-k", "plain")
        assert status == 1  # two values where there is a bias: its own contract
        target = "{call: im2col_layer.py:Forgets, gradients: [input, weight]}"
        status, results = verify(target, "-k", "plain")
        assert status == 0
        bias = results["plain", "bias", "exact"]
        assert (bias["status"], bias["message"]) == ("skipped", "the target does not give this gradient")


class TestUnrulyCode:
    def test_an_exception_shows_the_users_own_frames(self):
        done = run_in_a_process("course.yaml", "--target", course("conv_forward_naive", "backward_raises"))
        assert done.returncode == 1
        assert "ValueError: shapes do not fit" in done.stdout
        assert "course_loops.py" in done.stdout
        assert "user_target.py" not in done.stdout

    def test_exiting_does_not_end_the_run(self):
        done = run_in_a_process("course.yaml", "--target", course("conv_forward_naive", "backward_exits"))
        assert done.returncode == 1
        assert "SystemExit: 0" in done.stdout

    def test_a_target_that_hangs_is_stopped(self):
        target = course("conv_forward_naive", "backward_hangs")
        done = run_in_a_process("course.yaml", "-k", "plain", "--timeout", "0.5", "--target", target)
        assert done.returncode == 1
        assert "the target did not return within its timeout of 0.5 s" in done.stdout
        assert "in backward_hangs" in done.stdout

    def test_what_it_prints_in_any_way_stays_out_of_the_report(self, tmp_path):
        text = (HERE / "course_loops.py").read_text()
        (tmp_path / "loud.py").write_text(
            f"{text}\nimport ctypes, os, subprocess, sys\n"
            "def conv_backward_loud(dout, cache):\n"
            "    print('printed'); os.write(1, b'written'); subprocess.run(['echo', 'child'])\n"
            "    ctypes.CDLL(None).puts(b'buffered')\n"
            "    sys.stdout.close(); os.chdir('/'); np.random.seed(0); np.seterr(all='raise')\n"
            "    return conv_backward_naive(dout, cache)\n"
        )
        target = "{forward: loud.py:conv_forward_naive, backward: loud.py:conv_backward_loud}"
        arguments = [str(HERE / "course.yaml"), "--target", target, "--output-format", "json"]
        done = run_in_a_process(*arguments, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["passed"]
        assert all(word in done.stderr for word in ("printed", "written", "child", "buffered"))
        assert run_in_a_process(*arguments, "--output", "report.json", folder=tmp_path).returncode == 0
        assert json.loads((tmp_path / "report.json").read_text())["passed"]


@needs("torch")
class TestTorch:
    def test_every_option_that_it_takes(self):
        of_two_axes = "not all-different-1d and not all-different-3d and not reflect and not replicate"
        done = run("hostile", "-k", of_two_axes, "--target", "torch.nn:Conv2d")
        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize(
        ("target", "layer"), [("Conv1d", "all-different-1d or reflect"), ("Conv3d", "all-different-3d or replicate")]
    )
    def test_other_numbers_of_axes(self, target, layer):
        assert run("hostile", "-k", layer, "--target", f"torch.nn:{target}").returncode == 0

    @pytest.mark.parametrize(
        ("mode", "expected"), [("plain", {}), ("flipped", named("input", by="kernel-not-flipped"))]
    )
    def test_a_further_parameter_is_a_constant(self, mode, expected):
        target = f"{{call: torch_function.py:conv_by_mode, constants: {{mode: {mode}}}}}"
        status, results = verify(target, "-k", "plain")
        assert (status, wrong(results)) == (1 if expected else 0, expected)

    @pytest.mark.parametrize(
        ("mapping", "words"),
        [
            ("", ['"mode" takes', "constants: {mode: VALUE}"]),
            (", constants: {mood: plain}", ['"mode" takes']),
            (", constants: {mode: plain, mood: plain}", ['no parameter "mood"', 'did you mean "mode"?']),
        ],
    )
    def test_a_constant_that_is_missing_or_of_no_parameter_is_named(self, mapping, words):
        done = run("course.yaml", "--target", f"{{call: torch_function.py:conv_by_mode{mapping}}}")
        assert done.returncode == 2
        assert all(word in done.stderr for word in words), done.stderr

    def test_what_pytorch_does_not_implement_is_not_taken(self):
        status, results = verify("torch_function.py:LacksADerivative", "-k", "plain")
        assert status == 1
        assert {r["status"] for r in results.values()} == {"skipped"}
        assert all("igamma" in r["message"] and "not implemented" in r["message"] for r in results.values())

    def test_what_the_code_itself_does_not_implement_in_backward_is_an_error(self):
        status, results = verify("torch_function.py:NotYet", "-k", "plain")
        assert status == 1
        assert results["plain", "input", "exact"]["status"] == "error"
        assert "not yet" in results["plain", "input", "exact"]["message"]

    def test_a_device_that_is_not_there(self):
        done = run("course.yaml", "--target", "torch.nn:Conv2d", "--device", "nowhere")
        assert done.returncode == 2
        assert "error: target torch.nn:Conv2d: device nowhere cannot be used: " in done.stderr


@needs("jax")
class TestJax:
    def test_channels_last_with_every_option(self):
        target = "{call: jax_conv.py:conv, layout: NHWC, weight_layout: HWIO}"
        status, results = verify(target, suite="jax.yaml")
        assert (status, wrong(results)) == (0, {})
        assert len(results) == 4 * (10 + 3)

    def test_padding_outside_and_a_missing_bias(self):
        target = "{call: jax_conv.py:simple, layout: NHWC, weight_layout: HWIO}"
        status, results = verify(target, "-k", "simple", suite="jax.yaml")
        assert status == 0
        bias = results.pop(("simple", "bias", "exact"))
        assert (bias["status"], bias["message"]) == (
            "skipped",
            "the target takes no bias, so the layer was checked without one",
        )
        assert wrong(results) == {}

    def test_a_wrong_gradient_is_caught(self):
        target = "{call: jax_conv.py:wrong, layout: NHWC, weight_layout: HWIO}"
        status, results = verify(target, "-k", "simple", suite="jax.yaml")
        del results["simple", "bias", "exact"]
        assert (status, wrong(results)) == (1, named("weight", by="weight-gradient-flipped"))

    def test_static_arguments_of_compiled_code(self):
        target = "{call: jax_conv.py:compiled, layout: NHWC, weight_layout: HWIO}"
        status, results = verify(target, "-k", "simple", suite="jax.yaml")
        assert (status, [r for r in results.values() if r["status"] not in ("passed", "skipped")]) == (0, [])
        target = "{call: jax_conv.py:compiled_wrong, layout: NHWC, weight_layout: HWIO}"
        status, results = verify(target, "-k", "simple", suite="jax.yaml")
        del results["simple", "bias", "exact"]
        assert (status, wrong(results)) == (1, named("weight", by="weight-gradient-flipped"))

    def test_the_wrong_layout_is_caught(self):
        target = "{call: jax_conv.py:conv, layout: NHWC, weight_layout: HWOI}"
        assert verify(target, "-k", "general", suite="jax.yaml")[0] == 1
