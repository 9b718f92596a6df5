"""What a passing report says it has ruled out is what the comparison that was made would have refused."""

from dataclasses import replace

import pytest

from convcheck import Layer, verify
from convcheck.layer.similar import SMALL, relations, revealing, shrunk, triable
from convcheck.mistakes import MISTAKES, mistake
from convcheck.mistakes.blind_spots import Comparison, shown_by
from convcheck.mistakes.conditions import UNTRIED
from tests.mistaken import forms_visible_on, mistaken
from tests.targets_for_tests import Right

LAYER = Layer(4, 6, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2, input=(7, 8), batch=3)


def claims_and_truth(layer, comparison, options, exact=True):
    """Every form that is visible on a layer: whether it is claimed as shown, and whether it is caught."""
    claimed = shown_by(layer, comparison)
    for entry, gradient, variant in forms_visible_on(layer):
        if entry.name == "non-finite":
            continue
        target = mistaken(entry, gradient, variant)
        report = verify(layer, target={**target, "exact": exact}, shrink=False, **options)
        yield (entry.name, gradient, variant), (entry.name, gradient, variant) in claimed, not report.passed


@pytest.mark.parametrize("gate", [pytest.param(0.05, marks=pytest.mark.long), 0.6])
def test_under_a_gate(gate):
    found = list(claims_and_truth(LAYER, Comparison(gate=gate), {"max_error": gate, "checks": ["forward", "exact"]}))
    assert [form for form, claimed, caught in found if claimed != caught] == []
    assert gate < 0.6 or any(not claimed for _, claimed, _ in found)
    assert any(claimed for _, claimed, _ in found)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.long)])
def test_of_code_that_rounds_by_design(dtype):
    layer = replace(LAYER, dtype=dtype)
    found = list(claims_and_truth(layer, Comparison("reals", exact=False), {}, exact=False))
    assert [form for form, claimed, caught in found if claimed and not caught] == []
    assert any(claimed for _, claimed, _ in found)


def test_a_gate_as_wide_as_a_mistake_hides_it_from_the_count():
    averaged = mistaken(mistake("batch-averaged"), "bias", "")
    layer = replace(LAYER, batch=2)
    report = verify(layer, target=averaged, max_error=0.6, strict=True)
    assert all(found.passed for found in report.layers)
    assert "batch-averaged" in {spot.name for spot in report.blind_spots}
    assert "batch-averaged" not in {spot.name for spot in verify(layer, target=Right, strict=True).blind_spots}
    assert "within the gate" in str(report)
    assert "within the rounding bound" not in str(report)


def test_what_is_said_of_the_chance_is_what_was_compared():
    layer = replace(LAYER, groups=1)
    exactly = str(verify(layer, target=Right, strict=True))
    gated = str(verify(layer, target=Right, strict=True, max_error=0.6))
    rounding = str(verify(layer, target={"call": Right, "exact": False}, strict=True))
    told = [" ".join(text.split()).partition("data passed: ")[2] for text in (exactly, gated, rounding)]
    assert told[0].startswith("none")
    assert "within the gate" in told[1]
    assert "within the rounding bound" in told[2]


def test_nothing_is_claimed_of_a_layer_too_large_to_be_judged_under_a_bound():
    large = Layer(64, 64, 3, padding=1, input=(28, 28))
    assert shown_by(large)
    assert not shown_by(large, Comparison(gate=0.1))
    assert not shown_by(large, Comparison("reals", exact=False))


