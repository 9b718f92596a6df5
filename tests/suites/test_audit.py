"""What a set of layers could ever show, on suites whose holes are known by construction."""

import json

import jsonschema
import pytest

import convcheck
from convcheck.errors import ConfigError, UsageError
from convcheck.layer.layer import Layer
from convcheck.layer.similar import REVEALING, revealing
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.conditions import UNTRIED
from convcheck.reports.audit import audit_schema, render
from convcheck.suites.audit import audit
from convcheck.suites.config import parse
from convcheck.suites.importing import import_model

#: On these all mistakes show that can show with two axes.
TELLING = [layer for _, layer in revealing(2)]

COUNTED = {entry.name for entry in MISTAKES if entry.behaviour is None and entry.plain and not entry.of_complex}


def verdicts(found):
    return {mistake.name: mistake.verdict for mistake in found.mistakes}


def with_additions(layers, found):
    text = "version: 1\nlayers:\n" + "".join(f"  - {addition.layer}\n" for addition in found.additions)
    return [*layers, *parse(text, "added.yaml").layers]


class TestHoles:
    def test_none(self):
        found = audit(TELLING)
        assert verdicts(found) == dict.fromkeys(COUNTED, "every form")
        assert found.mistakes_shown == len(COUNTED)
        assert not any(mistake.missing for mistake in found.mistakes)

    @pytest.mark.parametrize(
        ("change", "never"),
        [
            ({"kernel": 1, "dilation": 1, "padding": 0}, {"kernel-not-flipped", "weight-gradient-flipped"}),
            ({"batch": 1}, {"batch-averaged", "last-sample-only"}),
            ({"stride": 1}, {"gradient-not-dilated", "stride-ignored"}),
            ({"dilation": 1}, {"dilation-ignored"}),
            ({"bias": False}, {"bias-axes-confused"}),
            ({"filters": 1}, {"last-filter-only"}),
        ],
    )
    def test_what_the_layers_lack_is_what_they_never_show(self, change, never):
        # The one with groups shows what needs them.
        layers = [Layer(**{**layer.spec(), **change, "groups": 1}) for layer in TELLING]
        found = verdicts(audit(layers))
        assert {name for name in never if found[name] != "never"} == set()
        assert found["groups-ignored"] == "never"
        assert found["sign-flipped"] != "never"

    @pytest.mark.parametrize("left_out", range(len(REVEALING)))
    def test_the_mistakes_that_need_a_layer_do_not_show_in_every_form_without_it(self, left_out):
        found = audit([layer for place, layer in enumerate(TELLING) if place != left_out])
        needing = {name for name, verdict in verdicts(found).items() if verdict != "every form"}
        assert needing & set(REVEALING[left_out].needed_by)

    def test_a_gradient_that_is_not_computed_shows_nothing(self, tmp_path):
        (tmp_path / "shapes").write_text("--dir=BWD_D ic2ih7iw9oc3kh2kw3sh2sw3")
        found = {mistake.name: mistake for mistake in audit(import_model(str(tmp_path / "shapes"))).mistakes}
        assert found["kernel-not-flipped"].verdict == "every form"
        assert found["weight-gradient-flipped"].verdict == "never"
        assert found["sign-flipped"].missing == ("grad_bias", "grad_weight")

    def test_layers_are_named_on_which_a_mistake_shows(self):
        pointwise, other = Layer(2, 3, 1, name="pointwise"), Layer(2, 3, 2, name="other")
        found = {mistake.name: mistake.layers for mistake in audit([pointwise, other]).mistakes}
        assert found["kernel-not-flipped"] == ("other",)
        assert found["sign-flipped"] == ("pointwise", "other")

    def test_of_one_axis_what_needs_two_is_not_missed(self):
        assert "axes-swapped" not in verdicts(audit(Layer(2, 3, 3, input=9)))


