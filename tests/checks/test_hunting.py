"""Hunts: what is wrong in one circumstance alone is found, confirmed and made small, and right code is not accused."""

import json
import re
import time
from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis.database import InMemoryExampleDatabase

from convcheck import Layer, UsageError, hunt, verification, verify
from convcheck.checks import conditions, hunting
from convcheck.checks.hunting import PLAIN, Hunter
from convcheck.verification import Interrupted
from tests.hunts import WRONG, Spoiled, as_expected, found, only, right_targets
from tests.parts import HUNTED
from tests.targets_for_tests import Fourier, Right, Unflipped

#: Found within a second; the others are a long search.
QUICK = ("last tile of 8", "remainder with groups", "kernel beyond the input", "batch above 16",
    "raises with groups and dilation", "empty grad_output", "Fortran order")  # fmt: skip


@pytest.fixture(autouse=True)
def database():
    """A database of failing examples that ends with the test."""
    before = settings.get_current_profile_name()
    kept = InMemoryExampleDatabase()
    settings.register_profile("hunts", settings.get_profile(before), database=kept)
    settings.load_profile("hunts")
    yield kept
    settings.load_profile(before)


def hunted(code, cases=600, **options):
    """A hunt that ends by the number of cases, whatever the machine."""
    return hunt(code, **{"seconds": 600, "cases": cases, **options})


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in WRONG]
)
def test_wrong_code_is_found_and_made_small(name):
    code, known = WRONG[name]
    report = hunted(code, cases=4000)
    assert not report.passed
    assert as_expected(found(report), known)
    # What is reported is what any verification says of that layer.
    assert not verify(report.layers[-1].layer, target=code, shrink=False).passed


@pytest.mark.parametrize("code", [Right, {"call": Fourier, "exact": False}])
def test_right_code_is_not_accused(code):
    report = hunted(code, cases=60)
    assert report.passed, report
    assert report.hunt.cases == 60
    assert [layer.name for layer in report.layers] == ["plainest"]


@pytest.mark.long
@pytest.mark.parametrize("name", right_targets())
def test_no_right_code_is_accused(name):
    report = hunt(right_targets()[name], seconds=20, seed=1)
    assert report.passed, report


class TestCodeThatIsCompiledForEveryShape:
    """A layer that is compiled is worth more than one case."""

    @pytest.fixture(autouse=True)
    def compiled(self, monkeypatch):
        monkeypatch.setattr(Hunter, "_compiled_anew", lambda hunter: True)

    def test_is_run_in_many_ways_on_each_layer(self):
        tried = hunted(Right, cases=150).hunt
        assert tried.cases == sum(condition.cases for condition in tried.conditions) == 150
        assert tried.layers <= 150 / 10

    def test_one_seed_gives_the_same_cases(self):
        first, again = (hunted(Right, cases=60, seed=3).hunt for _ in range(2))
        assert (first.sizes, first.conditions, first.layers) == (again.sizes, again.conditions, again.layers)

    @pytest.mark.parametrize("name", ["empty grad_output", "Fortran order", "remainder with groups"])
    def test_what_is_wrong_is_found_and_named(self, name):
        code, known = WRONG[name]
        report = hunted(code, cases=4000)
        assert as_expected(found(report), known)

    def test_a_layer_that_is_refused_is_so_once(self):
        tried = hunted(Picky, cases=600).hunt
        assert 0 < tried.refused < tried.layers


@pytest.mark.parametrize(("first", "each", "many"), [(1.0, 0.01, True), (1.0, 0.3, False), (0.02, 0.001, False)])
def test_that_code_is_compiled_is_seen_by_what_its_first_passes_cost(first, each, many, monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=time.monotonic, perf_counter=lambda: clock.now)
    monkeypatch.setattr(hunting, "time", clock)
    known = set()

    class Compiled(Right):
        def forward(self, x, weight, bias, layer):
            clock.now += each + first * (x.shape not in known)
            known.add(x.shape)
            return super().forward(x, weight, bias, layer)

    assert (hunted(Compiled, cases=80).hunt.layers <= 8) == many


def test_what_is_wrong_everywhere_needs_no_search():
    report = hunted(Unflipped)
    assert [layer.name for layer in report.layers] == ["plainest"]
    assert report.hunt.cases == 0
    assert report.layers[0].results[1].diagnosis[0].name == "kernel-not-flipped"


def test_one_seed_gives_the_same_cases_and_another_gives_others():
    def drawn(seed):
        layers = []

        class Notes(Right):
            def backward(self, grad_output):
                layers.append((self.layer, grad_output.tobytes()))
                return super().backward(grad_output)

        assert hunted(Notes, cases=40, seed=seed, shrink=False).passed
        return layers

    first = drawn(3)
    assert drawn(3) == first
    assert drawn(4) != first


