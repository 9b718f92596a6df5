"""What memory beyond the arguments makes wrong is called that, whatever lies there; a twin that reads none is not."""

from dataclasses import replace
from itertools import count
from math import inf, nan

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.checks import behaviour, conditions
from convcheck.checks.beyond import with_reading_beyond
from convcheck.checks.exact import check
from convcheck.checks.observed import Fault, Observed
from convcheck.mistakes.conditions import CONDITIONS
from convcheck.mistakes.resemblance import RESEMBLANCES
from convcheck.reports.results import OUT_OF_BOUNDS, GradientResult
from tests.one_condition import around
from tests.parts import LAYER, expected, target
from tests.targets_for_tests import Right, Unflipped

#: What ordinary memory holds behind an array, call after call.
CONTENTS = {
    "other numbers at every call": lambda: map(float, count(1)),
    "NaN": lambda: iter([nan] * 10_000),
    "the same number": lambda: iter([5.0] * 10_000),
}

#: What a result that is wrong so is called where nothing is read.
LOOKS = {"other numbers at every call": "nondeterministic", "NaN": "non-finite", "the same number": None}


def reading(contents, pass_="backward", *, reads=True):
    """Code that adds what lies behind its weight to the last entry of the output, or of dL/dX."""

    class Reads(Right):
        memory = CONTENTS[contents]()

        def behind(self):
            there = around(self.weight)[-1:] if reads else np.zeros(0)
            return there[0] if there.size else next(self.memory)

        def forward(self, x, weight, bias, layer):
            output = super().forward(x, weight, bias, layer)
            if pass_ == "forward":
                output.flat[-1] += self.behind()
            return output

        def backward(self, grad_output):
            right = super().backward(grad_output)
            if pass_ == "backward":
                right.input.flat[-1] += self.behind()
            return right

    return Reads


def failed(code, layer=LAYER, **options):
    report = verify(layer, target={"call": code, "supports": ["groups"]}, **options)
    assert not report.passed
    return report, [r for r in report.layers[0].results if r.status == "failed"]


def names(result):
    return [diagnosis.name for diagnosis in result.diagnosis]


@pytest.mark.parametrize(("pass_", "array"), [("forward", "output"), ("backward", "input")])
@pytest.mark.parametrize("contents", CONTENTS)
class TestWhatIsReadBeyondTheArguments:
    def test_is_told_apart_from_what_it_looks_like(self, contents, pass_, array):
        _, found = failed(reading(contents, pass_), shrink=False)
        of_it = [result for result in found if result.gradient == array]
        assert of_it
        for result in of_it:
            assert names(result) == [OUT_OF_BOUNDS]
            assert result.condition is None
            assert not result.single_pass
            size = np.prod(getattr(LAYER, f"{array}_shape"))
            label = "output" if array == "output" else f"grad_{array}"
            assert f"with NaN around them, 1 of {size} entries of {label} are not finite" in result.message
            assert "with zeros all are right" in result.message

    def test_has_a_twin_that_reads_nothing(self, contents, pass_, array):
        _, found = failed(reading(contents, pass_, reads=False), shrink=False)
        told = {name for result in found for name in names(result)}
        assert OUT_OF_BOUNDS not in told
        assert LOOKS[contents] in told | {None}

    def test_is_shrunk_between_bands_of_nan(self, contents, pass_, array):
        report, _ = failed(reading(contents, pass_))
        case = report.layers[0].smallest
        assert (case.gradient, case.condition) == (array, OUT_OF_BOUNDS)
        assert np.isnan(case.analytic)
        assert case.numeric == round(case.numeric)
        small = Layer(**case.layer)
        assert (small.channels, small.filters, small.kernel, small.batch) == (1, 1, (1,), 1)
        assert "smallest" in str(report)
        assert "under the condition out-of-bounds" in str(report)


def test_code_is_run_twice_more_where_it_is_wrong_for_no_known_mistake_alone():
    class Counts(Unflipped):
        passes = 0

        def forward(self, *arguments):
            type(self).passes += 1
            return super().forward(*arguments)

    code = target(Counts)
    asked = expected(LAYER, code)
    seen = Observed.of(code, LAYER, asked.operands, twice=True)
    plain = [check(asked, seen, "input", inf)]
    assert plain[0].status == "failed"
    for diagnosed, more in (((), 2), ((CONDITIONS["sparse"].diagnosis(),), 0)):
        marked = [replace(plain[0], diagnosis=diagnosed)]
        before = Counts.passes
        assert with_reading_beyond(marked, plain, asked, seen) == marked
        assert Counts.passes - before == more


