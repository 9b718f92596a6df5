"""verify(): right passes, wrong is caught by every check that claims to, and nothing passes unchecked."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

import convcheck
from convcheck import Layer, Suite, UsageError, verify
from convcheck.checks import plan as planning
from convcheck.gradients import FORMULATIONS
from convcheck.layer.fields import DTYPES, Dtype
from convcheck.reports.results import STATUSES, GradientResult, LayerReport
from tests.draws import hidden_from_one_draw
from tests.strategies import layers
from tests.targets_for_tests import (
    Ends,
    Right,
    TrueConvolution,
    Unflipped,
    one_entry_nan,
    one_entry_off,
    wrong,
)

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3, name="conv1")


@pytest.fixture(params=["few-digits", pytest.param("float32", marks=pytest.mark.long)])
def image(request, monkeypatch):
    """Return the size of an image over which no float32 holds a sum: small where one has 10 digits in place of 24."""
    if request.param == "float32":
        return 4096, 4097
    float32_with(monkeypatch, 10)
    return 32, 33


def float32_with(monkeypatch, digits):
    """Let float32 hold so many binary digits, in what is derived from them."""
    monkeypatch.setitem(DTYPES, "float32", replace(DTYPES["float32"], precision=digits))


def results(report, **wanted):
    found = [r for layer in report.layers for r in layer.results]
    return [r for r in found if all(getattr(r, key) == value for key, value in wanted.items())]


def test_the_built_in_formulations_pass():
    report = verify(LAYER)
    assert report.passed
    assert {r.implementation for r in results(report)} == set(FORMULATIONS)
    assert {(r.gradient, r.check) for r in results(report)} == {
        ("output", "forward"),
        *((gradient, check) for gradient in ("input", "weight", "bias") for check in ("central", "exact")),
    }
    assert all(r.entries == r.entries_checked > 0 for r in results(report))


def right_code_passes(layer):
    report = verify(layer, target=Right)
    assert report.passed, report


@given(layer=layers(dtypes=("float64", "float32")))
@settings(max_examples=20, deadline=None)
def test_right_code_passes_on_random_layers(layer):
    right_code_passes(layer)


@pytest.mark.long
@given(layer=layers(dtypes=("float64", "float32")))
@settings(max_examples=400, deadline=None)
def test_right_code_passes_in_a_long_search(layer):
    right_code_passes(layer)


@pytest.mark.parametrize("check", ["central", "exact", "projected"])
@pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
@pytest.mark.parametrize("spoil", [one_entry_off, one_entry_nan, np.negative, np.zeros_like])
def test_every_check_catches_a_wrong_gradient(check, gradient, spoil):
    report = verify(LAYER, target=wrong(gradient, spoil), checks=[check])
    assert not report.passed
    assert {r.gradient for r in results(report, status="failed")} == {gradient}
    assert all(r.mismatches for r in results(report, status="failed"))
    assert verify(LAYER, target=Right, checks=[check]).passed


def one_wrong_entry_is_caught(layer):
    for gradient in planning.gradients_of(layer):
        report = verify(layer, target=wrong(gradient, one_entry_off), checks=["exact"])
        (failed,) = results(report, status="failed")
        assert (failed.gradient, failed.mismatches, failed.max_abs_error) == (gradient, 1, 1.0)
        shape = {"input": layer.input_shape, "weight": layer.weight_shape, "bias": layer.bias_shape}[gradient]
        assert failed.worst.index == tuple(n - 1 for n in shape)
        assert failed.worst.analytic == failed.worst.numeric + 1


@given(layer=layers(dtypes=("float64", "float32"), max_axes=2))
@settings(max_examples=20, deadline=None)
def test_one_wrong_entry_is_caught_on_random_layers(layer):
    one_wrong_entry_is_caught(layer)


@pytest.mark.long
@given(layer=layers(dtypes=("float64", "float32"), max_axes=2))
@settings(max_examples=400, deadline=None)
def test_one_wrong_entry_is_caught_in_a_long_search(layer):
    one_wrong_entry_is_caught(layer)


def test_nan_is_a_failure_and_its_place_is_named():
    report = verify(LAYER, target=wrong("weight", one_entry_nan))
    for check in ("central", "exact"):
        (failed,) = results(report, status="failed", check=check)
        assert failed.worst.index == (0, 0, 0, 0)
        assert np.isnan(failed.worst.analytic)
        assert failed.max_abs_error == np.inf


def test_the_numbers_shown_imply_the_verdict():
    for target in (Right, Unflipped, wrong("weight", one_entry_off)):
        for r in results(verify(LAYER, target=target)):
            assert (r.max_abs_error <= r.allowed_error) == (r.status == "passed")


def test_a_float32_layer_is_exact_too():
    report = verify(replace(LAYER, dtype="float32"))
    assert report.passed
    assert all(r.max_abs_error == 0 for r in results(report, check="exact"))


class TestGate:
    def test_takes_the_place_of_the_derived_bound(self):
        off_by_little = wrong("weight", lambda a: a * (1 + 1e-7))
        assert not verify(LAYER, target=off_by_little).passed
        assert verify(LAYER, target=off_by_little, max_error=1e-6).passed
        assert not verify(LAYER, target=off_by_little, max_error=1e-8).passed

    def test_comes_from_the_suite_and_gives_way_to_the_argument(self):
        suite = Suite(name="s", layers=(LAYER,), lines=(3,), max_error=1e-6)
        off_by_little = wrong("weight", lambda a: a * (1 + 1e-7))
        assert verify(suite, target=off_by_little).passed
        assert not verify(suite, target=off_by_little, max_error=1e-8).passed

    @pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
    def test_refuses_what_is_no_positive_number(self, value):
        with pytest.raises(UsageError) as caught:
            verify(LAYER, max_error=value)
        assert str(caught.value) == f"max_error={value} is not allowed; expected a positive number such as 1e-9"


class Weighted(Right):
    """Every output times an integer of its place: no known function, linear, and its gradients are its own."""

    def weighted(self, array):
        return array * (1 + np.arange(array[0].size).reshape(array[0].shape) % 3).astype(array.dtype)

    def forward(self, x, weight, bias, layer):
        return self.weighted(super().forward(x, weight, bias, layer))

    def backward(self, grad_output):
        return super().backward(self.weighted(grad_output))


class TestForwardPass:
    @pytest.mark.parametrize("checks", [["exact"], ["projected"], ["central"], ["exact", "conditions"]])
    def test_a_wrong_one_with_its_own_right_gradients_is_shown_and_fails_whatever_was_asked_for(self, checks):
        report = verify(LAYER, target=Weighted, checks=checks)
        assert not report.passed
        (output,) = results(report, gradient="output")
        assert (output.check, output.status) == ("forward", "failed")
        assert 0 < output.mismatches < output.entries
        # It is the output alone that fails the layer.
        assert all(r.acceptable for r in results(report) if r.gradient != "output")

    def test_its_own_gradients_pass_the_exact_check_of_their_own(self):
        exact = results(verify(LAYER, target=Weighted, checks=["exact"]), check="exact")
        assert {(r.gradient, r.status) for r in exact} == {(g, "passed") for g in ("input", "weight", "bias")}

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize(("times", "passes"), [(0.5, True), (4, False), (50, False)])
    def test_no_more_than_rounding_is_allowed_on_real_data(self, dtype, times, passes):
        """Rounding may change one output by gamma_n * (|W| * |x| + |b|); both sides together by twice that."""

        class OffOnReals(Right):
            def forward(self, x, weight, bias, layer):
                output = super().forward(x, weight, bias, layer)
                if (x == np.rint(x)).all():
                    return output
                size = super().forward(np.abs(x), np.abs(weight), np.abs(bias), layer)
                terms = layer.channels_per_group * 6 + 1
                return (output + times * terms * DTYPES[dtype].roundoff * size).astype(dtype)

        layer = replace(LAYER, dtype=dtype)
        (output,) = results(verify(layer, target=OffOnReals, checks=["forward", "central"]), gradient="output")
        assert output.passed is passes

    def test_a_forward_pass_that_is_not_the_definitions_fails(self):
        report = verify(LAYER, target=TrueConvolution)
        (output,) = results(report, gradient="output")
        assert output.status == "failed"
        assert not report.passed

    def test_its_gradients_are_checked_one_entry_at_a_time_against_its_own_differences(self):
        report = verify(LAYER, target=TrueConvolution)
        for gradient in ("input", "weight", "bias"):
            (exact,) = results(report, gradient=gradient, check="exact")
            assert exact.status == "passed"
            assert exact.evaluations == exact.entries
            assert "its own forward pass" in exact.message

    def test_and_are_caught_if_they_are_not_consistent_with_it(self):
        class Inconsistent(TrueConvolution):
            backward = Right.backward

        report = verify(LAYER, target=Inconsistent)
        (exact,) = results(report, gradient="weight", check="exact")
        assert exact.status == "failed"

    def test_are_inconclusive_where_that_costs_too_much_and_linearity_does_not_help(self, monkeypatch):
        class Squared(Right):
            def forward(self, x, weight, bias, layer):
                return super().forward(x, weight, bias, layer) ** 2

        monkeypatch.setattr("convcheck.verification.WORK_BUDGET", 1.0)
        report = verify(LAYER, target=Squared)
        assert {r.status for r in results(report, check="projected")} == {"inconclusive"}
        assert not report.passed

    def test_no_output_leaves_the_gradients_inconclusive(self):
        class WrongShape(Right):
            def forward(self, x, weight, bias, layer):
                return super().forward(x, weight, bias, layer)[:, :, :-1]

        report = verify(LAYER, target=WrongShape)
        (output,) = results(report, gradient="output")
        assert output.message == "output has shape (3, 6, 3, 8); expected (3, 6, 4, 8)"
        assert {r.status for r in results(report, check="exact")} == {"inconclusive"}


class TestBudget:
    def test_what_does_not_fit_is_projected_and_says_so(self, monkeypatch):
        monkeypatch.setattr("convcheck.verification.WORK_BUDGET", LAYER.multiply_adds / 2)
        report = verify(LAYER)
        assert report.passed
        projected = results(report, check="projected", gradient="input")
        assert {r.message for r in projected} == {
            "the complete exact check is beyond the work budget; --complete makes it"
        }
        assert all(r.entries_checked == 0 and r.false_pass_probability < 1e-12 for r in projected)
        assert {r.status for r in results(report, check="central", gradient="input")} == {"skipped"}

    def test_complete_checks_every_entry(self, monkeypatch):
        monkeypatch.setattr("convcheck.verification.WORK_BUDGET", LAYER.multiply_adds)
        assert all(r.entries_checked == r.entries for r in results(verify(LAYER, complete=True)))

    def test_projection_catches_what_the_complete_check_catches(self, monkeypatch):
        monkeypatch.setattr("convcheck.verification.WORK_BUDGET", 1.0)
        assert not verify(LAYER, target=Unflipped).passed

    def test_the_evaluations_are_those_foreseen(self):
        foreseen = {(s.gradient, s.check): s.evaluations for s in planning.plan(LAYER, planning.DEFAULT_CHECKS, 1e9)}
        for r in results(verify(LAYER)):
            assert r.evaluations == foreseen.get((r.gradient, r.check), 0)

    def test_progress_adds_up_to_the_work_foreseen(self):
        class Recorder:
            total = done = 0.0

            def start(self, total_work):
                self.total = total_work

            def layer(self, name):
                self.name = name

            def advance(self, work):
                self.done += work

        recorder = Recorder()
        verify(LAYER, progress=recorder)
        assert recorder.done == recorder.total > 0
        foreseen = sum(step.evaluations for step in planning.plan(LAYER, planning.DEFAULT_CHECKS, 1e9))
        assert recorder.name == f"conv1 · {foreseen} evaluations"


class TestNothingPassesUnchecked:
    def test_skipped_alone_is_no_pass(self, monkeypatch):
        monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 2))
        huge = Layer(1, 1, 1, input=(32, 33), batch=1, dtype="float32")
        report = verify(huge, target=Right, checks=["exact"])
        assert {r.status for r in results(report)} == {"skipped"}
        assert "no integers" in results(report)[0].message
        assert not report.passed

    @pytest.mark.parametrize("status", STATUSES)
    @pytest.mark.parametrize("gradient", ["output", "input"])
    def test_beside_passes_only_what_was_skipped_is_acceptable(self, status, gradient):
        good = [GradientResult("t", name, "exact", "passed") for name in ("input", "weight", "bias")]
        other = GradientResult("t", gradient, "projected", status)
        assert other.acceptable is (status in ("passed", "skipped"))
        assert LayerReport(LAYER, (*good, other)).passed is other.acceptable
        assert LayerReport(LAYER, (other, *good)).passed is other.acceptable

    @pytest.mark.parametrize("status", [status for status in STATUSES if status != "passed"])
    def test_a_gradient_that_nothing_passed_is_no_pass(self, status):
        good = [GradientResult("t", name, "exact", "passed") for name in ("output", "weight", "bias")]
        other = GradientResult("t", "input", "exact", status)
        assert not LayerReport(LAYER, (*good, other)).passed
        assert LayerReport(LAYER, (*good, replace(other, waived=True))).passed is (status == "skipped")

    @pytest.mark.parametrize("gradient", ["input", "weight", "bias"])
    @pytest.mark.parametrize("number", [0, 1])
    def test_one_draw_that_agrees_does_not_make_up_for_one_that_does_not(self, gradient, number):
        def hidden(right):
            return hidden_from_one_draw(LAYER, gradient, right, number)

        report = verify(LAYER, target=wrong(gradient, hidden), checks=["projected"])
        assert not report.passed
        (failed,) = results(report, status="failed")
        assert failed.gradient == gradient
        assert failed.mismatches == failed.evaluations - 1
        assert f"{failed.mismatches} of {failed.evaluations} random directions disagree" in failed.message

    def test_an_empty_report_is_no_pass(self):
        assert not convcheck.Report(layers=(), config="none").passed


class TestBadTargets:
    @pytest.mark.parametrize(
        ("body", "gradient", "status", "message"),
        [
            ("return right.input, right.weight", "bias", "error", "backward returned 2 values; expected the triple"),
            ("return right.input", "input", "error", "backward returned one ndarray; expected the triple"),
            ("return None, right.weight, right.bias", "input", "failed", "grad_input is missing (None); expected"),
            ("return right.input[:, :, 1:], right.weight, right.bias", "input", "failed", "grad_input has shape"),
            ("return right.input.astype('f4'), right.weight, right.bias", "input", "failed", "grad_input has dtype"),
            ("raise ValueError('no gradient')", "weight", "error", "ValueError: no gradient"),
            ("raise SystemExit(0)", "weight", "error", "SystemExit: 0"),
        ],
    )
    def test_what_backward_does_wrong_is_a_result(self, body, gradient, status, message):
        scope = {"Right": Right}
        source = (
            f"class Bad(Right):\n    def backward(self, g):\n        right = Right.backward(self, g)\n        {body}\n"
        )
        exec(source, scope)
        report = verify([LAYER, Layer(1, 2, 2, bias=True)], target=scope["Bad"])
        assert len(report.layers) == 2
        assert not report.passed
        found = results(report, gradient=gradient, check="exact")
        assert {r.status for r in found} == {status}
        assert all(message in r.message for r in found)

    def test_a_traceback_starts_at_the_users_own_frame(self):
        class Raises(Right):
            def forward(self, x, weight, bias, layer):
                raise RuntimeError("from the user")

        (output,) = results(verify(LAYER, target=Raises), gradient="output")
        lines = output.message.splitlines()
        assert lines[0] == "Traceback (most recent call last):"
        assert "test_verification.py" in lines[1]
        assert lines[-1] == "RuntimeError: from the user"

    def test_raising_at_a_later_call_is_a_result(self):
        class Tired(Right):
            calls = 0

            def forward(self, x, weight, bias, layer):
                type(self).calls += 1
                if type(self).calls > 4:
                    raise RuntimeError("tired")
                return super().forward(x, weight, bias, layer)

        report = verify(LAYER, target=Tired)
        assert any(r.status == "error" and "RuntimeError: tired" in r.message for r in results(report))
        assert not report.passed

    def test_without_a_bias_the_third_gradient_is_not_looked_at(self):
        class Nonsense(Right):
            def backward(self, grad_output):
                right = super().backward(grad_output)
                return right.input, right.weight, "nonsense"

        assert verify(Layer(2, 3, 2, bias=False), target=Nonsense).passed

    def test_writing_into_the_arguments_does_not_change_what_is_compared(self):
        class Destructive(Right):
            def backward(self, grad_output):
                right = super().backward(grad_output)
                for array in (self.x, self.weight, grad_output):
                    array[:] = 0
                return right

        report = verify(LAYER, target=Destructive, checks=["exact"])
        assert all((r.max_abs_error, r.mismatches) == (0, 0) for r in results(report, check="exact"))
        # Yet it is a mistake of its own.
        assert [d.name for r in report.layers[0].results for d in r.diagnosis] == ["inputs-modified"] * 2


class TestLowerPrecisionInside:
    def test_code_that_rounds_large_values_is_judged_by_unit_steps(self):
        """A forward pass in float32 inside is exact on small integers, but not on those that packing makes."""

        class Single(Right):
            def forward(self, x, weight, bias, layer):
                return super().forward(*(a.astype(np.float32) for a in (x, weight, bias)), layer).astype(x.dtype)

            def backward(self, grad_output):
                return tuple(g.astype(np.float64) for g in super().backward(grad_output.astype(np.float32)))

        report = verify(LAYER, target=Single, checks=["forward", "exact"])
        assert report.passed, report
        assert not verify(LAYER, target=Single, checks=["central"]).passed


class TestChoosing:
    def test_layers_by_name(self):
        suite = Suite(name="s", layers=(LAYER, Layer(1, 1, 1, name="conv10")), lines=(1, 2))
        assert [layer.layer.name for layer in verify(suite, select="conv").layers] == ["conv1", "conv10"]
        assert [layer.layer.name for layer in verify(suite, select='"conv1"').layers] == ["conv1"]

    def test_a_selection_of_nothing_is_an_error_that_lists_the_layers(self):
        with pytest.raises(UsageError) as caught:
            verify(LAYER, select="stem")
        assert str(caught.value) == "select='stem' selects no layer of conv1; its layers are conv1"

    def test_stops_at_the_first_layer_that_does_not_pass(self):
        suite = Suite(name="s", layers=(LAYER, Layer(1, 1, 2, name="next")), lines=(1, 2))
        assert len(verify(suite, target=Unflipped, exit_first=True).layers) == 1
        assert len(verify(suite, target=Right, exit_first=True).layers) == 2

    def test_the_seed_changes_the_data(self):
        report = verify(LAYER, seed=7)
        assert report.layers[0].layer.seed == 7
        assert report.passed

    def test_the_dtype_is_that_of_all_layers_and_of_the_command_that_checks_again(self, tmp_path):
        path = tmp_path / "own.yaml"
        path.write_text("layers:\n  - {channels: 2, filters: 3, kernel: 2, dtype: float64}\n")
        for target in (Right, Unflipped):
            report = verify(path, target=target, dtype="float32")
            assert report.passed == (target is Right)
            assert report.layers[0].spec["dtype"] == "float32"
            assert report.options[-2:] == ("--dtype", "float32")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"checks": ["numeric"]},
                'unknown check "numeric"; expected one of forward, central, exact, projected, accumulate, '
                "conditions, double",
            ),
            (
                {"formulations": ["fft"]},
                'unknown formulation "fft"; expected one of index_sum, dilate_flip, unfold',
            ),
            ({"seed": -1}, "seed=-1 is not allowed; expected an integer of at least 0"),
            (
                {"dtype": "single"},
                'unknown dtype "single"; expected one of float64, float32, float16, bfloat16, complex128, complex64',
            ),
            (
                {"formulations": ["unfold"], "target": Right},
                "formulations chooses among the built-in formulations; leave it out to check a target",
            ),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(UsageError) as caught:
            verify(LAYER, **options)
        assert str(caught.value) == message

    def test_several_subjects_are_one_report(self):
        report = verify(["textbook", LAYER], checks=["forward"])
        assert report.config == "textbook, conv1"
        assert len(report.layers) == len(convcheck.load("textbook").layers) + 1
        assert report.layers[0].config == "textbook"

    def test_a_layer_that_needs_more_memory_than_there_is_is_refused(self):
        layer = Layer(1024, 1024, 3, input=(10**6, 10**6), name="huge")
        with pytest.raises(UsageError) as caught:
            verify(layer)
        assert str(caught.value).startswith("layer huge would need about ")
        assert "of memory, but " in str(caught.value)


@pytest.mark.parametrize("suite", ["textbook", "hostile"])
def test_small_shipped_suites_pass_with_every_entry_checked(suite):
    report = verify(suite)
    assert report.passed, report
    assert all(r.entries_checked == r.entries for r in results(report))
    assert not verify(suite, target=Unflipped).passed


class TestLayersOfOtherKinds:
    """Of a shipped suite, code is not asked for kinds that it is no code for; of a suite of one's own it is."""

    def test_are_left_out_and_told(self):
        report = verify("hostile", target=Right, select="circular or dilated", checks=["forward"])
        assert [layer.layer.name for layer in report.layers] == ["dilated"]
        assert report.passed
        assert report.left_out == ("circular of hostile: the target is not said to take circular padding",)
        assert "circular of hostile" in str(report)

    def test_are_checked_where_the_mapping_says_so(self):
        target = {"call": Right, "supports": ["circular"]}
        report = verify("hostile", target=target, select="circular or dilated", checks=["forward"])
        assert [layer.layer.name for layer in report.layers] == ["dilated", "circular"]
        assert report.left_out == ()

    def test_fail_where_there_is_nothing_else(self):
        report = verify("hostile", target=Right, select="circular", checks=["forward"])
        assert not report.passed
        assert "circular padding" in report.layers[0].results[0].message

    def test_of_ones_own_suite_fail(self):
        layers = [layer for layer in convcheck.load("hostile").layers if layer.name in ("circular", "dilated")]
        report = verify(layers, target=Right, checks=["forward"])
        assert [layer.passed for layer in report.layers] == [True, False]
        assert report.left_out == ()


