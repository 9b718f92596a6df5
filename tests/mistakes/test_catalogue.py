"""The catalogue is complete, and every entry is documented."""

import gc
import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import convcheck
from convcheck import Layer
from convcheck.checks.conditions import RUNS
from convcheck.errors import UsageError
from convcheck.mistakes import MISTAKES, OTHER_NAMES, mistake, named
from convcheck.mistakes.conditions import CONDITIONS, UNTRIED
from convcheck.mistakes.crashes import CRASHES
from convcheck.mistakes.describe import example_of
from convcheck.mistakes.mistake import Mistake, OtherName
from convcheck.mistakes.resemblance import RESEMBLANCES
from convcheck.mistakes.wrong_forward import FORWARDS
from convcheck.reports.results import GRADIENTS
from tests.mistaken import VISIBLE, scene_of

CONTRACT = [
    "kernel-not-flipped",
    "kernel-flipped-one-axis",
    "channel-axes-not-swapped",
    "gradient-not-dilated",
    "gradient-repeated",
    "remainder-dropped",
    "padding-offset",
    "overlap-overwritten",
    "clamped-index",
    "wrapped-index",
    "dilation-ignored",
    "stride-ignored",
    "axes-swapped",
    "groups-ignored",
    "weight-gradient-flipped",
    "input-not-padded",
    "weight-axes-swapped",
    "reshape-instead-of-transpose",
    "last-sample-only",
    "batch-averaged",
    "spatially-averaged",
    "sign-flipped",
    "scaled",
    "zero-gradient",
    "grad-output-ignored",
    "stale-accumulation",
    "inputs-modified",
    "nondeterministic",
    "non-finite",
    "forward-is-convolution",
]

BY_NAME = {entry.name: entry for entry in MISTAKES}


def test_every_name_of_the_contract_is_there():
    assert set(BY_NAME) >= set(CONTRACT)
    assert [entry.name for entry in MISTAKES][: len(CONTRACT)] == CONTRACT


def test_codes_and_names_are_unique_and_in_order():
    assert len(BY_NAME) == len(MISTAKES)
    assert [entry.code for entry in MISTAKES] == [f"CC{101 + number}" for number in range(len(MISTAKES))]


def test_every_file_is_listed():
    modules = {Path(inspect.getfile(type(entry))).stem for entry in MISTAKES}
    folder = Path(inspect.getfile(Mistake)).parent / "catalogue"
    assert modules | {"__init__"} == {path.stem for path in folder.glob("*.py")}


@pytest.mark.parametrize("entry", MISTAKES, ids=BY_NAME)
def test_documented(entry):
    assert Path(inspect.getfile(type(entry))).stem == entry.name.replace("-", "_")
    assert entry.title
    for sentence in (entry.explanation, entry.why, entry.fix):
        assert sentence.endswith(".")
        assert len(sentence) > 20
    assert not entry.title.endswith(".")
    assert entry.shows_on
    assert set(entry.gradients) <= set(GRADIENTS)
    assert "\n" not in entry.explanation + entry.fix


@pytest.mark.parametrize("entry", VISIBLE, ids=lambda entry: entry.name)
def test_has_an_example_that_is_wrong(entry):
    example = example_of(entry)
    assert example is not None
    assert example.wrong.shape != example.right.shape or not np.array_equal(example.wrong, example.right)


@pytest.mark.parametrize("entry", VISIBLE, ids=lambda entry: entry.name)
def test_variants_have_names_of_their_own(entry):
    scene = scene_of(
        Layer(4, 4, (3, 3), stride=(2, 3), padding=((1, 2), (2, 0)), dilation=(1, 2), groups=2, input=(9, 9), batch=3)
    )
    for gradient in entry.gradients:
        names = [wrong.variant for wrong in entry.wrong(scene, gradient)]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("given", "name"), [("kernel-not-flipped", 0), ("CC102", 1), ("cc103", 2), ("stride_ignored", 11)]
)
def test_found_by_name_or_code(given, name):
    assert mistake(given) is MISTAKES[name]


def test_every_name_that_a_report_can_give_is_found_and_means_one_thing():
    everything = [*MISTAKES, *OTHER_NAMES]
    keys = [key for known in everything for key in (known.name, known.code) if key]
    assert len(keys) == len(set(keys))
    assert all(named(known.name) is known for known in everything)
    with pytest.raises(UsageError):
        mistake("right-when-flipped")


def test_no_report_can_give_another_name():
    """Names are made in one place, of what the catalogue and the tables have; and all that there are is there.

    A run that is taken up again reads from its own file what was named before.
    """
    folder = Path(inspect.getfile(convcheck)).parent
    made = [path for path in folder.rglob("*.py") if re.search(r"\bDiagnosis\(", path.read_text(encoding="utf-8"))]
    assert sorted(path.relative_to(folder).as_posix() for path in made) == ["checks/state.py", "mistakes/mistake.py"]
    for module in pkgutil.walk_packages([str(folder)], "convcheck."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    words = {thing.name: thing for thing in gc.get_objects() if type(thing) is OtherName}
    assert words
    assert [name for name in words if named(name).name != name] == []
    slugs = [*FORWARDS, *RESEMBLANCES, *CRASHES, *CONDITIONS, *RUNS, *(untried.words.name for untried in UNTRIED)]
    assert [slug for slug in slugs if named(slug).name != slug] == []


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(UsageError) as caught:
        mistake("kernel-not-fliped")
    assert str(caught.value) == (
        'unknown mistake "kernel-not-fliped"; did you mean "kernel-not-flipped"? `convcheck mistakes` lists them all'
    )


def test_a_gradient_that_a_mistake_does_not_affect():
    scene = scene_of(Layer(2, 3, 2))
    assert BY_NAME["kernel-not-flipped"].wrong(scene, "weight") == ()
    assert BY_NAME["kernel-flipped-one-axis"].wrong(scene_of(Layer(2, 3, [2])), "input") == ()
    assert BY_NAME["sign-flipped"].wrong(scene_of(Layer(2, 3, 2, bias=False)), "bias") == ()
