"""What is checked on a layer, of which code, and what stops it."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from convcheck import Layer
from convcheck.checks.check_layer import Demand, affordable_evaluations, check_layer, foreseen_work, steps_of
from convcheck.checks.plan import DEFAULT_CHECKS, TARGET_CALLS, plan
from convcheck.mistakes.conditions import CONDITIONS
from convcheck.targets import builtin
from tests.parts import LAYER, Scripted, ScriptedRun, changing, raising, target
from tests.targets_for_tests import TrueConvolution, wrong

#: With remainders and a bias, and as few entries as can be.
SMALL = Layer(2, 2, 2, stride=2, input=(3, 5), batch=2)

RIGHT = Scripted()


def demand(*checks, budget=inf, max_error=None):
    return Demand(checks or DEFAULT_CHECKS, budget, max_error)


def run(code, *checks, layer=SMALL, **options):
    return check_layer(layer, [code], demand(*checks, **options))


def kinds(results):
    return [(r.gradient, r.check, r.status) for r in results if r.condition is None]


class TestAffordable:
    def test_is_as_much_work_as_the_budget_has(self):
        budget = 10.0 * LAYER.multiply_adds
        assert affordable_evaluations(LAYER, demand(budget=budget), builtin("unfold")) == 10
        assert affordable_evaluations(LAYER, demand(budget=budget), RIGHT) == 10

    def test_and_of_a_target_only_so_many_calls(self):
        budget = (TARGET_CALLS + 5.0) * LAYER.multiply_adds
        assert affordable_evaluations(LAYER, demand(budget=budget), builtin("unfold")) == TARGET_CALLS + 5
        assert affordable_evaluations(LAYER, demand(budget=budget), RIGHT) == TARGET_CALLS

    def test_for_completeness_there_is_no_end(self):
        assert affordable_evaluations(LAYER, demand(), builtin("unfold")) == inf
        assert affordable_evaluations(LAYER, demand(), RIGHT) == inf

    @pytest.mark.parametrize("budget", [inf, 8.0 * LAYER.multiply_adds])
    def test_what_is_foreseen_is_what_is_planned(self, budget):
        affordable = affordable_evaluations(LAYER, demand(budget=budget), RIGHT)
        planned = sum(step.evaluations for step in plan(LAYER, DEFAULT_CHECKS, affordable))
        assert sum(step.evaluations for step in steps_of(LAYER, demand(budget=budget), [RIGHT])) == planned > 0


class TestBuiltIn:
    PAIR = (builtin("unfold"), builtin("dilate_flip"))

    def test_formulations_share_their_evaluations(self):
        told = []
        results = check_layer(SMALL, self.PAIR, demand(), told.append)
        assert sum(told) == foreseen_work(SMALL, demand(), self.PAIR)
        assert {r.implementation for r in results} == {"unfold", "dilate_flip"}
        assert kinds(results[: len(results) // 2]) == kinds(results[len(results) // 2 :]) == [
            ("output", "forward", "passed"),
            *((g, c, "passed") for g in ("input", "weight", "bias") for c in ("central", "exact")),
        ]  # fmt: skip

    def test_what_goes_wrong_in_one_of_them_is_no_result_but_a_bug(self, monkeypatch):
        code = builtin("unfold")
        monkeypatch.setattr(
            "convcheck.checks.expected.Expected.central", lambda self, gradient: raising(ZeroDivisionError())(None)
        )
        with pytest.raises(ZeroDivisionError):
            run(code)

    def test_no_conditions_are_tried_on_them(self):
        assert not [r for r in run(self.PAIR[0]) if r.check == "conditions"]

    def test_the_gate_is_theirs_too(self):
        code = builtin("unfold")
        backward = code.backward
        code.backward = lambda layer, at: backward(layer, at)._replace(bias=backward(layer, at).bias * (1 + 1e-6))
        assert all(r.acceptable for r in run(code, "exact", max_error=1e-3))
        assert not all(r.acceptable for r in run(code, "exact", max_error=1e-9))

    def test_a_wrong_one_is_named(self):
        code = builtin("unfold")
        backward = code.backward
        code.backward = lambda layer, at: backward(layer, at)._replace(bias=-backward(layer, at).bias)
        bad = [r for r in run(code, "forward", "exact") if not r.acceptable]
        assert [(r.gradient, [d.name for d in r.diagnosis]) for r in bad] == [("bias", ["sign-flipped"])]


class TestTarget:
    def test_right_code_passes_all_that_is_asked_for(self):
        told = []
        results = check_layer(SMALL, [RIGHT], demand(), told.append)
        assert all(r.passed for r in results)
        assert kinds(results) == [
            ("output", "forward", "passed"),
            *((g, c, "passed") for g in ("input", "weight", "bias") for c in ("central", "exact")),
        ]
        assert {r.condition for r in results} == {None, *CONDITIONS}
        assert {r.implementation for r in results} == {"scripted"}
        assert sum(told) == foreseen_work(SMALL, demand(), [RIGHT])

    def test_several_are_checked_one_after_the_other(self):
        other = Scripted()
        other.name = "other"
        results = check_layer(SMALL, [RIGHT, other], demand("forward"))
        assert [r.implementation for r in results] == ["scripted", "other"]

    @pytest.mark.parametrize("check", ["central", "exact", "projected"])
    def test_nothing_else_is_checked(self, check):
        assert kinds(run(RIGHT, check)) == [(g, check, "passed") for g in ("input", "weight", "bias")]
        assert not [r for r in run(RIGHT, check) if r.condition]

    def test_real_data_are_run_only_where_a_check_needs_them(self):
        runs = {}
        for checks in (["forward", "exact"], ["forward", "central"], ["forward"]):
            code = Scripted()
            run(code, *checks)
            runs[checks[-1]] = code.runs
        assert runs == {"exact": 1, "central": 2, "forward": 1}
        code = Scripted()
        # Where they cost too much, there are none to run.
        run(code, "forward", "central", budget=SMALL.multiply_adds * 1.5)
        assert code.runs == 1

    def test_is_told_that_another_layer_begins(self):
        began = []
        code = Scripted()
        code.begin = lambda: began.append(True)
        run(code)
        assert began == [True]

    def test_the_gate_decides(self):
        code = target(wrong("weight", lambda a: a * (1 + 1e-6)))
        assert all(r.acceptable for r in run(code, "forward", "exact", max_error=1e-3))
        assert not all(r.acceptable for r in run(code, "forward", "exact", max_error=1e-9))
        without = run(_unbiased(Scripted(changing("weight", lambda a: a * (1 + 1e-6)))), "exact", max_error=1e-3)
        assert all(r.acceptable for r in without)


class TestRefusal:
    WORDS = "it takes no such layer"
    ALL = (
        ("output", "forward", "skipped"),
        *((g, c, "skipped") for g in ("input", "weight", "bias") for c in ("central", "exact", "conditions")),
    )

    def test_before_anything_runs(self):
        code = Scripted()
        code.unsupported = lambda layer: self.WORDS if layer == SMALL else None
        results = run(code)
        assert tuple(kinds(results)) == self.ALL
        assert {(r.message, r.implementation) for r in results} == {(self.WORDS, "scripted")}
        assert code.runs == 0

    def test_by_the_forward_pass(self):
        results = run(Scripted(changing("output", raising(NotImplementedError(self.WORDS)))))
        assert tuple(kinds(results)) == self.ALL
        assert {(r.message, r.implementation) for r in results} == {(self.WORDS, "scripted")}

    def test_by_the_forward_pass_on_real_data(self):
        def of_reals(array):
            if (np.rint(array) != array).any():
                raise NotImplementedError(TestRefusal.WORDS)
            return array

        results = run(Scripted(changing("output", of_reals)))
        assert tuple(kinds(results)) == self.ALL
        assert {(r.message, r.implementation) for r in results} == {(self.WORDS, "scripted")}


def _unbiased(code):
    code.takes_bias = lambda: False
    return code


class TestWithoutABias:
    def test_the_layer_is_checked_without_one_and_says_so(self):
        seen = []

        class Sees(ScriptedRun):
            def __init__(self, of, layer, operands):
                seen.append((layer.bias, operands.bias))
                super().__init__(of, layer, operands)

        code = _unbiased(Scripted())
        code.run = lambda layer, at, how=None: Sees(code, layer, at)
        told = []
        results = check_layer(SMALL, [code], demand("forward", "central", "exact"), told.append)
        assert kinds(results) == [
            ("output", "forward", "passed"),
            *((g, c, "passed") for g in ("input", "weight") for c in ("central", "exact")),
            ("bias", "exact", "skipped"),
        ]
        assert set(seen) == {(False, None)}
        assert sum(told) > 0
        assert (results[-1].implementation, results[-1].waived, results[-1].entries) == ("scripted", True, 2)
        assert results[-1].message.startswith("the target takes no bias")
        assert results[-1].message.endswith("without one")

    def test_the_kind_is_that_of_a_check_and_not_of_a_condition(self):
        *_, last = run(_unbiased(Scripted()))
        assert (last.gradient, last.check, last.status) == ("bias", "exact", "skipped")

    def test_a_layer_without_one_is_checked_as_it_is(self):
        results = run(_unbiased(Scripted()), "exact", layer=replace(SMALL, bias=False))
        assert kinds(results) == [("input", "exact", "passed"), ("weight", "exact", "passed")]

    def test_where_no_gradient_was_checked_nothing_is_said_of_the_bias(self):
        assert kinds(run(_unbiased(Scripted()), "forward")) == [("output", "forward", "passed")]


class TestFailures:
    def test_a_wrong_forward_pass_fails_although_it_was_not_asked_for(self):
        results = run(target(TrueConvolution), "exact")
        assert [(g, c, s) for g, c, s in kinds(results) if s == "failed"] == [("output", "forward", "failed")]
        assert [d.name for d in results[0].diagnosis] == ["forward-is-convolution"]
        assert not all(r.acceptable for r in results)

    def test_a_wrong_gradient_is_named_and_no_condition_is_tried(self):
        results = run(Scripted(changing("weight", np.negative)))
        bad = [r for r in results if not r.acceptable]
        assert {(r.gradient, r.status) for r in bad} == {("weight", "failed")}
        assert all([d.name for d in r.diagnosis] == ["sign-flipped"] for r in bad)
        assert not [r for r in results if r.check == "conditions"]

    def test_behaviour_counts(self):
        bad = [r for r in run(Scripted(written=("x",)), "forward", "exact") if not r.acceptable]
        assert [[d.name for d in r.diagnosis] for r in bad] == [["inputs-modified"]]

    def test_a_second_backward_pass_counts(self):
        given = {}

        def adds(name, array):
            given[name] = given.get(name, 0) + (name == "weight")
            return array * max(given[name], 1)

        bad = [r for r in run(Scripted(adds), "forward", "exact") if not r.acceptable]
        assert [(r.gradient, [d.name for d in r.diagnosis]) for r in bad] == [("weight", ["stale-accumulation"])]

    def test_another_forward_pass_is_differenced_entry_by_entry_where_that_is_affordable(self):
        entries = 2 * 2 * 2 * 2
        for affordable, check in ((entries, "exact"), (entries - 1, "projected")):
            results = run(target(TrueConvolution), "exact", budget=float(affordable * SMALL.multiply_adds))
            assert [r.check for r in results if r.gradient == "weight"] == [check]

    def test_what_is_wrong_under_a_condition_alone_is_named_by_it(self):
        def negated_if_large(array):
            return array if np.abs(array).max() < 2**20 else array + 1

        bad = [r for r in run(Scripted(changing("weight", negated_if_large))) if not r.acceptable]
        assert {(r.gradient, r.condition, r.check) for r in bad} == {("weight", "large", "conditions")}
        assert [[d.name for d in r.diagnosis] for r in bad] == [["large"]]

    def test_the_gradient_of_no_output_is_inconclusive(self):
        results = run(Scripted(changing("output", lambda a: a[:1])), "exact", "central", "projected")
        assert {(r.check, r.status) for r in results if r.gradient != "output"} == {
            (check, "inconclusive") for check in ("exact", "central", "projected")
        }
        messages = {r.message for r in results if r.gradient != "output"}
        assert all(text.startswith("the forward pass") and text.endswith("difference") for text in messages)
        assert {r.implementation for r in results} == {"scripted"}

    def test_what_raises_everywhere_is_an_error_of_every_array(self):
        results = run(Scripted(changing("output", raising(ValueError("no")))), "forward", "exact")
        assert kinds(results) == [(g, "forward" if g == "output" else "exact", "error") for g in
                                  ("output", "input", "weight", "bias")]  # fmt: skip

    @pytest.mark.parametrize(("check", "last"), [("exact", "weight"), ("central", "weight"), ("projected", "weight")])
    def test_what_raises_at_a_later_call_is_an_error_with_its_traceback(self, check, last):
        code = Scripted()

        def forward(layer, x, weight, bias):
            if (weight != start[code.kind]).any():
                raise RuntimeError("tired")
            return Scripted.forward(code, layer, x, weight, bias)

        from convcheck.layer.data import integer_operands, real_operands

        start = {"integers": integer_operands(SMALL).weight, "reals": real_operands(SMALL).weight}
        code.kind = "reals" if check == "central" else "integers"
        code.forward = forward
        if check == "central":
            # The differences of integers start at other weights.
            code.forward = lambda layer, x, w, b: (
                Scripted.forward(code, layer, x, w, b) if (w == start["integers"]).all() else forward(layer, x, w, b)
            )
        results = {r.gradient: r for r in run(code, check)}
        assert [results[g].status for g in ("input", "weight", "bias")] == ["passed", "error", "passed"]
        assert (results[last].check, results[last].implementation) == (check, "scripted")
        assert "RuntimeError: tired" in results[last].message


class TestSkipped:
    def test_what_the_plan_leaves_out(self):
        skipped = [r for r in run(RIGHT, "central", budget=1.0) if r.status == "skipped"]
        assert [(r.gradient, r.check, r.waived) for r in skipped] == [
            (g, "central", False) for g in ("input", "weight", "bias")
        ]
        assert all("budget" in r.message and r.implementation == "scripted" for r in skipped)
        instead = [r for r in run(RIGHT, "central", budget=1.0) if r.status != "skipped"]
        assert {(r.check, r.status) for r in instead} == {("projected", "passed")}
        assert all("budget" in r.message for r in instead)

    def test_a_gradient_that_the_target_does_not_give(self):
        code = Scripted(changing("weight", lambda array: None))
        code.absent = {"weight": "it gives none"}
        results = run(code)
        assert all(r.acceptable for r in results)
        absent = [r for r in results if r.gradient == "weight"]
        assert {(r.check, r.status, r.waived, r.message) for r in absent} == {
            (check, "skipped", True, "it gives none") for check in ("central", "exact")
        }
        assert all(r.passed for r in results if r.gradient != "weight")

    def test_exact_checks_of_code_that_rounds_by_design(self):
        code = Scripted()
        code.exact = False
        results = run(code, "forward", "central", "exact", "projected")
        assert {(r.check, r.status) for r in results} == {
            ("forward", "passed"), ("central", "passed"), ("exact", "skipped"), ("projected", "skipped"),
        }  # fmt: skip
        assert all("exact: false" in r.message for r in results if r.status == "skipped")
        assert {r.implementation for r in results} == {"scripted"}
        assert not any(r.waived for r in results)

    def test_another_forward_pass_within_the_gate_has_no_conditions(self):
        results = run(target(TrueConvolution))
        assert not [r for r in results if r.condition]