def test_nothing_is_tried_of_code_that_raises_passes_or_cannot_be_called_so(monkeypatch):
    code = target(reading("the same number"))
    asked = expected(LAYER, code)
    seen = Observed.of(code, LAYER, asked.operands, twice=True)
    plain = [check(asked, seen, "input", inf)]
    assert names(with_reading_beyond(plain, plain, asked, seen)[0]) == [OUT_OF_BOUNDS]
    right = [replace(plain[0], status="passed")]
    assert with_reading_beyond(right, right, asked, seen) == right
    raised = replace(seen, faults={"bias": Fault("error", "raised")})
    assert with_reading_beyond(plain, plain, asked, raised) == plain
    monkeypatch.setattr(code, "inapplicable", {OUT_OF_BOUNDS})
    assert with_reading_beyond(plain, plain, asked, seen) == plain


def test_what_only_the_second_call_reads_has_the_numbers_of_the_calls():
    """Nothing lies there at first, so that what is compared is right."""

    class Later(reading("the same number")):
        memory = iter([0.0, *[5.0] * 1000])

    code = target(Later)
    asked = expected(LAYER, code)
    seen = Observed.of(code, LAYER, asked.operands, twice=True)
    plain = [check(asked, seen, "input", inf)]
    assert plain[0].passed
    looks = behaviour.with_behaviour(plain, asked, seen)
    assert names(looks[0]) == ["nondeterministic"]
    [result] = with_reading_beyond(looks, plain, asked, seen)
    assert (result.status, names(result), result.max_abs_error) == ("failed", [OUT_OF_BOUNDS], 5)
    assert "a race" not in result.message


class ByChance(Right):
    """What it reads is 0 but where arguments lie in another order, in which code finds other memory."""

    everywhere = False

    def backward(self, grad_output):
        right = super().backward(grad_output)
        there = around(self.weight)[-1:]
        chance = 0.0 if self.x.flags.c_contiguous else nan
        right.input.flat[-1] += there[0] if there.size and not self.everywhere else chance
        return right


class NeverAgain(ByChance):
    """NaN for good from the first time on, whatever lies where."""

    spoiled = False

    def backward(self, grad_output):
        right = super().backward(grad_output)
        type(self).spoiled |= bool(np.isnan(right.input).any())
        right.input[...] = nan if self.spoiled else right.input
        return right


def test_other_conditions_do_not_explain_what_is_so_by_chance():
    report, found = failed(ByChance)
    assert {"transposed-memory", OUT_OF_BOUNDS} <= {result.condition for result in found}
    assert {name for result in found for name in names(result)} == {OUT_OF_BOUNDS}
    assert report.layers[0].smallest.condition == OUT_OF_BOUNDS
    assert Layer(**report.layers[0].smallest.layer).channels == 1


def test_what_it_resembles_by_chance_does_not_explain_it_either():
    found = GradientResult("mine", "input", "conditions", "failed", condition=OUT_OF_BOUNDS)
    looks = replace(found, diagnosis=(RESEMBLANCES["partly-right"].diagnosis(),))
    other = replace(looks, gradient="weight", condition="sparse")
    known = replace(found, diagnosis=(CONDITIONS["large"].diagnosis(),))
    code = target(reading("the same number"))
    marked = conditions.named([looks, other, known], expected(LAYER, code), code)
    assert [names(result) for result in marked] == [[OUT_OF_BOUNDS], ["partly-right"], ["large"]]


@pytest.mark.parametrize(("code", "everywhere"), [(NeverAgain, False), (ByChance, True)])
def test_a_condition_that_is_the_cause_keeps_its_name(code, everywhere, monkeypatch):
    monkeypatch.setattr(code, "everywhere", everywhere)
    _, found = failed(code, shrink=False)
    assert all(names(result)[0] in (result.condition, "non-finite") for result in found)
    assert "transposed-memory" in {result.condition for result in found}


@pytest.mark.parametrize("reads", [True, False])
def test_what_is_read_in_other_forward_passes_alone_makes_right_gradients_look_wrong(reads):
    """It is 0 at first, and another number by the time that the forward pass is differenced."""

    class Later(reading("the same number", "forward", reads=reads)):
        memory = iter([0.0] * 2 + [nan] * 1000)

    code = target(Later)
    asked = expected(LAYER, code)
    seen = Observed.of(code, LAYER, asked.operands, twice=True)
    assert np.isfinite(asked.start).all()
    plain = [check(asked, seen, "weight", inf)]
    assert plain[0].status == "failed"
    [result] = with_reading_beyond(plain, plain, asked, seen)
    assert names(result) == [OUT_OF_BOUNDS] * reads
    assert ("entries of output" in (result.message or "")) == reads
    # One that is wrong itself is not excused.
    spoiled = replace(seen, arrays={**seen.arrays, "weight": seen.arrays["weight"] + 1})
    assert with_reading_beyond(plain, plain, asked, spoiled) == plain