@pytest.mark.parametrize(
    "suite",
    ["resnet50", "vgg16", "mobilenet_v2", "deeplab_aspp", "audio_1d", "video_3d", "dcgan", "unet_decoder"],
)
@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.long)], ids=["cut", "full"])
def test_a_layer_of_each_real_network_passes(suite, full):
    layer = min(convcheck.load(suite).layers, key=lambda layer: layer.multiply_adds)
    if not full:
        channels, filters, groups = (min(number, 16) for number in (layer.channels, layer.filters, layer.groups))
        size = tuple(min(extent, 64 // len(layer.input)) for extent in layer.input)
        layer = replace(layer, channels=channels, filters=filters, groups=groups, input=size)
    assert verify(layer, formulations=["unfold", "dilate_flip"]).passed


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({}, ()),
        ({"target": Right}, ()),
        (
            {"target": "tests.targets_for_tests:Right", "max_error": 1e-9, "complete": True},
            ("--target", "tests.targets_for_tests:Right", "--max-error", "1e-09", "--complete"),
        ),
    ],
)
def test_the_report_knows_the_options_that_run_it_again(arguments, options):
    assert verify(LAYER, **arguments).options == options


class TestNoLoophole:
    """Ways in which a wrong gradient could slip through, each found by trying."""

    BIG = Layer(128, 128, 3, padding=1, input=(28, 28))

    def test_a_passing_bias_does_not_carry_gradients_that_nothing_checked(self, monkeypatch):
        monkeypatch.setattr("convcheck.verification.WORK_BUDGET", 10 * LAYER.multiply_adds)
        mapping = {"call": "tests.targets_for_tests:Right", "exact": False}
        report = verify(LAYER, target=mapping, checks=["forward", "central", "exact"])
        assert {r.status for r in results(report, gradient="input")} == {"skipped"}
        assert {r.status for r in results(report, gradient="bias", check="central")} == {"passed"}
        assert not report.passed

    @pytest.mark.parametrize(("size", "digits"), [(8, 21), pytest.param(64, 24, marks=pytest.mark.long)])
    def test_a_bound_as_wide_as_the_gradient_says_nothing(self, monkeypatch, size, digits):
        float32_with(monkeypatch, digits)
        layer = Layer(4, 32, 7, padding=3, input=(size, size), batch=1, dtype="float32")
        mapping = {"call": "tests.targets_for_tests:Unflipped", "exact": False}
        report = verify(layer, target=mapping, complete=True, checks=["central"])
        (central,) = results(report, gradient="input", check="central")
        assert central.status == "skipped"
        assert not report.passed

    def test_sums_so_long_that_no_bound_holds_are_no_pass(self, image):
        layer = Layer(1, 1, 1, input=image, batch=1, dtype="float32")
        report = verify(layer, target=wrong("weight", np.zeros_like))
        (central,) = results(report, gradient="weight", check="central")
        assert central.status == "skipped"
        assert "as large as the gradient" in central.message
        assert not report.passed

    def test_a_gate_that_is_no_number_is_refused_from_a_suite_too(self):
        with pytest.raises(UsageError, match="max_error=nan is not allowed"):
            verify(Suite(name="s", layers=(LAYER,), lines=(None,), max_error=float("nan")))

    def test_a_gate_is_about_entries_also_where_only_sums_are_compared(self):
        def one_entry(array):
            array.flat[0] += 1e-5 * np.abs(array).max()
            return array

        target = wrong("input", one_entry)
        assert not verify(self.BIG, target=target, checks=["projected"], max_error=1e-6).passed
        assert verify(self.BIG, target=target, checks=["projected"], max_error=1e-4).passed

    def test_a_forward_pass_that_is_right_on_integers_only_is_caught(self):
        class WrongOnReals(Right):
            def forward(self, x, weight, bias, layer):
                output = super().forward(x, weight, bias, layer)
                return output if (x == np.rint(x)).all() else output + 1000

        (output,) = results(verify(LAYER, target=WrongOnReals), gradient="output")
        assert output.status == "failed"
        assert output.message == "on real data, not on integers: everywhere"

    def test_another_forward_pass_is_no_pass_even_where_it_was_not_asked_about(self):
        assert not verify(LAYER, target=TrueConvolution, checks=["exact"]).passed

    def test_ending_the_process_is_a_result(self):
        report = verify(LAYER, target=Ends, in_process=False)
        assert not report.passed
        errors = [r.message for r in results(report) if r.status == "error"]
        assert any("ended itself with exit status 0" in message for message in errors)

    def test_leaving_in_the_second_backward_pass_is_a_result(self):
        class Leaves(Right):
            calls = 0

            def backward(self, grad_output):
                self.calls += 1
                if self.calls > 1:
                    raise SystemExit(0)
                return super().backward(grad_output)

        assert not verify(LAYER, target=Leaves).passed

    def test_a_second_result_of_another_kind_does_not_end_the_run(self):
        class Strings(Right):
            calls = 0

            def backward(self, grad_output):
                right = super().backward(grad_output)
                self.calls += 1
                return right if self.calls == 1 else (right.input.astype(str), *right[1:])

        report = verify([LAYER, Layer(1, 2, 2)], target=Strings)
        assert len(report.layers) == 2
        assert not report.passed


class TestNoFalseAlarm:
    def test_buffers_that_are_used_again(self):
        class Workspace(Right):
            def __init__(self):
                self.kept = {}

            def keep(self, name, value):
                buffer = self.kept.setdefault((name, value.shape), np.empty_like(value))
                buffer[...] = value
                return buffer

            def forward(self, x, weight, bias, layer):
                return self.keep("output", super().forward(x, weight, bias, layer))

            def backward(self, grad_output):
                return tuple(map(self.keep, "iwb", super().backward(grad_output)))

        assert verify(LAYER, target=Workspace).passed

    def test_code_that_knows_its_sizes(self):
        class Strict(Right):
            def forward(self, x, weight, bias, layer):
                assert x.shape == layer.input_shape
                assert weight.shape == layer.weight_shape
                assert x.shape[0] == LAYER.batch
                assert len(weight) == LAYER.filters
                return super().forward(x, weight, bias, layer)

        assert verify(LAYER, target=Strict).passed


def test_what_is_no_subject_is_refused():
    with pytest.raises(UsageError, match="3 cannot be verified; expected a Layer, a Suite, a path"):
        verify(3)
