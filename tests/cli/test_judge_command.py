"""``convcheck judge``: a short JSON about code that is not trusted, on data that it cannot know."""

import json
import sys
from types import SimpleNamespace

import jsonschema
import pytest

from convcheck import verification
from convcheck.reports.judgement import Judgement, judgement_schema
from convcheck.suites import fitting
from convcheck.suites.fitting import Fit
from convcheck.targets.forms.torch_code import TorchForm
from convcheck.targets.spec import TargetSpec
from tests.reports import failed_report, passed_report
from tests.shell import convcheck


@pytest.fixture
def stubs(monkeypatch):
    """Everything that takes long, in place of which stands what is put into the dictionary; and what it was asked."""
    given, asked = {"verify": passed_report(), "hunt": passed_report()}, {}

    def standing_for(name):
        def stub(*words, **options):
            asked[name] = options
            return given[name]

        return stub

    for name in ("verify", "hunt"):
        monkeypatch.setattr(verification, name, standing_for(name))
    probe = SimpleNamespace(target=SimpleNamespace(inapplicable={}))
    given["fit"] = Fit(TargetSpec(call="code.py:Conv"), probe, None)
    monkeypatch.setattr(fitting, "fit", lambda *words, **options: given["fit"])
    return given, asked


def judged(folder, *words):
    status, out, err = convcheck(["judge", "code.py:Conv", *words], folder)
    judgement = json.loads(out) if status in (0, 1) else None
    if judgement is not None:
        jsonschema.validate(judgement, judgement_schema())
    return status, judgement, err


def test_right_code_is_searched_further_on_the_same_data_in_another_process(stubs, tmp_path):
    _, asked = stubs
    status, judgement, _ = judged(tmp_path)
    assert status == 0
    assert judgement["passed"]
    assert judgement["score"] == 1
    assert judgement["mistakes"] == []
    assert asked["verify"]["seed"] == asked["hunt"]["seed"] == judgement["seed"] > 0
    assert not asked["verify"]["in_process"]
    assert not asked["hunt"]["in_process"]


def test_every_run_has_another_seed_unless_it_is_given(stubs, tmp_path):
    seeds = {judged(tmp_path)[1]["seed"] for _ in range(3)}
    assert len(seeds) == 3
    assert judged(tmp_path, "--seed", "7")[1]["seed"] == 7


def test_wrong_code_is_not_searched_further_and_its_mistakes_are_named(stubs, tmp_path):
    given, asked = stubs
    given["verify"] = failed_report()
    status, judgement, _ = judged(tmp_path, "--output", "report.json")
    assert status == 1
    assert not judgement["passed"]
    assert judgement["score"] < 1
    assert judgement["mistakes"]
    assert "hunt" not in asked
    assert judgement["report"] == "report.json"
    assert not json.loads((tmp_path / "report.json").read_text())["passed"]


def test_what_the_search_finds_counts(stubs, tmp_path):
    given, _ = stubs
    failed = failed_report()
    given["hunt"] = type(failed)(layers=(passed_report().layers[0], *failed.layers), config="a hunt")
    status, judgement, _ = judged(tmp_path)
    assert status == 1
    assert judgement["mistakes"] == list(Judgement.of(failed, 0, None).mistakes)


@pytest.mark.parametrize(("style", "word"), [(None, "as its process says"), ("torch", "by its mapping")])
def test_what_code_is_spared_is_told_and_on_whose_word(style, word, stubs, tmp_path):
    given, _ = stubs
    probe = SimpleNamespace(target=SimpleNamespace(inapplicable=TorchForm.inapplicable))
    given["fit"] = Fit(TargetSpec(call="code.py:Conv", style=style), probe, None)
    told = {limit.partition(":")[0]: limit for limit in judged(tmp_path)[1]["limits"]}
    assert {"the condition read-only", "the condition negative-strides"} <= told.keys()
    assert word in told["the condition read-only"]


def test_nothing_is_told_where_code_is_spared_nothing(stubs, tmp_path):
    assert judged(tmp_path)[1]["limits"] == []


def test_the_code_is_not_overwritten(stubs, tmp_path):
    (tmp_path / "code.py").write_text("kept")
    status, _, err = judged(tmp_path, "--output", "code.py")
    assert status == 2
    assert "cannot write code.py" in err
    assert (tmp_path / "code.py").read_text() == "kept"


def test_without_hypothesis_nothing_is_run(stubs, tmp_path, monkeypatch):
    _, asked = stubs
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "convcheck.suites.strategies", raising=False)
    monkeypatch.delattr("convcheck.suites.strategies", raising=False)
    status, _, err = judged(tmp_path)
    assert status == 2
    assert "pip install hypothesis" in err
    assert asked == {}


@pytest.mark.long
@pytest.mark.parametrize(("name", "mistakes"), [("Right", []), ("Unflipped", ["kernel-not-flipped"])])
def test_the_whole(name, mistakes, tmp_path):
    status, out, _ = convcheck(["judge", f"tests.targets_for_tests:{name}", "--seconds", "5"], tmp_path)
    judgement = json.loads(out)
    assert status == len(mistakes)
    assert judgement["mistakes"] == mistakes
    assert (judgement["smallest"] is None) is (not mistakes)
