"""Shipped suites, and what a CONFIG argument stands for."""

import re
from pathlib import Path

import pytest

from convcheck.errors import UsageError
from convcheck.suites import config
from convcheck.suites import shipped as suites


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Two suites in a folder of the test's own, in place of the ones that ship."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("resnet50", "textbook"):
        (folder / f"{name}.yaml").write_text("layers: [{channels: 1, filters: 1, kernel: 1}]\n")
    (folder / "notes.txt").write_text("not a suite")
    monkeypatch.setattr(suites, "_FOLDERS", (tmp_path / "missing", folder))
    monkeypatch.chdir(tmp_path)
    return folder


def message(source):
    with pytest.raises(UsageError) as caught:
        suites.locate(source)
    return str(caught.value)


def test_the_default_suite_ships():
    assert suites.DEFAULT_SUITE in suites.names()


@pytest.mark.parametrize("name", suites.names())
def test_every_shipped_suite_loads(name):
    suite = config.load(name)
    assert suite.name == name
    assert suite.path == suites.find(name)
    assert len(suite.layers) == len(suite.lines) > 0


def test_names_are_sorted_and_only_those_of_configs(shipped):
    assert suites.names() == ("resnet50", "textbook")


def test_find(shipped):
    assert suites.find("textbook") == shipped / "textbook.yaml"
    assert suites.find("nothing") is None
    assert suites.find("../shipped/textbook") is None


def test_the_installed_folder_is_preferred_to_the_checkout(shipped, tmp_path):
    (tmp_path / "missing").mkdir()
    assert suites.names() == ()


@pytest.mark.parametrize("source", ["some/where", "a.yaml", "A.YML", "./textbook", "/"])
def test_what_looks_like_a_path_is_a_path(shipped, source):
    assert suites.locate(source) == Path(source)


def test_a_suite_wins_over_a_file_of_its_name(shipped):
    Path("textbook").write_text("")
    assert suites.locate("textbook") == shipped / "textbook.yaml"


def test_a_file_without_a_suffix_is_found(shipped):
    Path("mine").write_text("")
    assert suites.locate("mine") == Path("mine")


@pytest.mark.parametrize(
    ("source", "named", "words"),
    [
        ("resnet5", '"resnet5"', ['did you mean "resnet50"?', "resnet50, textbook"]),
        ("qqq", '"qqq"', ["resnet50, textbook"]),
        ("a\nb\ud800\x00", r'"a\nb\ud800\x00"', ["resnet50, textbook"]),
        ("", '""', ["resnet50, textbook"]),
    ],
)
def test_unknown_suite(shipped, source, named, words):
    assert message(source).startswith(f"unknown suite {named};")
    assert all(word in message(source) for word in [*words, "./convcheck.yaml"])
    assert ("did you mean" in message(source)) == (len(words) > 1)


def test_no_suites_at_all(monkeypatch):
    monkeypatch.setattr(suites, "_FOLDERS", ())
    assert re.match('unknown suite "textbook"; no suites are installed; .*path', message("textbook"))


def test_default_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert suites.default_source() == "textbook"
    Path("convcheck.yaml").symlink_to("nowhere")
    assert suites.default_source() == "convcheck.yaml"
