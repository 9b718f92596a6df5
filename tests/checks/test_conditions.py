"""Conditions: a target that is wrong under one of them alone is caught and told so; its right twin passes."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from convcheck import Layer, UsageError, verify
from convcheck.checks import conditions
from convcheck.gradients.numeric import rounding
from convcheck.layer.data import SHORT, integer_operands, real_operands, short_sums
from convcheck.layer.fields import Dtype
from convcheck.mistakes.conditions import CONDITIONS
from convcheck.reports.results import GradientResult
from tests.one_condition import ALSO, LAYER, SINGLE, WRONG, OneBufferForAllCalls, torch_targets
from tests.parts import GRADIENTS, Scripted, changing, expected, raising, right_arrays
from tests.targets_for_tests import UNFOLD, Right, Unflipped, with_operands, wrong


def results(report, **wanted):
    found = [r for layer in report.layers for r in layer.results]
    return [r for r in found if all(getattr(r, key) == value for key, value in wanted.items())]


def failing(target, layer=LAYER, **options):
    """The conditions under which a target fails, and what it is called there; all else must have passed."""
    report = verify(layer, target=target, **options)
    assert not report.passed
    assert all(r.acceptable for r in results(report) if r.check != "conditions"), report
    bad = [r for r in results(report) if not r.acceptable]
    assert all(r.diagnosis for r in bad if r.status == "failed")
    return {r.condition for r in bad}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_under_one_condition_only_is_caught_there(name):
    caught_under_it_alone(name, *WRONG[name])


def test_so_is_code_of_pytorchs():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number, (name, wrong_there) in enumerate(torch_targets().items()):
            caught_under_it_alone(name, *wrong_there, shrink=not number)
    finally:
        torch.set_num_threads(before)


def caught_under_it_alone(name, target, layer, condition, *, shrink=True):
    with threadpool_limits(2, user_api="blas"):
        report = verify(layer, target=target, checks=["forward", "exact", "conditions"], shrink=shrink)
    bad = [r for r in results(report) if not r.acceptable]
    wanted = {condition} | ALSO.get(name, set())
    assert {r.condition for r in bad} == wanted, report
    assert all(r.diagnosis for r in bad if r.status == "failed")
    smallest = report.layers[0].smallest
    # What has become wrong for good is not right anywhere any more, in the same process.
    assert smallest is None if name == "dirty border" or not shrink else smallest.condition in wanted


def test_what_becomes_wrong_for_good_is_shrunk_in_processes_of_its_own():
    layer = Layer(2, 2, 2, padding=((1, 0), (0, 1)), input=(3, 4), batch=1)
    report = verify(
        layer, target="tests.one_condition:BorderLeftDirty", in_process=False, checks=["exact", "conditions"]
    )
    assert {r.condition for r in results(report) if not r.acceptable} == {"other-layer-before"}
    smallest = report.layers[0].smallest
    assert smallest.condition == "other-layer-before"
    plainest = {"channels": 1, "filters": 1, "kernel": [1], "stride": [1], "groups": 1, "batch": 1}
    assert {name: smallest.layer[name] for name in plainest} == plainest
    # Without a border there is nothing to be dirty.
    assert any(map(any, smallest.layer["padding"]))


def test_the_table_has_every_condition():
    wrong_ones = {condition for _, _, condition in WRONG.values()}
    assert set(CONDITIONS) == set(conditions.RUNS)
    assert wrong_ones == set(CONDITIONS) - {"some-gradients", "after-no-grad"}


def applying(layer):
    """The conditions that code by the object protocol is run under."""
    there = {name for name, condition in conditions.RUNS.items() if condition.there(layer)}
    return there - {"some-gradients", "after-no-grad"}


@pytest.mark.parametrize("layer", [LAYER, SINGLE, replace(LAYER, bias=False), replace(LAYER, batch=1)])
def test_right_code_passes_under_all_of_them(layer):
    report = verify(layer, target={"call": Right, "threads": True})
    assert report.passed, report
    found = results(report, check="conditions")
    gradients = {"input", "weight", "bias"} if layer.bias else {"input", "weight"}
    assert {(r.condition, r.gradient) for r in found} == {
        (condition, gradient)
        for condition in applying(layer)
        for gradient in gradients
        if (condition, gradient) != ("no-bias", "bias")
    }
    assert all(r.entries_checked == r.entries and r.status == "passed" for r in found)


def test_right_code_of_pytorchs_passes_under_those_that_its_form_allows():
    pytest.importorskip("torch")
    for name in ("torch.nn:Conv2d", "torch.nn.functional:conv2d"):
        report = verify(replace(LAYER, padding=1), target=name)
        assert report.passed, report
        found = {r.condition for r in results(report, check="conditions", status="passed")}
        assert found == set(CONDITIONS) - {"negative-strides", "read-only"}


class Particular(Right):
    """Takes contiguous arrays that it may write, several samples, and a bias."""

    def forward(self, x, weight, bias, layer):
        if not (x.flags.c_contiguous and x.flags.writeable):
            raise ValueError("a contiguous array of my own, please")
        return super().forward(x, weight, bias, layer) + 0 * bias[0]

    def backward(self, grad_output):
        given = super().backward(grad_output)
        return *given[:2], given[2] + 0


class TestRefusals:
    REFUSED: ClassVar = {"not-contiguous", "transposed-memory", "negative-strides", "read-only", "no-bias"}

    def test_what_the_forward_pass_does_not_take_is_refused_and_no_failure(self):
        report = verify(LAYER, target=Particular)
        assert report.passed
        refused = results(report, status="skipped")
        assert {r.condition for r in refused} == self.REFUSED
        assert all(r.refused and r.message.startswith(f"refused under {r.condition}: ") for r in refused)
        assert "a contiguous array of my own, please" in {r.condition: r.refused for r in refused}["read-only"]
        assert "read-only: ValueError" in " ".join(str(report).split())

    def test_it_is_a_blind_spot(self):
        report = verify(LAYER, target=Particular, strict=True)
        assert not report.passed
        # What layers it does not take is a limit of the code, and no blind spot.
        assert self.REFUSED & {spot.name for spot in report.blind_spots} == self.REFUSED - {"no-bias"}
        assert "lacks a run under read-only, which the code refuses" in str(report)

    def test_what_only_the_backward_pass_cannot_do_is_an_error_unless_it_says_so(self):
        def wants_order(error):
            class Wants(Right):
                def backward(self, grad_output):
                    if not grad_output.flags.c_contiguous:
                        raise error
                    return super().backward(grad_output)

            return Wants

        memory = {"not-contiguous", "transposed-memory", "negative-strides", "broadcast-grad-output"}
        assert failing(wants_order(ValueError("order"))) == memory
        report = verify(LAYER, target=wants_order(NotImplementedError("C order")))
        assert report.passed
        assert {r.condition: r.refused for r in results(report, status="skipped")} == dict.fromkeys(memory, "C order")

    def test_what_is_wrong_beside_a_refusal_fails(self):
        class RowsAlone(Right):
            def forward(self, x, weight, bias, layer):
                if x.strides[-1] == 2 * x.itemsize:
                    raise ValueError("no gaps")
                return super().forward(x, weight, bias, layer) + (not x.flags.c_contiguous)

        assert {"not-contiguous"} <= failing(RowsAlone)

    @pytest.mark.parametrize("field", ["batch", "bias"])
    def test_what_the_mapping_does_not_take_is_not_run(self, field):
        feature, slug = {"batch": ("one-sample", "batch-of-one"), "bias": ("no-bias", "no-bias")}[field]
        report = verify(LAYER, target={"call": Right, "unsupported": [feature]})
        assert report.passed
        assert {r.status for r in results(report, condition=slug)} == {"skipped"}


class TestSkipping:
    def test_is_said_and_in_the_options_that_run_it_again(self):
        report = verify(LAYER, target=Right, skip_conditions=["threads", "tiny"])
        assert report.passed
        skipped = results(report, status="skipped")
        assert {r.condition for r in skipped} == {"tiny", "threads"}
        assert {r.message for r in skipped} == {"skipped by --skip-condition"}
        assert report.options == ("--skip-condition", "tiny", "--skip-condition", "threads")
        assert "tiny: skipped by --skip-condition" in str(report)

    def test_lets_code_pass_that_fails_there_alone(self):
        name = "strides without signs"
        assert verify(LAYER, target=WRONG[name][0], skip_conditions=["negative-strides"]).passed

    @pytest.mark.parametrize("skipped", conditions.RUNS)
    def test_each_is_left_out_alone(self, skipped):
        found = conditions.check(expected(LAYER, Scripted()), Scripted(), np.inf, [skipped])
        assert {r.condition for r in found if r.status == "skipped"} == {skipped}
        assert {r.condition for r in found} == set(CONDITIONS)

    def test_of_none_that_there_is_an_error_names_the_nearest(self):
        with pytest.raises(UsageError, match=r'unknown condition "negative-stride".*did you mean "negative-strides"'):
            verify(LAYER, target=Right, skip_conditions=["negative-stride"])


class TestConditionsAlone:
    def test_right_code_passes(self):
        report = verify(LAYER, target=Right, checks=["conditions"])
        assert report.passed
        assert {r.check for r in results(report)} == {"conditions"}

    def test_what_is_wrong_without_any_is_not_blamed_on_them(self):
        report = verify(LAYER, target=Unflipped, checks=["conditions"])
        (bad,) = [r for r in results(report) if not r.acceptable]
        assert (bad.gradient, bad.condition, bad.status) == ("input", None, "failed")
        assert [diagnosis.name for diagnosis in bad.diagnosis] == ["kernel-not-flipped"]


class Tiled(Right):
    """Wrong for some batches, whatever ran before."""

    batches = (3,)

    def backward(self, grad_output):
        right = super().backward(grad_output)
        spoiled = len(grad_output) in self.batches
        return (right.input + spoiled, *right[1:])


class SpoiledForGood(Tiled):
    """Wrong for three samples, and for all once it has served a layer of other options and the same shapes."""

    served: ClassVar = {}

    def backward(self, grad_output):
        key = self.x.shape, self.weight.shape, grad_output.shape
        self.batches = range(10) if self.served.setdefault(key, self.layer.stride) != self.layer.stride else ()
        if self.batches:
            type(self).served = {**self.served, "spoiled": True}
        if "spoiled" in self.served:
            self.batches = range(10)
        return super().backward(grad_output)


class TestLayersOfOtherSizes:
    """What is wrong on a layer that a condition brings in is blamed on the condition only where that is true."""

    ALONE = replace(LAYER, batch=1)

    @pytest.mark.parametrize("layer", [ALONE, replace(LAYER, batch=2), replace(ALONE, dtype="float32")])
    def test_a_batch_that_is_wrong_by_itself_is_not_blamed_on_what_ran_before(self, layer):
        target = type("Tile", (Tiled,), {"batches": range(layer.batch + 2, 99)})
        report = verify(layer, target=target)
        bad = results(report, status="failed")
        assert [(r.gradient, r.check, r.condition) for r in bad] == [("input", "conditions", None)]
        assert f"batch: {layer.batch + 2}}}, whatever ran before" in bad[0].message.replace(", dtype: float32", "")
        assert {r.status for r in results(report, condition="other-layer-before")} == {"passed"}
        case = report.layers[0].smallest
        assert (case.layer["batch"], case.layer["kernel"], case.condition) == (layer.batch + 2, [1], None)
        # The layer that is named fails by itself.
        again = verify(Layer(**case.layer), target=target, checks=["exact"], shrink=False)
        assert results(again, status="failed", check="exact")

    def test_what_is_kept_of_others_is(self):
        of_no_other_test = type("KeptByShapes", (WRONG["kept by shapes"][0],), {"kept": {}})
        assert failing(of_no_other_test, self.ALONE) == {"other-layer-before"}

    def test_so_is_what_has_spoiled_every_layer_by_then(self):
        SpoiledForGood.served = {}
        report = verify(self.ALONE, target=SpoiledForGood, checks=["forward", "exact", "conditions"])
        assert {r.condition for r in results(report, status="failed")} == {"other-layer-before"}

    @pytest.mark.parametrize("error", [NotImplementedError, ValueError])
    def test_where_no_further_layer_can_be_tried_the_condition_stays(self, error):
        class OneSize(Tiled):
            def forward(self, x, weight, bias, layer):
                if layer.input != LAYER.input:
                    raise error("one size")
                return super().forward(x, weight, bias, layer)

        assert failing(OneSize, self.ALONE) == {"other-layer-before"}

    def test_right_code_has_no_such_result(self):
        assert not [r for r in results(verify(self.ALONE, target=Right)) if r.check == "conditions" and not r.condition]


class TestNeverSkipped:
    """Real numbers are tried on every layer, whatever the budget and however long the sums."""

    @pytest.mark.parametrize("spoil", [np.trunc, lambda g: g.astype(np.int8).astype(g.dtype)])
    def test_beyond_the_budget(self, monkeypatch, spoil):
        monkeypatch.setattr("convcheck.verification.WORK_BUDGET", 1.0)
        target = with_operands(lambda x, w, g: (x, w, spoil(g)))
        (bad,) = {r.condition for r in results(verify(LAYER, target=target), check="conditions", status="failed")}
        assert bad == "real"
        report = verify(LAYER, target=Right)
        assert report.passed
        others = {r.condition: r.message for r in results(report, check="conditions", status="skipped")}
        assert set(others) == applying(LAYER) - {"real"}
        assert all("budget" in message for message in others.values())

    def test_where_no_integers_are_exact(self, monkeypatch):
        layer = Layer(1, 1, 1, input=(16, 17), batch=1, dtype="float32")
        monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 2))
        assert integer_operands(layer) is None
        report = verify(layer, target=Right)
        assert report.passed, report
        assert {r.status for r in results(report, check="conditions", condition="real")} == {"passed"}
        cubed = with_operands(lambda x, w, g: (x**3, w, g))
        assert "real" in failing(cubed, layer, checks=["forward", "exact", "conditions"])


class TestSharpBounds:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_the_bound_is_a_small_share_of_the_gradient(self, dtype):
        for layer in (LAYER, Layer(16, 16, 3, padding=1, input=(28, 28)), Layer(128, 64, 1, input=(7, 7), batch=9)):
            report = verify(replace(layer, dtype=dtype), target=Right, checks=["forward", "conditions"])
            for result in results(report, condition="real"):
                assert result.status == "passed"
                assert 0 < result.allowed_error < {"float32": 1e-3, "float64": 1e-11}[dtype]

    def test_a_bound_that_allows_too_much_is_no_pass(self, monkeypatch):
        monkeypatch.setattr("convcheck.checks.conditions._LARGEST_SHARE", 1e-9)
        report = verify(SINGLE, target=Right)
        assert {r.status for r in results(report, condition="real")} == {"inconclusive"}
        assert not report.passed

    def test_a_gate_takes_its_place(self):
        off = wrong("weight", lambda a: a * (1 + 1e-7))
        assert verify(LAYER, target=off, max_error=1e-6).passed
        assert not verify(LAYER, target=off, max_error=1e-8).passed


class TestObjects:
    def test_one_that_takes_one_forward_pass_is_not_accused(self):
        class OneShot(Right):
            used = False

            def forward(self, x, weight, bias, layer):
                if self.used:
                    raise RuntimeError("used up")
                self.used = True
                return super().forward(x, weight, bias, layer)

        report = verify(LAYER, target=OneShot)
        assert report.passed, report
        assert {r.status for r in results(report, condition="same-memory")} == {"skipped"}

    def test_a_buffer_of_the_objects_own_is_no_mistake(self):
        class Workspace(OneBufferForAllCalls):
            def __init__(self):
                self.buffers = {}

        assert verify(LAYER, target=Workspace).passed

    def test_a_refusal_under_a_condition_is_no_pass(self):
        class RefusesPositive(Right):
            def forward(self, x, weight, bias, layer):
                if (x > 0).all():
                    raise NotImplementedError("no such data")
                return super().forward(x, weight, bias, layer)

        assert failing(RefusesPositive) == {"one-sign"}


def rounding_code():
    code = Scripted()
    code.exact = False
    return code


#: Conditions under which code may refuse to be called.
REFUSABLE = {
    "not-contiguous", "transposed-memory", "negative-strides", "broadcast-grad-output", "read-only", "some-gradients",
    "after-no-grad", "batch-of-one", "no-bias", "threads",
}  # fmt: skip

#: With more work for each entry than most.
WIDE = Layer(16, 16, 5, padding=2, input=(16, 16))


class TestResults:
    """What is made of the runs; those of one condition are judged together."""

    def check(self, code, layer=LAYER, budget=np.inf, **options):
        return conditions.check(expected(layer, code, **options), code, budget)

    def test_one_of_every_gradient_under_every_condition(self):
        found = self.check(Scripted())
        every = [(c, g) for c in conditions.RUNS for g in GRADIENTS if (c, g) != ("no-bias", "bias")]
        assert [(r.condition, r.gradient) for r in found] == every
        for r in found:
            assert (r.status, r.check, r.implementation, r.message) == ("passed", "conditions", "scripted", None)
            assert r.on_integers is (r.condition != "real")
            assert (r.allowed_error == 0) is (r.condition != "real")
            assert (r.evaluations, r.entries_checked) == (0, r.entries)
        layer = replace(LAYER, bias=False)
        assert {r.gradient for r in self.check(Scripted(), layer)} == {"input", "weight"}

    def test_of_code_that_rounds_everything_is_compared_within_a_bound(self):
        found = self.check(rounding_code())
        assert {r.status for r in found} == {"passed", "skipped"}
        assert not any(r.on_integers for r in found)
        assert {r.condition for r in found if r.allowed_error} == set(CONDITIONS) - {"zero-grad-output", "large"}

    @pytest.mark.parametrize("exact", [True, False])
    def test_the_bound_is_that_of_the_backward_pass_alone(self, exact):
        code = Scripted() if exact else rounding_code()
        at = short_sums(SINGLE, real_operands(SINGLE), SHORT if exact else 1)
        bounds = rounding.backward_errors(SINGLE, at, UNFOLD.backward, exact=exact)._asdict()
        real = {r.gradient: r for r in self.check(code, SINGLE) if r.condition == "real"}
        assert len(real) == 3
        for gradient, r in real.items():
            assert r.allowed_error > 0
            assert r.allowed_error <= bounds[gradient].max() or not exact
        if exact:
            # What is off by a little more than allowed anywhere fails, and by a little less passes.
            wide = at.map(lambda array: array.astype(np.float64))
            right = UNFOLD.backward(SINGLE, wide.x, wide.weight, wide.grad_output)
            for share, status in ((0.9, "passed"), (1.3, "failed")):
                off = Scripted(
                    lambda name, array, s=share: (
                        (right.weight + s * bounds["weight"]).astype(np.float32)
                        if name == "weight" and np.allclose(array, right.weight, rtol=1e-3, atol=1e-3)
                        else array
                    )
                )
                (found,) = [r for r in self.check(off, SINGLE) if (r.condition, r.gradient) == ("real", "weight")]
                assert found.status == status

    @pytest.mark.parametrize("gradient", GRADIENTS)
    @pytest.mark.parametrize("exact", [True, False])
    def test_a_bound_that_is_too_large_a_share_of_the_gradient_is_no_pass(self, gradient, exact, monkeypatch):
        code = Scripted() if exact else rounding_code()
        at = short_sums(LAYER, real_operands(LAYER), SHORT if exact else 1)
        bound = getattr(rounding.backward_errors(LAYER, at, UNFOLD.backward, exact=exact), gradient).max()
        factor = {"input": np.abs(at.weight).max(), "weight": np.abs(at.x).max(), "bias": 1.0}[gradient]
        size = max(np.abs(right_arrays(at)[gradient]).max(), np.abs(at.grad_output).max() * factor)
        for more, status in ((1.001, "passed"), (0.999, "inconclusive")):
            monkeypatch.setattr(conditions, "_LARGEST_SHARE", more * bound / size)
            (found,) = [r for r in self.check(code) if (r.condition, r.gradient) == ("real", gradient)]
            assert found.status == status
        assert "rounding in float64" in found.message
        assert found.message.endswith("little is shown")
        (gated,) = [r for r in self.check(code, max_error=0.5) if (r.condition, r.gradient) == ("real", gradient)]
        assert gated.status == "passed"

    def test_a_gradient_that_is_zero_is_measured_by_one_term_of_it(self):
        nothing_read = Layer(2, 3, 2, stride=5, padding=((4, 4), (4, 4)), input=(1, 1), batch=2)
        found = self.check(rounding_code(), nothing_read)
        assert all(r.acceptable for r in found)

    def test_only_the_first_run_must_be_sharp(self, monkeypatch):
        # The whole of a large image rounds far more than the few entries that are looked at sharply.
        layer = Layer(2, 2, 3, padding=1, input=(30, 30), batch=2)
        at = short_sums(layer, real_operands(layer), 1)
        shares = [
            rounding.backward_errors(layer, each, UNFOLD.backward, exact=False).weight.max()
            / np.abs(right_arrays(each, layer)["weight"]).max()
            for each in (at, real_operands(layer))
        ]
        assert shares[0] < shares[1]
        monkeypatch.setattr(conditions, "_LARGEST_SHARE", sum(shares) / 2)
        code = rounding_code()
        found = [r for r in self.check(code, layer) if (r.condition, r.gradient) == ("real", "weight")]
        assert [r.status for r in found] == ["passed"]

    def test_the_worst_run_counts(self):
        for wanted in (0, 1, 2):
            calls = []

            def wrong_once(name, array, calls=calls, wanted=wanted):
                calls.append(name)
                return array + (name == "weight" and calls.count("weight") == wanted + 1)

            code = Scripted(wrong_once)
            runs = list(conditions.RUNS["one-sign"].runs(expected(LAYER, code), code))
            assert len(runs) == 3
            calls.clear()
            only = {"one-sign": conditions.RUNS["one-sign"]}
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(conditions, "RUNS", only)
                found = self.check(code)
            assert [(r.gradient, r.status) for r in found] == [
                ("input", "passed"), ("weight", "failed"), ("bias", "passed"),
            ]  # fmt: skip

    def test_of_two_wrong_runs_the_more_wrong_one_counts_and_an_error_most(self, monkeypatch):
        monkeypatch.setattr(conditions, "RUNS", {"one-sign": conditions.RUNS["one-sign"]})
        for factors, wanted in (((2, 1.5, 1), 0.5), ((1.5, 2, 1), 0.5), ((1, 1.5, 4), 0.75)):
            left = list(factors)
            code = Scripted(changing("weight", lambda array, left=left: array * left.pop(0)))
            (found,) = [r for r in self.check(code) if r.gradient == "weight"]
            assert found.max_rel_error == pytest.approx(wanted)
        left = [lambda array: -array, raising(ValueError("broken")), lambda array: array]
        found = self.check(Scripted(changing("weight", lambda array: left.pop(0)(array))))
        assert {r.gradient: r.status for r in found} == {"input": "error", "weight": "error", "bias": "error"}
        assert all("broken" in r.message for r in found)

    def test_a_wrong_output_is_a_result_of_its_own(self):
        found = self.check(Scripted(changing("output", lambda array: array + 1)))
        wrong_output = [r for r in found if r.gradient == "output"]
        assert [r.condition for r in wrong_output] == [name for name in conditions.RUNS if name != "many-calls"]
        assert {r.status for r in wrong_output} == {"failed"}
        assert {r.status for r in found if r.gradient != "output" and r.condition != "many-calls"} == {"passed"}
        # One finding is enough where it shows at the second call already.
        assert {r.message for r in found if r.condition == "many-calls"} == {conditions.SHOWN_IN_SAME_MEMORY}

    def test_an_output_of_another_shape_leaves_the_gradients_undecided(self):
        found = self.check(Scripted(changing("output", lambda array: array[..., :1])))
        found = [r for r in found if r.condition != "many-calls"]
        assert {(r.gradient, r.status) for r in found} == {
            ("output", "failed"), *((gradient, "inconclusive") for gradient in GRADIENTS),
        }  # fmt: skip
        assert all(r.message.startswith("the forward pass gave no output") for r in found if r.gradient != "output")
        assert all(r.message.endswith("not run") for r in found if r.gradient != "output")
        assert {(r.check, r.implementation) for r in found if r.gradient != "output"} == {("conditions", "scripted")}

    def test_the_output_of_code_that_rounds_may_be_off_as_far_as_its_transforms_may(self):
        at = short_sums(LAYER, real_operands(LAYER), 1)
        narrow, wide = (rounding.output_errors(LAYER, at, UNFOLD.forward, exact=exact).min() for exact in (True, False))
        assert 4 * narrow < wide
        code = Scripted(changing("output", lambda array: array + wide / 2))
        code.exact = False
        assert all(r.acceptable for r in self.check(code) if r.condition == "real")
        assert not all(r.acceptable for r in self.check(Scripted(code.change)) if r.condition == "real")

    def test_a_missing_gradient_is_a_failure_and_a_refusal_an_error(self):
        found = self.check(Scripted(changing("weight", lambda array: None)))
        found = [r for r in found if r.condition != "many-calls"]
        assert {r.status for r in found if r.gradient == "weight"} == {"failed"}
        assert all("None" in r.message and r.check == "conditions" for r in found if r.gradient == "weight")
        found = self.check(Scripted(changing("output", raising(NotImplementedError("no such data")))))
        data = [r for r in found if r.status == "error"]
        assert {(r.message, r.implementation) for r in data} == {("no such data", "scripted")}
        assert {r.gradient for r in data} == {"output", *GRADIENTS}
        refused = {r.condition: r.message for r in found if r.status == "skipped" and r.condition != "many-calls"}
        assert refused == {condition: f"refused under {condition}: no such data" for condition in REFUSABLE}
        assert {r.condition for r in data} == set(CONDITIONS) - REFUSABLE - {"many-calls"}

    @pytest.mark.parametrize("gradient", GRADIENTS)
    def test_a_gradient_that_the_target_does_not_give_is_left_out(self, gradient):
        code = Scripted(changing(gradient, lambda array: None))
        code.absent = {gradient: "none"}
        found = self.check(code)
        assert {r.gradient for r in found} == set(GRADIENTS) - {gradient}
        assert {r.status for r in found} == {"passed"}
        left_out = [r for r in self.check(code, budget=1.0) if r.status == "skipped"]
        assert {r.gradient for r in left_out} == set(GRADIENTS) - {gradient}

    def test_what_cannot_be_run_is_skipped_with_the_reason(self):
        found = [r for r in self.check(rounding_code()) if r.condition == "large"]
        assert [(r.gradient, r.status, r.message) for r in found] == [
            (gradient, "skipped", "the target rounds on integers too") for gradient in GRADIENTS
        ]
        assert {(r.check, r.implementation) for r in found} == {("conditions", "scripted")}

    @pytest.mark.parametrize(
        ("layer", "work"),
        [
            # Counted by multiply-adds where there are many, and else by entries.
            (WIDE, WIDE.multiply_adds),
            (LAYER, 100 * (3 * 4 * 7 * 8 + 6 * 2 * 2 * 3 + 3 * 6 * 4 * 8)),
        ],
    )
    def test_what_the_budget_does_not_hold_is_left_out_in_their_order(self, layer, work):
        total = sum(condition.passes for condition in conditions.RUNS.values()) * work
        for budget, left_out in (
            (total, 0),
            (total - 1, 1),
            (conditions.RUNS["real"].passes * work, len(CONDITIONS) - 1),
        ):
            found = self.check(Scripted(), layer, budget)
            skipped = [r for r in found if r.status == "skipped"]
            assert [*dict.fromkeys(r.condition for r in skipped)] == list(conditions.RUNS)[len(CONDITIONS) - left_out :]
            assert all("conditions" in r.message.split() and "budget" in r.message for r in skipped)
            assert {r.gradient for r in skipped} == (set(GRADIENTS) if left_out else set())
            assert {r.status for r in found} == {"passed"} | ({"skipped"} if left_out else set())
        assert {r.condition for r in self.check(Scripted(), layer, 0.0) if r.status == "passed"} == {"real"}

    def test_the_gate_decides_under_them_too(self):
        code = Scripted(changing("weight", lambda array: array * (1 + 1e-6)))
        assert all(r.acceptable for r in self.check(code, max_error=1e-5))
        bad = {r.condition for r in self.check(code, max_error=1e-8) if not r.acceptable}
        # A subnormal number has too few digits for the difference.
        assert bad == set(CONDITIONS) - {"zero-grad-output", "tiny", "many-calls"}


class TestNames:
    FAILED = GradientResult("mine", "weight", "conditions", "failed", condition="sparse")

    def named(self, *results):
        """Where nothing depends on what lies beyond the arguments, nothing is run."""
        return conditions.named(results, None, None)

    def test_a_failure_without_a_known_mistake_is_named_by_its_condition(self):
        [found] = self.named(self.FAILED)
        assert found.diagnosis == (CONDITIONS["sparse"].diagnosis(),)
        assert replace(found, diagnosis=()) == self.FAILED

    def test_nothing_else_is(self):
        known = replace(self.FAILED, diagnosis=(CONDITIONS["large"].diagnosis(),))
        for result in (
            known, replace(self.FAILED, condition=None), replace(self.FAILED, status="passed"),
            replace(self.FAILED, status="error"),
        ):  # fmt: skip
            assert self.named(result) == [result]