def test_the_next_hunt_begins_with_what_the_last_one_found(database):
    code, known = WRONG["batch above 16"]
    first, again = hunted(code), hunted(code, seed=5)
    assert first.hunt.cases > 10
    assert again.hunt.cases <= 3
    assert as_expected(found(again), known)
    # Once the code is mended, what was kept is forgotten.
    [(key, kept)] = [(key, values) for key, values in database.data.items() if values]
    for other in (b"what is not ours", b"[" * 2**17, b"[{}, []]", b"[[], {}]", b"null", b'[{"channels": -1}, null]'):
        database.save(key, other)
    code.forward, wrong = Right.forward, code.forward
    try:
        assert hunted(code, cases=5).passed
    finally:
        code.forward = wrong
    assert not kept


def test_the_search_begins_with_the_given_layers_and_stays_near_them():
    odd = Layer(3, 5, (3, 2), stride=2, groups=1, input=(9, 8), dtype="float32")
    seen = []

    class Notes(Right):
        def forward(self, x, weight, bias, layer):
            seen.append(layer)
            return super().forward(x, weight, bias, layer)

    report = hunted(Notes, subject=odd, cases=60)
    assert report.passed
    alike = [layer for layer in seen if (layer.kernel, layer.stride, layer.dtype) == ((3, 2), (2, 2), "float32")]
    assert len({layer.spec()["batch"] for layer in alike}) > 1
    code = only(lambda at: (at.kernel, at.channels, at.filters) == ((3, 2), 3, 5))
    report = hunted(code, subject=[odd, "textbook"])
    assert report.hunt.cases <= 3
    assert not report.passed


class TwoAxesOnly(Spoiled):
    """Refuses what it does not take, and is wrong within what it takes."""

    def forward(self, x, weight, bias, layer):
        if len(layer.input) != 2 or layer.groups > 1:
            raise ValueError("two axes, one group")
        if layer.batch == 3 and layer.stride != (1, 1):
            raise ValueError("no strides for three")
        return super().forward(x, weight, bias, layer)

    def meets(self, grad_output):
        return self.layer.channels > 16


class Picky(TwoAxesOnly):
    def meets(self, grad_output):
        return False


def test_a_hunt_stays_within_what_the_code_takes():
    report = hunted(TwoAxesOnly)
    case = found(report)
    assert case.layer["channels"] == 17
    assert len(case.layer["input"]) == 2
    assert case.layer["groups"] == 1
    assert any("groups" in limit for limit in report.limits)


def test_what_the_forward_pass_refuses_is_counted_and_said():
    hunt_of_it = hunted(Picky, cases=300).hunt
    assert hunt_of_it.refused > 0
    assert any("no strides for three" in text for text in hunt_of_it.not_tried)


def test_the_account_says_what_was_tried():
    report = hunted(Right, cases=300)
    tried = report.hunt
    assert sum(condition.cases for condition in tried.conditions) == tried.cases == 300
    met = {condition.what for condition in tried.conditions}
    assert PLAIN in met
    # Every one that code of this form can be called under, but for what chance has left out.
    applicable = conditions.RUNS.keys() - {"some-gradients", "after-no-grad"}
    assert met - {PLAIN} <= applicable
    assert len(met) > 3 * len(applicable) / 4
    assert {f"the condition {name}" for name in conditions.RUNS.keys() - met} <= set(tried.not_tried)
    sizes = {drawn.field: (drawn.least, drawn.most) for drawn in tried.sizes}
    assert sizes["channels"][0] == 1
    assert sizes["channels"][1] > 64
    assert sizes["stride"][1] > 2
    assert {"groups", "dilation", "a stride above 1"} <= {item.what for item in tried.properties}
    assert 30 < tried.mistakes_shown <= tried.mistakes
    assert any("multiply-adds" in text for text in tried.not_tried)
    said = " ".join(str(report).split())
    for words in ("300 cases", "nothing found", "channels 1 to", "dilation (", "would have shown", "not tried"):
        assert words in said
    assert json.loads(json.dumps(report.to_dict()))["hunt"]["cases"] == 300


def test_a_short_hunt_says_what_it_did_not_try():
    tried = hunted(Right, cases=2).hunt
    assert tried.mistakes_shown < tried.mistakes
    assert tried.not_shown
    assert any("the condition" in text for text in tried.not_tried)


