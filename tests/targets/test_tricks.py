"""Every trick of the catalogue is found in code that plays it, in a process of its own; honest code passes."""

import pytest

from convcheck import Layer, verify
from convcheck.mistakes.tricks import TRICKS

#: Small enough for NumPy's own store of memory, and larger.
LAYERS = (
    Layer(2, 3, 2, stride=2, padding=1, input=5, name="small"),
    Layer(3, 6, (2, 3), input=(9, 11), name="larger"),
)

#: The trick, the code, and what is found: the kind of check and the names, of which one must be given.
FOUND = [
    ("cached-by-address", "ByAddress", "same-memory", {"cached-by-address"}),
    ("right-then-stale", "RightThreeTimes", "many-calls", {"right-then-stale"}),
    ("memorised-answer", "Memorised", None, set()),
    ("never-written", "LastNeverWritten", None, {"never-written"}),
    ("expected-output-reused", "NeverWritten", None, {"never-written"}),
    ("changes-after-return", "OneBuffer", "interleaved", {"changes-after-return"}),
    ("lazy-result", "Lazy", None, {"scaled"}),
    ("own-equality", "OwnEquality", None, {"scaled"}),
    ("work-skipped", "ZeroWeightsSkipped", "sparse", {"sparse"}),
    ("replaced-checker", "Replaces", None, {"scaled"}),
]


def failed(code, layers=LAYERS, **options):
    report = verify(layers, target=f"tests.targets.tricks:{code}", in_process=False, shrink=False, **options)
    assert report.passed is all(result.acceptable for layer in report.layers for result in layer.results)
    return [r for layer in report.layers for r in layer.results if r.status == "failed"]


@pytest.mark.parametrize(("trick", "code", "condition", "names"), FOUND)
def test_it_is_found(trick, code, condition, names):
    assert trick in TRICKS
    results = failed(code)
    assert {r.gradient for r in results} >= {"weight"}
    assert condition in {r.condition for r in results}
    given = {d.name for r in results if r.condition == condition for d in r.diagnosis}
    assert not names or names & given


def test_an_answer_that_was_memorised_before_the_run_is_named(tmp_path):
    """Where gradients of the layer's own data alone are right, as for a known seed."""
    names = {d.name for r in failed("Memorised", checks=["conditions"]) for d in r.diagnosis}
    assert "memorised-answer" in names


def test_code_cannot_spare_itself_the_conditions(tmp_path):
    (tmp_path / "code.py").write_text(
        "from convcheck.mistakes.conditions import CONDITIONS\n"
        "from convcheck.targets.form import Form\n"
        "from tests.targets.tricks import ZeroWeightsSkipped\n"
        "Form.inapplicable = dict.fromkeys(CONDITIONS, 'not me')\n"
    )
    report = verify(LAYERS, target=f"{tmp_path}/code.py:ZeroWeightsSkipped", in_process=False, shrink=False)
    assert "sparse" in {d.name for layer in report.layers for r in layer.results for d in r.diagnosis}


def test_an_output_that_changes_later_is_named():
    results = failed("OneOutputBuffer")
    assert {(r.gradient, r.condition, d.name) for r in results for d in r.diagnosis} >= {
        ("output", "interleaved", "changes-after-return")
    }


@pytest.mark.parametrize("code", ["Weight", "LazyAndRight"])
def test_what_is_honest_passes(code):
    assert failed(code) == []


def test_every_trick_is_tried():
    assert {trick for trick, *_ in FOUND} == set(TRICKS)
