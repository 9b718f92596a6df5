"""What a passing suite has ruled out, and what it cannot show."""

import json
import sys

import pytest
import yaml
from hypothesis import given, settings

from convcheck import Layer, load, verify
from convcheck.__main__ import main
from convcheck.layer.similar import REVEALING, as_yaml, revealing, shrunk
from convcheck.mistakes import MISTAKES
from convcheck.mistakes.blind_spots import shown_by
from convcheck.suites.config import Suite
from convcheck.suites.shipped import names
from convcheck.targets.features import KINDS
from tests.mistaken import OF_PLAIN_LAYERS, VISIBLE, forms_visible_on
from tests.strategies import layers
from tests.targets_for_tests import Right, wrong

#: A common way to test: square, stride 1, one padding for all sides.
PLAIN = Layer(3, 8, 3, padding=1, input=(8, 8))

#: Right code, as a command line names it.
RIGHT = ["--target", "tests.targets_for_tests:Right"]

PLAIN_FILE = """\
version: 1
layers:
  - {name: plain, channels: 3, filters: 8, kernel: 3, padding: 1, input: [8, 8]}
"""


def strict(*given_layers):
    return verify(list(given_layers), target=Right, strict=True)


def run(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["convcheck", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().out


def every_form():
    ranked = {form for rank in (1, 2, 3) for _, layer in revealing(rank) for form in shown_by(layer)}
    hostile = {form for layer in load("hostile").layers for form in shown_by(layer)}
    return sorted(ranked | hostile)


class TestHostile:
    @pytest.mark.parametrize("form", every_form(), ids=lambda form: "-".join(form).replace(" ", "_"))
    def test_has_no_blind_spot(self, form):
        assert any(form in shown_by(layer) for layer in load("hostile").layers)

    @pytest.mark.parametrize("mistake", OF_PLAIN_LAYERS, ids=lambda mistake: mistake.name)
    def test_shows_every_mistake_in_every_gradient(self, mistake):
        for gradient in mistake.gradients:
            assert any(name == mistake.name and at == gradient for name, at, _ in every_form())

    def test_passes_strictly(self):
        report = verify("hostile", target=Right, strict=True)
        assert report.passed
        assert report.blind_spots == ()
        assert report.power.mistakes_shown == report.power.mistakes == len(OF_PLAIN_LAYERS)
        assert any("transposed, transposed-square of hostile" in words for words in report.left_out)

    def test_passes_strictly_for_code_of_every_kind(self):
        report = verify("hostile", target={"call": Right, "supports": sorted(KINDS)}, strict=True)
        assert report.passed
        assert report.blind_spots == ()
        assert report.power.mistakes_shown == report.power.mistakes == sum(not entry.of_complex for entry in VISIBLE)
        assert report.left_out == ()


class TestPlainSuite:
    def test_says_what_it_cannot_show(self):
        unseen = {spot.name for spot in strict(PLAIN).blind_spots}
        assert unseen >= {
            "gradient-not-dilated", "gradient-repeated", "remainder-dropped", "stride-ignored", "dilation-ignored",
            "groups-ignored", "channel-axes-not-swapped", "axes-swapped", "padding-offset",
        }  # fmt: skip
        assert unseen.isdisjoint({"kernel-not-flipped", "sign-flipped", "last-sample-only", "overlap-overwritten"})

    def test_a_batch_of_one(self):
        spots = {spot.name: spot for spot in strict(Layer(3, 8, 3, batch=1)).blind_spots}
        assert spots["last-sample-only"].change == "a batch of 3"
        assert spots["last-sample-only"].layer.endswith("batch: 3}")
        assert spots["last-sample-only"].forms == ("grad_bias", "grad_weight")

    def test_the_layers_it_names_close_every_gap(self):
        spots = strict(PLAIN).blind_spots
        added = [Layer(**yaml.safe_load(text)) for text in dict.fromkeys(spot.layer for spot in spots)]
        report = strict(PLAIN, *added)
        assert report.passed
        assert report.blind_spots == ()

    @pytest.mark.parametrize("layer", [Layer(1, 1, [3]), Layer(1, 1, (1, 1, 1), input=(2, 2, 2), batch=1)])
    def test_for_layers_of_any_number_of_axes(self, layer):
        spots = strict(layer).blind_spots
        added = [Layer(**yaml.safe_load(text)) for text in dict.fromkeys(spot.layer for spot in spots)]
        assert all(len(other.input) == len(layer.input) for other in added)
        assert strict(layer, *added).blind_spots == ()

    def test_what_has_no_second_axis_is_not_missed_in_one_dimension(self):
        assert "axes-swapped" not in {spot.name for spot in strict(Layer(1, 1, [3])).blind_spots}

    def test_a_gradient_that_was_not_checked_shows_nothing(self):
        report = verify(load("hostile"), checks=["forward"], strict=True, target=Right)
        assert not report.passed
        assert report.power.mistakes_shown == 1
        assert "forward-is-convolution" not in {spot.name for spot in report.blind_spots}


class TestWhenItIsSaid:
    def test_of_a_target(self):
        assert verify(PLAIN, target=Right, blind_spots=True).blind_spots

    def test_not_of_the_built_in_formulations_on_a_shipped_suite(self):
        report = verify("textbook", formulations=["unfold"], blind_spots=True)
        assert report.power is None
        assert "power" not in report.to_dict()

    def test_not_where_only_a_part_was_asked_for(self):
        assert verify(PLAIN, target=Right, blind_spots=True, checks=["exact"]).power is None
        assert verify("textbook", blind_spots=True, select="T3").power is None

    def test_of_the_layers_that_a_target_was_tried_on(self):
        report = verify("textbook", target=Right, blind_spots=True, select='"T3-stride-2"')
        assert "last-sample-only" in {spot.name for spot in report.blind_spots}

    def test_not_where_something_failed(self):
        report = verify(PLAIN, target=wrong("input", lambda array: -array), strict=True)
        assert report.power is None
        assert report.blind_spots == ()

    def test_of_a_config_of_ones_own(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "mine.yaml").write_text(PLAIN_FILE)
        monkeypatch.chdir(tmp_path)
        status, out = run(["verify", "mine.yaml"], monkeypatch, capsys)
        assert status == 0
        assert "BLIND  the suite lacks groups\n  unseen  groups-ignored (grad_input, grad_weight)\n" in out
        assert (
            "\n  add     - {channels: 6, filters: 16, kernel: 3, padding: 1, groups: 2, input: [8, 8], batch: 2}\n"
            in out
        )
        assert " known mistakes would have shown in every form; 4,896" in out

    def test_strict_fails(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "mine.yaml").write_text(PLAIN_FILE)
        monkeypatch.chdir(tmp_path)
        status, out = run(["verify", "mine.yaml", *RIGHT, "--strict", "--output-format", "json"], monkeypatch, capsys)
        assert status == 1
        report = json.loads(out)
        assert not report["passed"]
        assert all(layer["passed"] for layer in report["layers"])
        assert report["blind_spots"][0].keys() == {"code", "name", "forms", "change", "layer"}
        assert report["power"].keys() == {
            "entries_compared_exactly", "false_pass_probability", "mistakes_shown", "mistakes", "beyond_limits",
            "judged_on_smaller",
        }  # fmt: skip
        status, out = run(["verify", "mine.yaml", *RIGHT, "--strict"], monkeypatch, capsys)
        unseen = {spot["name"] for spot in report["blind_spots"]}
        assert f"FAILED  1 layer of mine.yaml passed, with {len(unseen)} blind spots" in out

    def test_strict_passes_on_hostile(self, monkeypatch, capsys):
        status, out = run(["verify", "hostile", *RIGHT, "--strict"], monkeypatch, capsys)
        assert status == 0
        assert f"{len(OF_PLAIN_LAYERS)} of {len(OF_PLAIN_LAYERS)} known mistakes would have shown" in " ".join(
            out.split()
        )


class TestPower:
    def test_counts_what_was_compared_exactly_and_bounds_the_rest(self):
        report = verify(PLAIN, target=Right, checks=["forward", "projected"], strict=True)
        assert report.power.entries_compared_exactly == 2 * 8 * 8 * 8
        assert 0 < report.power.false_pass_probability < 1e-9
        assert "on these layers and data passed: at most" in " ".join(str(report).split())

    def test_behaviour_is_left_out_of_the_account(self):
        assert {mistake.name for mistake in MISTAKES} - {mistake.name for mistake in VISIBLE} == {
            "stale-accumulation", "inputs-modified", "nondeterministic", "graph-broken",
        }  # fmt: skip


@pytest.mark.parametrize("suite", names())
def test_every_layer_of_every_suite_can_be_judged(suite):
    for layer in {shrunk(layer) for layer in load(suite).layers}:
        assert shown_by(layer)


@settings(max_examples=60, deadline=None)
@given(layers())
def test_visible_is_what_the_layer_itself_shows(layer):
    assert shown_by(layer) == {
        (mistake.name, gradient, variant) for mistake, gradient, variant in forms_visible_on(layer)
    }


@settings(max_examples=60, deadline=None)
@given(layers(dtypes=("float64", "float32")))
def test_the_yaml_of_a_layer_is_that_layer(layer):
    text = f"version: 1\nlayers:\n  - {as_yaml(layer, layer.name)}\n"
    fields = yaml.safe_load(text)["layers"][0]
    assert Layer(**fields, seed=layer.seed) == layer


def test_a_suite_is_judged_as_a_whole():
    suite = Suite("both", (PLAIN, Layer(4, 4, 3, stride=2, groups=2, padding=1, name="other")), (None, None))
    alone = {spot.name for spot in strict(PLAIN).blind_spots}
    together = {spot.name for spot in verify(suite, target=Right, strict=True).blind_spots}
    assert together < alone


class TestRevealingLayers:
    @pytest.mark.parametrize("kind", REVEALING, ids=lambda kind: kind.words.replace(" ", "_"))
    def test_none_is_superfluous(self, kind):
        alone = set()
        for rank in (1, 2, 3):
            shown = {words: shown_by(layer) for words, layer in revealing(rank)}
            others = set().union(*(forms for words, forms in shown.items() if words != kind.words))
            alone |= {name for name, _, _ in shown[kind.words] - others}
        assert kind.needed_by
        assert set(kind.needed_by) <= alone

    @settings(max_examples=60, deadline=None)
    @given(layers())
    def test_show_all_that_any_layer_shows(self, layer):
        assert shown_by(layer) <= set().union(*(shown_by(other) for _, other in revealing(len(layer.input))))
