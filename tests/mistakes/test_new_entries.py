"""A file more is a mistake more; one that is not as it must be is refused by name, one that raises is left out."""

import re
import subprocess
import sys

import numpy as np
import pytest

from convcheck import Layer, verify
from convcheck.mistakes import MISTAKES, blind_spots, diagnose, found_in, resemblance, wrong_forward
from convcheck.mistakes.mistake import Scene, WrongResult, unless_it_raises
from tests.mistaken import mistaken, scene_of
from tests.targets_for_tests import Right

ENTRY = '''"""every entry is too large by one"""

from convcheck.mistakes.mistake import WrongResult


class OneTooLarge(WrongResult):
    code = "CC150"
    name = "one-too-large"
    explanation = "One is added to every entry."
    why = "An array that starts at one."
    fix = "Start at zero."
    shows_on = "all layers"
    gradients = ("weight",)

    def results(self, scene, gradient, result):
        yield "", result + 1
'''


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """Give a function that reads a catalogue of files, each given by its name and text."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / f"catalogue_of_{tmp_path.name}"
    folder.mkdir()

    def read(**files):
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        return found_in([str(folder)], folder.name)

    return read


@pytest.mark.parametrize(("option", "status", "said"), [("-O", 0, ""), ("-OO", 2, "it to run without -OO")])
def test_without_docstrings_it_is_said_that_they_are_needed(option, status, said):
    command = [sys.executable, option, "-m", "convcheck", "mistakes"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_more_is_a_mistake_more(catalogue):
    first, second = catalogue(
        one_too_large=ENTRY, b=ENTRY.replace("one-too-large", "b").replace("CC150", "CC149").replace("OneToo", "Too")
    )
    assert (first.code, first.name, second.name) == ("CC149", "b", "one-too-large")
    assert second.title == "every entry is too large by one"
    scene = scene_of(Layer(1, 1, 2))
    assert np.array_equal(second.wrong(scene, "weight")[0].array, scene.right.weight + 1)


@pytest.mark.parametrize(
    ("changed", "to", "complaint"),
    [
        ('    why = "An array that starts at one."\n', "", "no why"),
        ('"""every entry is too large by one"""\n', "", "no title"),
        ('"Start at zero."', '""', "no fix"),
        ("def results", "def result", "no results"),
        ("(WrongResult)", "", "0 classes"),
        ("one-too-large", "two-too-large", "two-too-large"),
    ],
)
def test_what_a_file_lacks_is_said_with_its_name(catalogue, changed, to, complaint):
    assert changed in ENTRY
    with pytest.raises(ImportError, match=rf"one_too_large\.py: .*{complaint}"):
        catalogue(one_too_large=ENTRY.replace(changed, to))


def test_a_code_that_another_mistake_has(catalogue):
    with pytest.raises(ImportError, match=re.compile(r'one_too_large\.py: CC150 .*"another"')):
        catalogue(one_too_large=ENTRY, another=ENTRY.replace("one-too-large", "another"))


class Raises(WrongResult):
    code, name, explanation, why, fix, shows_on = "CC151", "raises", "Raises.", "Raises.", "Do not.", "batches of two"
    gradients = ("input", "weight", "bias")

    def results(self, scene, gradient, result):
        yield "before it raises", result + 17
        if scene.layer.batch != 2:
            raise ZeroDivisionError
        yield "where it does not", result + 2

    def recognized(self, scene, gradient, observed):
        raise ZeroDivisionError


@pytest.fixture
def with_one_that_raises(monkeypatch):
    """Search as it is done for a user, with an entry of the catalogue that raises."""
    for module in (blind_spots, diagnose, wrong_forward):
        monkeypatch.setattr(module, "unless_it_raises", unless_it_raises)
    for module in (blind_spots, diagnose):
        monkeypatch.setattr(module, "MISTAKES", (Raises(), *MISTAKES))
    blind_spots.shown_by.cache_clear()
    yield
    blind_spots.shown_by.cache_clear()


@pytest.mark.usefixtures("with_one_that_raises")
class TestAnEntryThatRaises:
    LAYER = Layer(2, 3, kernel=(3, 2), stride=(2, 3), padding=((1, 2), (0, 1)), input=(8, 11), batch=3)

    def found(self, layer, spoil):
        def rerun(other, operands):
            return {"weight": spoil(Scene(other, operands).right.weight)}

        return [diagnosis.name for diagnosis in diagnose.diagnose(layer, "weight", rerun).diagnoses]

    def test_is_named_where_it_does_not(self):
        assert self.found(Layer(2, 3, 2, batch=2), lambda right: right + 2) == ["raises"]

    @pytest.mark.parametrize(
        ("spoil", "names"),
        [
            (np.negative, ["sign-flipped"]),
            (lambda right: -right[..., ::-1, ::-1], ["sign-flipped", "weight-gradient-flipped"]),
            (lambda right: 7 * right, ["scaled"]),
            # It is left out as a whole.
            (lambda right: right + 17, ["constant-added"]),
        ],
    )
    def test_ends_no_diagnosis_where_it_does(self, spoil, names):
        assert self.found(self.LAYER, spoil) == names

    def test_ends_no_verification(self):
        named = {entry.name: entry for entry in MISTAKES}["stride-ignored"]
        report = verify(self.LAYER, target=mistaken(named, "input", ""), checks=["exact"])
        (failed,) = [result for result in report.layers[0].results if result.status == "failed"]
        assert [diagnosis.name for diagnosis in failed.diagnosis] == ["stride-ignored"]

    @pytest.mark.parametrize(("module", "search"), [(resemblance, "_transposed"), (wrong_forward, "_candidates")])
    def test_nor_does_what_a_result_is_compared_with(self, module, search, monkeypatch):
        class Noisy(Right):
            def forward(self, x, weight, bias, layer):
                return super().forward(x, weight, bias, layer) ** 2

        (before,) = verify(self.LAYER, target=Noisy, checks=["forward"]).layers[0].results
        monkeypatch.setattr(module, search, lambda *given: 1 // 0)
        (result,) = verify(self.LAYER, target=Noisy, checks=["forward"]).layers[0].results
        assert (result.status, result.diagnosis) == (before.status, before.diagnosis) == ("failed", ())

    def test_ends_no_search_for_blind_spots(self):
        assert all(name != "raises" for name, _, _ in blind_spots.shown_by(self.LAYER))
        assert any(name == "raises" for name, _, _ in blind_spots.shown_by(Layer(2, 3, 2, batch=2)))
        report = verify(self.LAYER, target=Right, strict=True)
        there = [each for each in MISTAKES if each.plain and not each.of_complex]
        assert report.power.mistakes == len([entry for entry in there if entry.behaviour is None])