class TestAdditions:
    @pytest.mark.parametrize(
        "layers",
        [
            TELLING[1:],
            pytest.param([Layer(3, 4, 1, input=(5, 5), batch=1, bias=False)], marks=pytest.mark.long),
            pytest.param([Layer(2, 3, 3, input=9), Layer(2, 2, 2, input=(3, 4, 5))], marks=pytest.mark.long),
            pytest.param([Layer(64, 64, 3, padding=1, input=(56, 56), batch=1, bias=False)], marks=pytest.mark.long),
        ],
    )
    def test_fill_every_gap(self, layers):
        again = audit(with_additions(layers, audit(layers)))
        assert set(verdicts(again).values()) == {"every form"}
        assert (again.untried, again.additions) == ((), ())

    @pytest.mark.long
    def test_none_is_superfluous(self):
        layers = [Layer(3, 4, 1, input=(5, 5), batch=1, bias=False)]
        full = with_additions(layers, audit(layers))
        for place in range(1, len(full)):
            less = audit([layer for at, layer in enumerate(full) if at != place])
            assert less.untried or set(verdicts(less).values()) != {"every form"}

    def test_circumstances_are_tried_with_layers_that_are_added_anyway(self):
        found = audit(Layer(3, 4, 1, input=(5, 5), batch=1, bias=False))
        lacking = {lack.lacking for lack in found.untried}
        assert lacking == {u.lacking for u in UNTRIED if not u.shown_by(Layer(3, 4, 1, batch=1, bias=False))}
        assert {words for addition in found.additions for words in addition.tries} == lacking
        assert all(addition.shows for addition in found.additions)


class TestSources:
    def test_suites_files_and_layers_at_once(self, tmp_path):
        (tmp_path / "shapes").write_text("mb1_ic3oc64_ih224oh112kh7sh2ph3")
        (tmp_path / "own.yaml").write_text("version: 1\nlayers:\n  - {channels: 1, filters: 1, kernel: 1}\n")
        found = audit([str(tmp_path / "shapes"), tmp_path / "own.yaml", "course", Layer(1, 1, 2)])
        assert found.layers == 3 + len(convcheck.load("course").layers)
        assert found.judged_on_smaller >= 1
        assert str(tmp_path / "own.yaml") in found.source

    @pytest.mark.parametrize(
        ("source", "error", "words"),
        [
            ("nothing.yaml", ConfigError, "no such file"),
            ("rsenet50", UsageError, "unknown format"),
            (3, UsageError, "cannot be audited"),
            ([], UsageError, "nothing to audit"),
        ],
    )
    def test_what_is_none(self, tmp_path, monkeypatch, source, error, words):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(error, match=words):
            audit(source)

    def test_is_public(self):
        assert convcheck.audit(Layer(1, 1, 1)).passed
        assert isinstance(convcheck.audit(Layer(1, 1, 1)), convcheck.Audit)


class TestRequirement:
    def test_is_met_or_not(self):
        number = audit("course").mistakes_shown
        assert audit("course", require=number).passed
        assert not audit("course", require=number + 1).passed

    @pytest.mark.parametrize("number", [0, -1, 1000])
    def test_beyond_what_is_known_is_a_mistake(self, number):
        with pytest.raises(UsageError, match=r"require=.* is not allowed; expected a number from 1 to"):
            audit("course", require=number)


class TestReports:
    def test_json_is_as_its_schema_says_and_the_schema_would_notice(self):
        data = json.loads(render(audit(TELLING[:1], require=3), "json"))
        validator = jsonschema.Draft202012Validator(audit_schema())
        validator.validate(data)
        assert data["mistakes_shown"] == audit(TELLING[:1]).mistakes_shown
        assert data["passed"] is True
        data["mistakes"][0]["shown"] = 3
        assert not validator.is_valid(data)

    @pytest.mark.parametrize("width", [60, 80, 200])
    def test_the_table_has_every_mistake_and_what_to_paste(self, width):
        layer = Layer(3, 4, 1, input=(5, 5), batch=1)
        found = audit(layer)
        text = render(found, "table", width=width)
        assert all(name in text for name in COUNTED)
        pasted = "version: 1\n" + text[text.index("layers:\n") :]
        assert len(parse(pasted, "pasted.yaml").layers) == len(found.additions)
        assert max(len(line) for line in text.splitlines() if not line.startswith("  - ")) <= max(width, 80)