class TestStandIns:
    LARGE = Layer(72, 72, 1, stride=3, padding=[[0, 4], [1, 4]], input=(20, 21))

    def test_a_form_is_claimed_only_if_it_shows_on_the_layer_itself(self):
        small = shrunk(self.LARGE)
        assert small is not self.LARGE
        claimed = {form for form in shown_by(self.LARGE) if form[0] == "last-output-skipped"}
        visible = {
            (entry.name, g, v) for entry, g, v in forms_visible_on(self.LARGE) if entry.name == "last-output-skipped"
        }
        assert claimed == visible

    @pytest.mark.parametrize(
        "layer",
        [
            LARGE,
            Layer(64, 64, 3, padding=1, input=(56, 56)),
            Layer(64, 128, 3, stride=2, padding=1, input=(56, 56), batch=1),
            Layer(256, 256, 3, padding=2, dilation=2, groups=32, input=(28, 30), batch=9),
            Layer(3, 64, 7, stride=2, padding=3, input=(112, 114), bias=False),
            Layer(32, 48, (1, 7), padding=(0, 3), input=(17, 17)),
            Layer(64, 128, (5, 7), input=(512, 256), batch=8),
            Layer(8, 64, 3, padding=[[2, 2], [2, 0]], dilation=2, input=(256, 256), batch=8),
            Layer(8, 8, (3, 1), groups=8, input=(512, 512), batch=64),
        ],
    )
    def test_they_stand_as_the_layer_does(self, layer):
        small = shrunk(layer)
        assert small.multiply_adds <= SMALL < layer.multiply_adds
        assert relations(small) == relations(layer)

    @pytest.mark.parametrize(
        "layer",
        [
            Layer(2, 3, (5, 7), input=(64, 32)),
            Layer(2, 3, (5, 9), input=(40, 40)),
            Layer(3, 2, (3, 1), 2, input=(121, 120)),
        ],
    )
    def test_on_one_under_a_kernel_that_is_not_square_the_same_shows(self, layer):
        assert shrunk(layer) is not layer
        visible = {(entry.name, gradient, variant) for entry, gradient, variant in forms_visible_on(layer)}
        assert shown_by(layer) == visible

    @pytest.mark.parametrize(
        "layer",
        [
            Layer(32, 64, (5, 9), input=(512, 512), batch=8),
            Layer(3, 64, (3, 5, 7), input=(16, 128, 128), batch=8),
            Layer(
                32, 32, (3, 5, 7), stride=2, padding=(1, 2, 3), groups=4, input=(12, 24, 48), batch=8, transposed=True
            ),
        ],
    )
    def test_of_many_taps_there_is_one_that_is_not_so_small(self, layer):
        small = shrunk(layer)
        assert small.multiply_adds > SMALL
        assert triable(small)
        assert relations(small) == relations(layer)
        assert shown_by(layer)

    def test_the_report_says_how_many_layers_were_judged_so(self):
        report = verify([self.LARGE, LAYER], target=Right, strict=True)
        assert report.power.judged_on_smaller == 1
        assert "1 layer judged on" in " ".join(str(report).split())
        assert verify(LAYER, target=Right, strict=True).power.judged_on_smaller == 0

    def test_a_layer_of_which_nothing_is_claimed_was_not_judged(self):
        report = verify(self.LARGE, target=Right, strict=True, max_error=0.1)
        assert all(layer.passed for layer in report.layers)
        assert (report.power.judged_on_smaller, report.power.mistakes_shown) == (0, 0)


class TestUntried:
    def test_circumstances_that_never_occurred_are_blind_spots(self):
        spots = {spot.name: spot for spot in verify(LAYER, target=Right, strict=True).blind_spots}
        names = {untried.words.name for untried in UNTRIED}
        # Without a bias, and with a batch of one, every layer is tried by its conditions.
        by_conditions = {"untried-no-bias", "untried-batch-of-one"}
        assert names & set(spots) == names - {"untried-float64"} - by_conditions
        without = verify(LAYER, target=Right, strict=True, skip_conditions=["no-bias", "batch-of-one"]).blind_spots
        assert by_conditions <= {spot.name for spot in without}

    def test_and_are_gone_with_the_layers_that_are_proposed(self):
        import yaml

        spots = verify(LAYER, target=Right, strict=True).blind_spots
        added = [Layer(**yaml.safe_load(spot.layer)) for spot in spots if spot.name.startswith("untried")]
        again = verify([LAYER, *added], target=Right, strict=True).blind_spots
        assert not [spot for spot in again if spot.name.startswith("untried")]

    def test_they_are_no_mistakes_and_do_not_count_as_such(self):
        report = verify(LAYER, target=Right, strict=True)
        known = {entry.name for entry in MISTAKES}
        assert report.power.mistakes == len({form[0] for _, layer in revealing(2) for form in shown_by(layer)} & known)
