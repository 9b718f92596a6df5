"""Conditions: a target that is wrong under one of them alone is caught and told so; its right twin passes."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.checks import conditions
from convcheck.gradients.numeric import rounding
from convcheck.layer.data import SHORT, integer_operands, real_operands, short_sums, with_zeros
from convcheck.layer.fields import Dtype
from convcheck.mistakes.conditions import CONDITIONS
from convcheck.reports.results import GradientResult
from tests.parts import GRADIENTS, Scripted, ScriptedRun, changing, expected, raising, right_arrays
from tests.targets_for_tests import UNFOLD, Backward, Right, SavedOnTheClass, rounded, with_operands, wrong

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3)


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


class StopsAtZero(Backward):
    """A shortcut for zeros that breaks out of the loop instead of going on with the next filter."""

    def changed(self, x, weight, grad_output):
        shortened = grad_output.copy()
        for image in shortened:
            empty = [f for f in range(len(image)) if (image[f] == 0).any()]
            if empty:
                image[empty[0] + 1 :] = 0
        return x, weight, shortened


class DirtyWhereEmpty(Backward):
    """Leaves dL/dX unwritten where all of grad_output is zero."""

    def backward(self, grad_output):
        right = super().backward(grad_output)
        return right if grad_output.any() else (np.full_like(right.input, 7), *right[1:])


class OneBufferForAllCalls(Right):
    buffers: ClassVar = {}

    def backward(self, grad_output):
        given = []
        for name, array in zip("iwb", super().backward(grad_output), strict=True):
            buffer = self.buffers.setdefault((name, array.shape), np.empty_like(array))
            buffer[...] = array
            given.append(buffer)
        return tuple(given)


class KeptOnAStack(Right):
    """Takes what the last forward pass of any object has saved."""

    stack: ClassVar = []

    def forward(self, x, weight, bias, layer):
        output = super().forward(x, weight, bias, layer)
        self.stack.append((x, weight, layer))
        return output

    def backward(self, grad_output):
        if self.stack:
            self.x, self.weight, self.layer = self.stack.pop()
        return super().backward(grad_output)


class PackedOnce(Right):
    """Keeps the weights of the first call."""

    packed = None

    def backward(self, grad_output):
        if self.packed is None:
            self.packed = self.weight.copy()
        return UNFOLD.backward(self.layer, self.x, self.packed, grad_output)


SINGLE = replace(LAYER, dtype="float32")

WRONG = {
    "operands rounded to TF32": (with_operands(lambda *at: [rounded(a, 10) for a in at]), SINGLE, "real"),
    "operands rounded to bfloat16": (with_operands(lambda *at: [rounded(a, 7) for a in at]), SINGLE, "real"),
    "grad_output truncated": (with_operands(lambda x, w, g: (x, w, np.trunc(g))), LAYER, "real"),
    "grad_output as int8": (with_operands(lambda x, w, g: (x, w, g.astype(np.int8).astype(g.dtype))), LAYER, "real"),
    "stops at a zero": (StopsAtZero, LAYER, "sparse"),
    "dirty where grad_output is 0": (DirtyWhereEmpty, LAYER, "zero-grad-output"),
    "clipped at 0 where no weight is negative": (
        with_operands(lambda x, w, g: (x, w + (w > 0).all(), g)), LAYER, "one-sign",
    ),
    "clipped": (with_operands(lambda x, w, g: (x, w, g.clip(-100, 100))), LAYER, "large"),
    "saved on the class": (SavedOnTheClass, LAYER, "interleaved"),
    "kept on a stack": (KeptOnAStack, LAYER, "interleaved"),
    "wrong behind a ReLU": (
        with_operands(lambda x, w, g: (x, w + ((x >= 0).all() and (x == 0).any() and (g < 0).any()), g)),
        LAYER,
        "sparse",
    ),
    "one buffer for all calls": (OneBufferForAllCalls, LAYER, "interleaved"),
    "weights packed once": (PackedOnce, LAYER, "same-memory"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_under_one_condition_only_is_caught_there(name):
    target, layer, condition = WRONG[name]
    assert condition in failing(target, layer, checks=["forward", "exact", "conditions"])


def test_the_table_above_has_every_condition():
    assert set(CONDITIONS) == set(conditions.RUNS)
    assert {condition for _, _, condition in WRONG.values()} == set(CONDITIONS)


@pytest.mark.parametrize("layer", [LAYER, SINGLE, replace(LAYER, bias=False), replace(LAYER, batch=1)])
def test_right_code_passes_under_all_of_them(layer):
    report = verify(layer, target=Right)
    assert report.passed, report
    found = results(report, check="conditions")
    gradients = {"input", "weight", "bias"} if layer.bias else {"input", "weight"}
    assert {(r.condition, r.gradient) for r in found} == {
        (condition, gradient) for condition in CONDITIONS for gradient in gradients
    }
    assert all(r.entries_checked == r.entries and r.status == "passed" for r in found)


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
        assert set(others) == set(CONDITIONS) - {"real"}
        assert all("budget" in message for message in others.values())

    def test_where_no_integers_are_exact(self, monkeypatch):
        layer = Layer(1, 1, 1, input=(16, 17), batch=1, dtype="float32")
        monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 200))
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


class TestData:
    def test_short_sums_keep_an_entry_of_every_filter_and_few_of_each(self):
        layer = Layer(3, 5, 2, input=(40, 40), batch=2)
        thin = short_sums(layer, real_operands(layer), 64)
        per_filter = np.count_nonzero(thin.grad_output, axis=(0, 2, 3))
        assert (per_filter >= 1).all()
        assert per_filter.max() < 3 * 64
        assert short_sums(LAYER, real_operands(LAYER), 1e9).grad_output.all()

    def test_zeros_are_as_many_as_asked_for_and_one_sample_has_nothing_else(self):
        layer = Layer(8, 8, 3, input=(12, 12), batch=4)
        at = with_zeros(layer, integer_operands(layer), 0.4)
        assert 0.3 < np.mean(at.x == 0) < 0.5
        assert [bool(sample.any()) for sample in at.grad_output].count(False) == 1

    def test_further_draws_are_other_numbers_of_the_same_kind(self):
        first, second = integer_operands(LAYER), integer_operands(LAYER, 1)
        assert not np.array_equal(first.x, second.x)
        assert {*np.unique(second.x)} == {-3, -2, -1, 1, 2, 3}
        assert not np.array_equal(real_operands(LAYER).x, real_operands(LAYER, 1).x)

    def test_large_integers_keep_every_sum_exact(self):
        at = integer_operands(LAYER, 4, 2**40)
        sizes = at.map(np.abs)
        for total in (
            UNFOLD.forward(LAYER, sizes.x, sizes.weight, sizes.bias),
            *UNFOLD.backward(LAYER, sizes.x, sizes.weight, sizes.grad_output),
        ):
            assert 2**20 < total.max() <= 2**53


def ran(condition, code=None, layer=LAYER):
    """The data that the code was run on, in the order in which they count, and what came of each."""
    code = code or Scripted()
    return conditions.RUNS[condition](expected(layer, code), code)


def data(condition, code=None, layer=LAYER):
    return [at for at, _ in ran(condition, code, layer)]


def arrays(at):
    return {"x": at.x, "weight": at.weight, "bias": at.bias, "grad_output": at.grad_output}


def same(one, other):
    return all(np.array_equal(array, arrays(other)[name]) for name, array in arrays(one).items())


def rounding_code():
    code = Scripted()
    code.exact = False
    return code


class TestWhatIsRun:
    @pytest.mark.parametrize("condition", CONDITIONS)
    @pytest.mark.parametrize("code", [Scripted, rounding_code])
    def test_what_right_code_gives_is_right_for_the_data_that_it_was_given(self, condition, code):
        found = ran(condition, code())
        if not isinstance(found, str):
            for at, seen in found:
                for name, array in right_arrays(at).items():
                    assert np.array_equal(seen.arrays[name], array)

    @pytest.mark.parametrize("code", [Scripted, rounding_code])
    def test_no_two_runs_are_on_the_same_data(self, code):
        every = [at for condition in CONDITIONS if not isinstance(ran(condition, code()), str)
                 for at in data(condition, code())]  # fmt: skip
        every += [integer_operands(LAYER), integer_operands(LAYER, 7)]
        for number, at in enumerate(every):
            for other in every[:number]:
                assert not np.array_equal(at.x, other.x) or not np.array_equal(at.grad_output, other.grad_output)

    def test_real_numbers_with_short_sums(self):
        (at,) = data("real")
        assert same(at, short_sums(LAYER, real_operands(LAYER), SHORT))
        assert same(data("real", layer=SINGLE)[0], short_sums(SINGLE, real_operands(SINGLE), SHORT))

    def test_and_with_whole_ones_where_no_integers_were_compared(self):
        short, whole = data("real", rounding_code())
        assert same(short, short_sums(LAYER, real_operands(LAYER), 1))
        assert same(whole, real_operands(LAYER))
        one = Layer(1, 1, 1, input=(1,), batch=1)
        assert [same(at, real_operands(one)) for at in data("real", rounding_code(), one)] == [True]

    def test_sparse_ones_and_such_as_a_relu_leaves(self):
        thin, relu = data("sparse", layer=replace(LAYER, batch=9))
        for array in arrays(thin).values():
            assert 0.2 < np.mean(array == 0) < 0.6
        assert not all(sample.any() for sample in thin.grad_output)
        assert (relu.x >= 0).all()
        assert 0.4 < np.mean(relu.x == 0) < 0.6
        for array in (relu.weight, relu.grad_output):
            assert array.all()
            assert (array < 0).any()

    def test_a_grad_output_of_zeros_only(self):
        (at,) = data("zero-grad-output")
        assert not at.grad_output.any()
        assert at.grad_output.dtype == LAYER.dtype
        assert at.x.all()
        assert at.weight.all()

    def test_one_sign(self):
        positive, negative, behind_relu = data("one-sign")
        assert all((array > 0).all() for array in arrays(positive).values())
        assert all((array < 0).all() for array in arrays(negative).values())
        assert (behind_relu.x > 0).all()
        assert all((array > 0).any() and (array < 0).any() for array in (behind_relu.weight, behind_relu.grad_output))

    def test_large_integers(self):
        (at,) = data("large")
        assert same(at, integer_operands(LAYER, 4, 2**40))
        assert np.abs(at.x).max() > 2**20
        (single,) = data("large", layer=SINGLE)
        assert np.abs(single.x).max() > 100

    def test_are_left_out_with_the_reason(self, monkeypatch):
        assert ran("large", rounding_code()) == "the target rounds on integers too"
        # As large as they ever are where nothing larger is exact: 3, with sums of 96 terms.
        monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 96 * 9))
        assert "no larger integers" in ran("large")
        assert LAYER.dtype in ran("large")
        monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 96 * 16))
        assert np.abs(data("large")[0].x).max() == 4
        monkeypatch.setattr(Dtype, "exact_limit", property(lambda dtype: 2))
        assert "no larger integers" in ran("large")

    def test_three_calls_whose_backward_passes_come_in_an_order_of_their_own(self):
        log = []

        class Logged(ScriptedRun):
            def __init__(self, of, layer, operands):
                super().__init__(of, layer, operands)
                self.number = len(log)
                log.append(("forward", self.number))

            def backward(self):
                log.append(("backward", self.number))
                return super().backward()

        code = Scripted()
        code.run = lambda layer, at: Logged(code, layer, at)
        assert len(data("interleaved", code)) == 3
        backward = [number for kind, number in log[3:] if kind == "backward"]
        assert [kind for kind, _ in log[:3]] == ["forward"] * 3
        assert sorted(backward) == [0, 1, 2]
        assert backward not in ([0, 1, 2], [2, 1, 0])

    def test_one_object_with_other_data(self):
        code = Scripted()
        ((at, seen),) = ran("same-memory", code)
        assert code.runs == 1
        assert np.array_equal(seen.arrays["weight"], right_arrays(at)["weight"])

        class Once(ScriptedRun):
            def again(self, operands):
                raise RuntimeError("once")

        code.run = lambda layer, at: Once(code, layer, at)
        assert ran("same-memory", code) == "the target takes one forward pass per object"


#: With more work for each entry than most.
WIDE = Layer(16, 16, 5, padding=2, input=(16, 16))


class TestResults:
    """What is made of the runs; those of one condition are judged together."""

    def check(self, code, layer=LAYER, budget=np.inf, **options):
        return conditions.check(expected(layer, code, **options), code, budget)

    def test_one_of_every_gradient_under_every_condition(self):
        found = self.check(Scripted())
        assert [(r.condition, r.gradient) for r in found] == [(c, g) for c in conditions.RUNS for g in GRADIENTS]
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
            runs = conditions.RUNS["one-sign"](expected(LAYER, code), code)
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
        assert [r.condition for r in wrong_output] == list(conditions.RUNS)
        assert {r.status for r in wrong_output} == {"failed"}
        assert {r.status for r in found if r.gradient != "output"} == {"passed"}

    def test_an_output_of_another_shape_leaves_the_gradients_undecided(self):
        found = self.check(Scripted(changing("output", lambda array: array[:1])))
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
        assert {r.status for r in found if r.gradient == "weight"} == {"failed"}
        assert all("None" in r.message and r.check == "conditions" for r in found if r.gradient == "weight")
        found = self.check(Scripted(changing("output", raising(NotImplementedError("no such data")))))
        # Of the object's second call it is no failure, but there the first refuses already.
        assert {(r.status, r.message, r.implementation) for r in found} == {("error", "no such data", "scripted")}
        assert {r.gradient for r in found} == {"output", *GRADIENTS}

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
            (WIDE, 60 * WIDE.multiply_adds),
            (LAYER, 60 * 100 * (3 * 4 * 7 * 8 + 6 * 2 * 2 * 3 + 3 * 6 * 4 * 8)),
        ],
    )
    def test_beyond_the_budget_only_real_numbers_are_tried(self, layer, work):
        for budget, wanted in ((work, {"passed"}), (work - 1, {"passed", "skipped"})):
            found = self.check(Scripted(), layer, budget)
            assert {r.status for r in found} == wanted
        skipped = [r for r in found if r.status == "skipped"]
        assert {r.condition for r in skipped} == set(CONDITIONS) - {"real"}
        assert all("conditions" in r.message.split() and "budget" in r.message for r in skipped)
        assert {r.gradient for r in skipped} == set(GRADIENTS)

    def test_the_gate_decides_under_them_too(self):
        code = Scripted(changing("weight", lambda array: array * (1 + 1e-6)))
        assert all(r.acceptable for r in self.check(code, max_error=1e-5))
        bad = {r.condition for r in self.check(code, max_error=1e-8) if not r.acceptable}
        assert bad == set(CONDITIONS) - {"zero-grad-output"}


class TestNames:
    FAILED = GradientResult("mine", "weight", "conditions", "failed", condition="sparse")

    def test_a_failure_without_a_known_mistake_is_named_by_its_condition(self):
        (diagnosis,) = conditions.named(self.FAILED).diagnosis
        assert diagnosis == CONDITIONS["sparse"].diagnosis()
        assert replace(conditions.named(self.FAILED), diagnosis=()) == self.FAILED

    def test_nothing_else_is(self):
        known = replace(self.FAILED, diagnosis=(CONDITIONS["large"].diagnosis(),))
        for result in (
            known, replace(self.FAILED, condition=None), replace(self.FAILED, status="passed"),
            replace(self.FAILED, status="error"),
        ):  # fmt: skip
            assert conditions.named(result) == result