def test_what_is_seen_once_and_not_again_is_no_pass():
    class Once(Spoiled):
        """Wrong at the first two calls with many filters, which a hunt makes and nothing before it, and never again."""

        calls = 0

        def meets(self, grad_output):
            many = grad_output.shape[1] > 16
            Once.calls += many
            return many and Once.calls <= 2

    report = hunted(Once, seed=1)
    assert not report.passed
    results = [result for result in report.layers[-1].results if result.status != "skipped"]
    assert {result.status for result in results} == {"inconclusive"}
    assert "ran before, or on chance" in results[0].message


def test_an_interrupted_hunt_has_its_report():
    class Interrupts(Right):
        calls = 0

        def forward(self, x, weight, bias, layer):
            Interrupts.calls += layer.channels > 64
            if Interrupts.calls == 3:
                raise KeyboardInterrupt
            return super().forward(x, weight, bias, layer)

    with pytest.raises(Interrupted) as interrupted:
        hunted(Interrupts)
    report = interrupted.value.report
    assert [layer.name for layer in report.layers] == ["plainest"]
    assert not report.passed
    assert report.unchecked == ("the rest of the hunt",)
    assert report.hunt.cases > 1
    assert sum(tried.cases for tried in report.hunt.conditions) == report.hunt.cases
    assert f"{report.hunt.cases} cases" in str(report)
    assert "nothing found; the run was interrupted" in " ".join(str(report).split())


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_hunt_that_is_interrupted_has_what_was_found_until_then(when, monkeypatch):
    """Before the layer that was found is verified, or while its failure is shrunk."""
    checked, verified = verification.verify, []

    def interrupted_verify(subject, **options):
        verified.append(subject)
        if len(verified) < 2:
            return checked(subject, **options)
        if when == "before":
            raise KeyboardInterrupt
        raise Interrupted(checked(subject, **options | {"shrink": False}))

    monkeypatch.setattr(verification, "verify", interrupted_verify)
    with pytest.raises(Interrupted) as interrupted:
        hunted(only(lambda layer: layer.groups > 1))
    report = interrupted.value.report
    assert not report.passed
    assert report.unchecked[-1] == "the rest of the hunt"
    assert report.hunt.cases > 1
    if when == "while":
        assert [layer.passed for layer in report.layers] == [True, False]
        assert "a layer found; the run was interrupted" in " ".join(str(report).split())
    else:
        assert [layer.name for layer in report.layers] == ["plainest"]
        assert re.fullmatch(r"\{.*groups: [2-9].*\}, on which the target differs.*", report.unchecked[0])


def test_what_is_found_does_not_depend_on_where_the_code_runs(tmp_path, monkeypatch, database):
    """In a process of its own cases are asked for ahead, and judged in the same order all the same."""
    (tmp_path / "code.py").write_text(HUNTED)
    monkeypatch.chdir(tmp_path)
    here = hunted("code.py:Groups", in_process=True, shrink=False)
    database.data.clear()
    there = hunted("code.py:Groups", in_process=False, shrink=False)
    assert here.layers[-1].layer == there.layers[-1].layer
    assert here.layers[-1].layer.groups > 2
    assert here.hunt.cases == there.hunt.cases > 8
    assert here.hunt.conditions == there.hunt.conditions
    assert hunted("code.py:Right", cases=21, in_process=False).hunt.cases == 21


DIES = """
import os

class Dies(Right):
    def backward(self, grad_output):
        if self.saved[0].groups > 2:
            os._exit(3)
        return super().backward(grad_output)

class DiesAtOnce(Right):
    def forward(self, x, weight, bias, layer):
        if layer.groups > 1:
            os._exit(3)
        return super().forward(x, weight, bias, layer)
"""


def test_a_case_that_ends_its_process_is_told_from_those_asked_for_after_it(tmp_path, monkeypatch):
    (tmp_path / "code.py").write_text(HUNTED + DIES)
    monkeypatch.chdir(tmp_path)
    report = hunted("code.py:Dies", shrink=False, in_process=False)
    assert report.layers[-1].layer.groups > 2
    assert report.hunt.cases > 8
    # What the forward pass does not take is no failure, however often; the cases around it count.
    report = hunted("code.py:DiesAtOnce", cases=60, in_process=False)
    assert report.passed, report
    assert report.hunt.cases == 60
    assert "groups" not in {tried.what for tried in report.hunt.properties}


@pytest.mark.parametrize("option", [{"seconds": 0}, {"seconds": float("nan")}, {"cases": 0}, {"seed": -1}])
def test_what_cannot_be(option):
    with pytest.raises(UsageError, match=f"{next(iter(option))}.*not allowed"):
        hunt(Right, **option)
