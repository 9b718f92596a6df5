"""Few layers of many that show what all of them show, and the suites that ship which were chosen so."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from convcheck.layer.layer import Layer
from convcheck.layer.similar import revealing
from convcheck.mistakes.blind_spots import plain, shown_by
from convcheck.suites import config
from convcheck.suites.audit import fewest, smaller
from convcheck.suites.importing import import_model
from convcheck.suites.importing.model import Found, Model, config_text


def model(layers):
    named = [replace(layer, name=f"layer{number}") for number, layer in enumerate(layers)]
    return Model("list", tuple(map(Found, named)), ())


def shown(layers, rank):
    return frozenset().union(*(shown_by(plain(layer)) for layer in layers if len(layer.input) == rank))


def test_what_all_show_few_show():
    layers = [layer for _, layer in revealing(2)]
    found = fewest(model([*layers, *layers]))
    assert len(found.layers) <= len(layers)
    assert shown(found.layers, 2) == shown(layers, 2)
    for layer in found.layers:
        assert shown([other for other in found.layers if other is not layer], 2) < shown(layers, 2)


def test_every_number_of_axes_counts_by_itself():
    layers = [revealing(1)[0][1], revealing(2)[0][1]]
    assert [len(layer.input) for layer in fewest(model(layers)).layers] == [1, 2]


def test_of_equal_layers_the_smallest_is_kept_and_a_large_one_only_for_what_it_alone_shows():
    small = Layer(1, 2, 3, input=(7, 9))
    assert fewest(model([replace(small, batch=9), small])).layers[0].batch == small.batch
    large = Layer(64, 64, 3, stride=2, groups=2, padding=1, input=(128, 130))
    found = fewest(model([large, small]))
    assert len(found.layers) == 2
    assert large.multiply_adds > 2**24


def test_the_config_says_so():
    text = config_text(fewest(model([Layer(1, 2, 3, input=(7, 9), batch=batch) for batch in (2, 3, 4)])))
    assert "# Chosen are 1 layer of 3" in text
    assert len(config.parse(text, "list").layers) == 1


#: The suites that were chosen from published lists, with the numbers of axes of their layers.
CHOSEN = {"benchdnn": (1, 2, 3), "deepbench": (2,), "kernelbench": (1, 2, 3)}


@cache
def published(suite):
    """The layers of a list, those of KernelBench as `--small` cuts them down."""
    folder = Path(__file__).parent / "published"
    if suite == "kernelbench":
        return smaller(model(config.load(folder / "kernelbench.yaml").layers)).layers
    layers = import_model(str(folder / f"{suite}.txt")).layers
    return [replace(layer, dtype="float32") for layer in layers]


@pytest.mark.parametrize(
    ("suite", "rank"),
    [
        pytest.param(suite, rank, marks=[pytest.mark.long] if suite == "benchdnn" and rank > 1 else [])
        for suite, ranks in CHOSEN.items()
        for rank in ranks
    ],
)
def test_a_suite_that_ships_shows_what_the_whole_list_shows(suite, rank):
    chosen = config.load(suite).layers
    assert len(chosen) <= len(published(suite)) / (3 if suite == "kernelbench" else 5)
    assert shown(chosen, rank) == shown(published(suite), rank)
    assert shown(chosen[1:], rank) < shown(published(suite), rank) or len(chosen[0].input) != rank


@pytest.mark.parametrize("suite", CHOSEN)
def test_its_layers_are_of_the_list(suite):
    known = {replace(layer, name="layer") for layer in published(suite)}
    assert {replace(layer, name="layer") for layer in config.load(suite).layers} <= known


class TestSmall:
    """Large layers with a smaller batch and input."""

    LARGE = (
        Layer(64, 128, 3, input=(512, 1024), batch=8, bias=False),
        Layer(3, 96, 11, stride=4, padding=2, input=(224, 224), batch=256),
        Layer(32, 64, (5, 9), padding=(2, 4), dilation=(2, 3), input=(512, 512), batch=8),
        Layer(32, 64, 3, stride=2, padding=1, dilation=2, input=(131072,), batch=16, transposed=True),
        Layer(128, 128, 3, groups=128, input=(256, 512), batch=64),
    )

    def test_all_but_the_batch_and_the_input_stays(self):
        for before, after in zip(self.LARGE, smaller(model(self.LARGE)).found, strict=True):
            assert after.full.spec() == {**before.spec(), "name": after.full.name}
            same = {"input": before.input, "batch": before.batch, "name": before.name}
            assert Layer(**{**after.layer.spec(), **same}) == before
            assert after.layer.multiply_adds < min(2**27, before.multiply_adds / 20)
            assert 1 < after.layer.batch <= before.batch

    def test_what_they_show_stays(self):
        for before, after in zip(self.LARGE, smaller(model(self.LARGE)).layers, strict=True):
            assert shown_by(plain(before)) <= shown_by(plain(after)), before

    def test_small_layers_stay(self):
        layers = [layer for _, layer in revealing(2)]
        assert smaller(model(layers)) == model(layers)

    def test_the_config_says_what_they_stand_for(self):
        assert "# there 512×1024, batch 8\n" in config_text(smaller(model(self.LARGE[:1])))
